"""The Lease object of coordination.k8s.io/v1, and who may take it when.

The rules are client-go's (https://pkg.go.dev/k8s.io/client-go/tools/leaderelection): a candidate
never compares its clock with another machine's. It watches the record with its own clock, and a
lease is free when the record has not changed for as long as it promises to.
"""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from onehop.kube.collection import Collection


class LeaseSpec(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Who holds a lease. Times are for people to read; nothing here computes with them.

    Attributes:
        holder_identity: empty or None when it was released.
        lease_duration_seconds: how long the record holds without a change.
        lease_transitions: how often the holder has changed.
    """

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class LeaseMeta(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What optimistic concurrency needs."""

    name: str
    namespace: str = ""
    resource_version: str = ""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A Lease."""

    metadata: LeaseMeta
    spec: LeaseSpec = LeaseSpec()


LEASES: Final = Collection(
    kind="Lease", api_version="coordination.k8s.io/v1", plural="leases", struct=Lease
)


class Observed(msgspec.Struct, frozen=True):
    """A record, and when this process first saw it like that.

    Attributes:
        at: by our own clock, in seconds.
    """

    lease: Lease
    at: float

    def is_free_for(self, identity: str, now: float) -> bool:
        """Tell whether a candidate may take the lease now."""
        holder = self.lease.spec.holder_identity
        duration_s = self.lease.spec.lease_duration_seconds or 0
        return not holder or holder == identity or now >= self.at + duration_s


def observe(lease: Lease, before: Observed | None, now: float) -> Observed:
    """Return the observation of a record: a changed one was first seen now."""
    if before is not None and before.lease.spec == lease.spec:
        return Observed(lease, before.at)
    return Observed(lease, now)


def taken(identity: str, duration_s: int, old: LeaseSpec | None, wall: datetime) -> dict[str, Any]:
    """Return the spec with which a candidate takes a lease, or keeps it."""
    spec: dict[str, Any] = {
        "holderIdentity": identity,
        "leaseDurationSeconds": duration_s,
        "renewTime": micro_time(wall),
    }
    if old is not None and old.holder_identity == identity:
        return spec
    transitions = 0 if old is None else (old.lease_transitions or 0) + 1
    return spec | {"acquireTime": micro_time(wall), "leaseTransitions": transitions}


def released(wall: datetime) -> dict[str, Any]:
    """Return the spec that gives a lease up, so that nobody has to wait for it to run out."""
    return {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": micro_time(wall)}


def micro_time(wall: datetime) -> str:
    """Return a time as metav1.MicroTime: RFC 3339 with microseconds, in UTC."""
    return wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
