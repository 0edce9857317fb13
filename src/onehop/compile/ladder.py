"""The ladder: for each Pod the shortest path that is proven right now (design.md section 4).

`auto` stands each Pod on the rung `pod` while the way to it is open, and else on the NodePort of
its node: `local` where kube-proxy keeps to the node (`externalTrafficPolicy: Local`), `node` where
it does not. Pods whose way is open are not touched by those whose way is not. That a way has been
closed shows here at once; that it is open again, once `net` calls its route steady.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from onehop.cluster import Service
from onehop.cluster.service import ServicePort
from onehop.compile.backend import options_of
from onehop.compile.inputs import ONLY
from onehop.compile.node import ALL_MEMBERS, MEMBERS, Member
from onehop.compile.options import PathPolicy
from onehop.compile.sheet import Reader
from onehop.compile.way import Standing, Way, way_to
from onehop.compile.wish import Wish
from onehop.model.endpoint import HEAVIEST, Endpoint, Path, Readiness
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, Severity

_NAMED_NODES: Final = 3
"""Nodes that a message names; the others are counted."""


class Footing(msgspec.Struct, frozen=True, gc=False):
    """The members of a pool on their rungs, and what is wrong with that."""

    members: Sequence[Endpoint]
    problems: tuple[Problem, ...] = ()


class _Doubt(msgspec.Struct, frozen=True, gc=False):
    """A Pod that must not be dialled directly, and why."""

    pod: Endpoint
    way: Way


def footing(
    reader: Reader, wish: Wish, service: Service, port: ServicePort, pods: Sequence[Endpoint]
) -> Footing:
    """Return the members of a pool on the rungs that its policy and the network allow."""
    if wish.path is PathPolicy.LOCAL:
        return Footing(tuple(_on_local(reader, pods, service, port)))
    if wish.path is PathPolicy.NODE:
        return Footing(tuple(_on_node(reader, service, port)))
    if not options_of(reader).proves_reach:
        return Footing(pods)
    doubts = tuple(
        _Doubt(pod, way)
        for pod in pods
        if not (way := way_to(reader, pod.address, pod.node)).is_open
    )
    return _down(reader, wish, service, port, pods, doubts) if doubts else Footing(pods)


def _down(  # noqa: PLR0913, PLR0917  the pool, and which of its Pods are in doubt
    reader: Reader,
    wish: Wish,
    service: Service,
    port: ServicePort,
    pods: Sequence[Endpoint],
    doubts: tuple[_Doubt, ...],
) -> Footing:
    """Move the Pods in doubt to the NodePorts of their nodes, if there are any."""
    doubtful = [doubt.pod for doubt in doubts]
    lower: tuple[Endpoint, ...] = ()
    if wish.path is PathPolicy.AUTO:
        lower = tuple(_instead(reader, doubtful, service, port))
    rest = frozenset(doubtful)
    members = (*(pod for pod in pods if pod not in rest), *lower)
    # Whatever node it comes to, kube-proxy finds the Pod, unless it is told to keep to the node.
    is_found = bool(lower) and not _keeps_to_the_node(service)
    reached = frozenset(member.node for member in lower)
    moved = tuple(doubt for doubt in doubts if is_found or doubt.pod.node in reached)
    lost = tuple(doubt for doubt in doubts if not is_found and doubt.pod.node not in reached)
    problems = (
        *_moved(wish, moved),
        *_lost(wish, port, lost, is_last=not members),
        *_persistence(wish, lower),
    )
    # With nothing else to send to, a Pod that may not be reachable is better than an empty pool.
    return Footing(members or pods, problems)


def _keeps_to_the_node(service: Service) -> bool:
    return service.spec.external_traffic_policy == "Local"


def _instead(
    reader: Reader, pods: Sequence[Endpoint], service: Service, port: ServicePort
) -> Iterator[Endpoint]:
    """Yield the NodePorts of the Pods' own nodes, weighted by how many Pods they stand for.

    Where a Pod's own node takes no traffic, those of all other nodes join them.
    """
    own = tuple(_on_local(reader, pods, service, port))
    if _keeps_to_the_node(service):
        yield from own
        return
    yield from (msgspec.structs.replace(endpoint, path=Path.NODE) for endpoint in own)
    nodes = frozenset(endpoint.node for endpoint in own)
    if any(pod.node not in nodes for pod in pods):
        yield from (item for item in _on_node(reader, service, port) if item.node not in nodes)


def _on_local(
    reader: Reader, pods: Iterable[Endpoint], service: Service, port: ServicePort
) -> Iterator[Endpoint]:
    """Yield the NodePorts of nodes that have Pods, weighted by how many."""
    pods = tuple(pods)
    serving = Counter(pod.node for pod in pods if pod.readiness is Readiness.SERVING)
    draining = Counter(pod.node for pod in pods if pod.readiness is Readiness.DRAINING)
    for name in (serving | draining) if port.node_port else ():
        member = reader.get(MEMBERS, ObjectRef("Node", "", name)) if name is not None else None
        endpoint = _at(member, service, port) if member is not None else None
        if endpoint is not None:
            yield msgspec.structs.replace(
                endpoint,
                path=Path.LOCAL,
                weight=min(serving[name] or draining[name], HEAVIEST),
                readiness=Readiness.SERVING if serving[name] else Readiness.DRAINING,
            )


def _on_node(reader: Reader, service: Service, port: ServicePort) -> Iterator[Endpoint]:
    """Yield the NodePort of every eligible node."""
    for member in reader.unordered(ALL_MEMBERS, ONLY) if port.node_port else ():
        endpoint = _at(member, service, port)
        if endpoint is not None:
            yield endpoint


def _at(member: Member, service: Service, port: ServicePort) -> Endpoint | None:
    """Return a node's NodePort, if the node has an address of the Service's family."""
    prefers_ipv6 = (service.spec.ip_families or ("IPv4",))[0] == "IPv6"
    address = member.address(ipv6=prefers_ipv6)
    if address is None:
        return None
    return Endpoint(
        address=address, port=port.node_port, path=Path.NODE, zone=member.zone, node=member.name
    )


def _moved(wish: Wish, doubts: Sequence[_Doubt]) -> Iterator[Problem]:
    if doubts:
        yield Problem(
            subject=wish.pool.service,
            reason=Reason.NOT_DIRECT,
            message=f"Pods {_where(doubts)} are reached by NodePort, not directly: {_why(doubts)}",
            severity=Severity.WARNING,
        )


def _lost(
    wish: Wish, port: ServicePort, doubts: Sequence[_Doubt], *, is_last: bool
) -> Iterator[Problem]:
    waits = all(doubt.way.standing is Standing.UNSTEADY for doubt in doubts)
    if not doubts or (waits and is_last):
        return  # a right route, only not for long: it is used, for want of anything better
    if waits:
        advice = "they get it as soon as it has"
    elif wish.path is PathPolicy.POD:
        advice = "path pod never falls back: mend the route, or use path auto"
    elif not port.node_port:
        advice = "there is no NodePort to fall back to: mend the route, or allow NodePorts"
    else:
        advice = "their node takes no traffic on NodePorts either"
    what = "are tried all the same, for nothing else is left" if is_last else "get no traffic"
    yield Problem(
        subject=wish.pool.service,
        reason=Reason.UNREACHABLE,
        message=f"Pods {_where(doubts)} {what}: {_why(doubts)}; {advice}",
        severity=Severity.WARNING if waits else Severity.ERROR,
    )


def _persistence(wish: Wish, lower: Sequence[Endpoint]) -> Iterator[Problem]:
    mixes = any(item.path is Path.NODE or item.weight > 1 for item in lower)
    if mixes and wish.pool.persistence is not None:
        yield Problem(
            subject=wish.pool.service,
            reason=Reason.PERSISTENCE_NOT_HELD,
            message="session persistence does not hold for Pods behind NodePorts: kube-proxy picks"
            " the Pod; it holds again once they are reached directly",
            severity=Severity.WARNING,
        )


def _where(doubts: Sequence[_Doubt]) -> str:
    nodes = sorted({doubt.pod.node or "an unknown node" for doubt in doubts})
    rest = len(nodes) - _NAMED_NODES
    named = ", ".join(nodes[:_NAMED_NODES])
    return f"on {named} and {rest} more nodes" if rest > 0 else f"on {named}"


def _why(doubts: Sequence[_Doubt]) -> str:
    """Return the first reason of all; there are seldom two at once."""
    return min(doubt.way.why for doubt in doubts)
