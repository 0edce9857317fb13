"""The Lease by which a host of the load balancer says that it lives, and what it answers.

Like the Leases of Kubernetes nodes: small, one per host, renewed every few seconds
(https://kubernetes.io/docs/concepts/architecture/leases/#node-heartbeats). Nobody compares clocks
of two machines: a Lease has run out when whoever looks has not seen it change for so long.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from onehop.cluster.meta import Meta
from onehop.control.issuing.mark import labels_of_ours
from onehop.kube import Collection
from onehop.kube.lease_record import LeaseSpec, micro_time

COMPONENT: Final = "load-balancer-host"
_MACHINE_ID: Final = Path("/etc/machine-id")
ANSWERS: Final = "onehop.dev/acme-answers"
_BRIEF: Final = 12
"""So many characters of an entry's name: 2^48 names for the few thousand that fit in a Secret."""


class HostLease(msgspec.Struct, frozen=True, kw_only=True):
    """The Lease of a host."""

    metadata: Meta
    spec: LeaseSpec = LeaseSpec()

    @property
    def hostname(self) -> str:
        """The host whose it is."""
        return self.spec.holder_identity or self.metadata.name

    def has(self, entry: str) -> bool:
        """Tell whether the host's data plane gives an answer."""
        return entry[:_BRIEF] in (self.metadata.annotation(ANSWERS) or "").split()


HOST_LEASES: Final = Collection(
    kind="Lease", api_version="coordination.k8s.io/v1", plural="leases", struct=HostLease
)


def this_instance(state: Path) -> str:
    """Return what tells this onehop from others, and is the same after a restart.

    Two of them may run on one host, and hosts may share a name; but no two share a state
    directory, and machines differ by machine-id(5) where there is one.
    """
    try:
        machine = _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        machine = ""
    return f"{machine} {state}"


def beat(hostname: str, entries: Iterable[str], *, lasts_s: int, wall: datetime) -> dict[str, Any]:
    """Return what a host writes into its Lease each time, as a merge patch."""
    answers = " ".join(sorted(entry[:_BRIEF] for entry in entries))
    return {
        "metadata": {
            "labels": dict(labels_of_ours(COMPONENT)),
            "annotations": {ANSWERS: answers},
        },
        "spec": {
            "holderIdentity": hostname,
            "leaseDurationSeconds": lasts_s,
            "renewTime": micro_time(wall),
        },
    }


class Sighting(msgspec.Struct, frozen=True):
    """A Lease, and when we first saw it like that.

    Attributes:
        at: by our own clock, in seconds.
    """

    lease: HostLease
    at: float

    def has_run_out(self, now: float) -> bool:
        """Tell whether the host has been silent for as long as its Lease lasts."""
        return now >= self.at + (self.lease.spec.lease_duration_seconds or 0)


def sight(lease: HostLease, before: Sighting | None, now: float) -> Sighting:
    """Return the sighting of a Lease: one that changed was first seen now."""
    unchanged = (
        before is not None
        and before.lease.metadata.resource_version == lease.metadata.resource_version
    )
    return Sighting(lease, before.at if before is not None and unchanged else now)
