"""Where addresses change on the way, and whom the Pod sees in the end.

This host is a proxy on layer 4 as on layer 7: the client's connection ends here. But what the
kernel serves goes through it, with other addresses (`dataPlane.layer4`). Behind a NodePort
kube-proxy replaces the destination by a Pod's, and under `externalTrafficPolicy: Cluster` the
source by its node's too, so that the answer comes back through it
(https://kubernetes.io/docs/tutorials/services/source-ip/).
"""

from collections.abc import Iterator

import msgspec

from onehop.cluster import Service
from onehop.control.explain.explanation import Nat, NatKind, SourceStep
from onehop.control.explain.facts import Facts
from onehop.model.endpoint import Endpoint, Path
from onehop.model.pool import BackendProtocol, Pool

_STREAMS = frozenset((BackendProtocol.TCP, BackendProtocol.UDP))


class Behind(msgspec.Struct, frozen=True):
    """What is behind an endpoint.

    Attributes:
        is_kept: kube-proxy keeps to the node, and so the source as it is.
    """

    pods: tuple[Endpoint, ...]
    is_kept: bool

    @property
    def sockets(self) -> tuple[str, ...]:
        """`address:port` of the Pods, sorted."""
        return tuple(sorted(socket_text(pod.address, pod.port) for pod in self.pods))


def behind(member: Endpoint, pods: tuple[Endpoint, ...], service: Service | None) -> Behind:
    """Return the Pods that may answer at an endpoint."""
    if member.path is Path.POD:
        return Behind((member,), is_kept=True)
    if service is not None and service.spec.external_traffic_policy == "Local":
        return Behind(tuple(pod for pod in pods if pod.node == member.node), is_kept=True)
    return Behind(pods, is_kept=False)


def hops_to(member: Endpoint, there: Behind) -> int:
    """Return how many hops a request takes at most from this host to the Pod (design section 4)."""
    if member.path is Path.POD:
        return 1
    return 2 if there.is_kept else 3


def nats_to(facts: Facts, pool: Pool, member: Endpoint, there: Behind) -> tuple[Nat, ...]:
    """Return every change of addresses between the client and the Pod, in order."""
    source = _sent_from(facts, pool, member)
    here = tuple(_nats_here(facts, pool, member, source))
    if member.path is Path.POD:
        return here
    node, pod = node_text(member.node), _destination(there)
    dnat = Nat(kind=NatKind.DNAT, where=node, source=source, destination=pod)
    if there.is_kept:
        return *here, dnat
    snat = Nat(kind=NatKind.SNAT, where=node, source=f"an address of {node}", destination=pod)
    return *here, dnat, snat


def _nats_here(facts: Facts, pool: Pool, member: Endpoint, source: str) -> Iterator[Nat]:
    dialled = socket_text(member.address, member.port)
    if not facts.is_in_kernel(pool):
        yield Nat(kind=NatKind.PROXY, where="onehop", source=source, destination=dialled)
        return
    client = "the client's address"
    yield Nat(kind=NatKind.DNAT, where="onehop", source=client, destination=dialled)
    if not pool.is_transparent:
        yield Nat(kind=NatKind.SNAT, where="onehop", source=source, destination=dialled)


def source_of(facts: Facts, pool: Pool, member: Endpoint, there: Behind) -> SourceStep:
    """Return whom the Pod sees."""
    client_in = tuple(_client_in(pool))
    if not there.is_kept:
        says = f"an address of {node_text(member.node)}: kube-proxy replaces the source"
        return SourceStep(whose="node", address=None, says=says, client_in=client_in)
    if pool.is_transparent:
        return SourceStep(whose="client", address=None, says="the client's own address")
    address = facts.address_towards(member.address)
    says = "this host's address" + (f" {address}" if address is not None else "")
    return SourceStep(whose="onehop", address=address, says=says, client_in=client_in)


def node_text(node: str | None) -> str:
    """Return `node n1`, or that nobody knows; `node-1` says by itself what it is."""
    if node is None:
        return "unknown node"
    return node if node.startswith("node") else f"node {node}"


def socket_text(address: str, port: int) -> str:
    """Return `address:port`, with brackets where RFC 3986 wants them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _client_in(pool: Pool) -> tuple[str, ...]:
    header = (f"PROXY protocol {pool.proxy_protocol}",) if pool.proxy_protocol is not None else ()
    return header if pool.protocol in _STREAMS else ("X-Forwarded-For", *header)


def _sent_from(facts: Facts, pool: Pool, member: Endpoint) -> str:
    if pool.is_transparent:
        return "the client's address"
    return facts.address_towards(member.address) or "this host's address"


def _destination(there: Behind) -> str:
    if len(there.pods) == 1:
        return socket_text(there.pods[0].address, there.pods[0].port)
    nodes = {pod.node for pod in there.pods}
    where = f"on {node_text(nodes.pop())}" if there.is_kept and len(nodes) == 1 else "of all nodes"
    return f"one of {len(there.pods)} Pods {where}" if there.pods else "a Pod, if there is one"
