"""Where a request can be sent.

`gc=False`: what is frozen and made of frozen things cannot hold a cycle, so the garbage collector
need not walk a hundred thousand endpoints.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from onehop.model.address import IpAddr
from onehop.model.ident import PoolId


class Path(StrEnum):
    """How an endpoint is reached: the rungs of the ladder (design.md section 4)."""

    POD = "pod"
    """PodIP:targetPort, past kube-proxy."""
    LOCAL = "local"
    """The NodePort of a node that has ready Pods, weighted by their number."""
    NODE = "node"
    """The NodePort of any eligible node; kube-proxy may send it on to another one."""


class Readiness(StrEnum):
    """Whether an endpoint may get new work."""

    SERVING = "serving"
    DRAINING = "draining"


HEAVIEST: Final = 1000
"""The largest weight of an endpoint."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One backend socket, as the data plane will dial it.

    `DRAINING` is an endpoint with `serving: true, terminating: true`: it keeps its
    sessions and gets no new ones (KEP-1672). Endpoints that are neither are left out.

    Attributes:
        port: 1-65535, already resolved from the Service's named target port.
        weight: share within its pool, 1-1000.
        zone: `topology.kubernetes.io/zone`, or None if unknown.
        node: the Kubernetes node behind it, or None if unknown.
    """

    address: IpAddr
    port: int
    path: Path = Path.POD
    readiness: Readiness = Readiness.SERVING
    weight: int = 1
    zone: str | None = None
    node: str | None = None


def each_once(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Return the endpoints sorted by address and port, of each socket the first.

    Two may be the same socket: of Nodes that claim one address, or of slices being rebalanced.
    The one that serves comes first, then the one whose node has the first name.
    """
    found: dict[tuple[IpAddr, int], Endpoint] = {}
    for endpoint in sorted(endpoints, key=_rank):
        found.setdefault((endpoint.address, endpoint.port), endpoint)
    return tuple(found.values())


def _rank(endpoint: Endpoint) -> tuple[IpAddr, int, bool, str]:
    is_last = endpoint.readiness is Readiness.DRAINING
    return endpoint.address, endpoint.port, is_last, endpoint.node or ""


class PoolEndpoints(msgspec.Struct, frozen=True, tag="endpoints", gc=False):
    """The members of one pool, as `each_once` gives them; they change far more often than it."""

    pool: PoolId
    endpoints: tuple[Endpoint, ...] = ()

    @property
    def id(self) -> PoolId:
        """The pool's id: a pool has exactly one set of endpoints."""
        return self.pool
