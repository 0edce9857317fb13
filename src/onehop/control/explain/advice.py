"""What to change so that the way becomes shorter, or comes to be at all; the best first."""

from collections.abc import Iterable, Iterator
from typing import Final

from onehop.compile.way import Standing
from onehop.control.explain.explanation import (
    Advice,
    OutcomeKind,
    PodStep,
    PoolStep,
    Road,
    VipStanding,
)
from onehop.control.explain.facts import Facts
from onehop.control.explain.target import Meant, UrlTarget, near
from onehop.model.endpoint import Path
from onehop.model.model import Table
from onehop.model.route import VirtualHost

_NAMED: Final = 3
_MISSING: Final = frozenset((Standing.NO_ROUTE.value, Standing.DEFAULT_ROUTE.value))
_ONE_HOP: Final = "one hop, past kube-proxy"


def advise(
    facts: Facts, meant: Meant, roads: tuple[Road, ...], pools: tuple[PoolStep, ...]
) -> tuple[Advice, ...]:
    """Return what to do, each once."""
    return tuple(dict.fromkeys((*_arrive(facts, meant, roads), *_reach(facts, pools))))


def _arrive(facts: Facts, meant: Meant, roads: tuple[Road, ...]) -> Iterator[Advice]:
    for road in roads:
        if road.vip.standing is VipStanding.NOT_BOUND:
            yield Advice(
                code="vip-not-bound",
                do=f"see who else has {road.vip.address}: onehop check",
                gains="clients arrive",
            )
    is_lost = all(road.route is None and not road.outcome.branches for road in roads)
    if roads and is_lost and isinstance(meant, UrlTarget):
        alike = near(meant.host, _hostnames(facts))
        if alike:
            yield Advice(
                code="host-unknown",
                do=f"ask for a host and path that a rule has; like this one is {', '.join(alike)}",
                gains="an answer",
            )
    if any(road.outcome.kind is OutcomeKind.REDIRECT for road in roads):
        yield Advice(
            code="redirected",
            do="ask by https:// at once",
            gains="one round trip less",
        )


def _hostnames(facts: Facts) -> list[str]:
    rows = facts.served.rows() if facts.served.counts[Table.HOST] else ()
    return sorted({row.hostname for row in rows if isinstance(row, VirtualHost)} - {"*"})


def _reach(facts: Facts, pools: Iterable[PoolStep]) -> Iterator[Advice]:
    for pool in pools:
        if not pool.members:
            yield _nobody(pool)
        low = [pod for pod in pool.pods if pod.rung is not Path.POD or not pod.way.is_open]
        if not low:
            continue
        if pool.policy in ("local", "node"):
            yield Advice(
                code="path-forced",
                do=f"take path {pool.policy} away (annotation onehop.dev/path of {pool.service} or"
                " of its Ingress, path: in onehop.yaml)",
                gains=f"{_ONE_HOP}, wherever a route is proven",
            )
        yield from _routes(facts, low)
        yield from _lower_rungs(pool, low)


def _nobody(pool: PoolStep) -> Advice:
    _, namespace, name = pool.service.split("/", 2)
    return Advice(
        code="no-endpoints",
        do=f"see why no Pod is ready: kubectl -n {namespace} get endpointslices"
        f" -l kubernetes.io/service-name={name}",
        gains="somebody who answers",
    )


def _routes(facts: Facts, low: list[PodStep]) -> Iterator[Advice]:
    """Yield what would open the ways that are closed, by what closes them."""
    by_standing: dict[str, list[PodStep]] = {}
    for pod in low:
        by_standing.setdefault(pod.way.standing, []).append(pod)
    missing = [pod for name in sorted(_MISSING) for pod in by_standing.get(name, ())]
    if missing:
        yield from _missing(facts, missing)
    for standing, (code, text) in _BY_STANDING.items():
        pods = by_standing.get(standing.value)
        if pods:
            do = text.format(
                where=_nodes(pods),
                areas=_areas(pods),
                route=pods[0].way.route,
                stable=f"{facts.config.reach.stable_s:g}",
            )
            yield Advice(code=code, do=do, gains=_ONE_HOP)


_BY_STANDING: Final = {
    Standing.UNSTEADY: (
        "wait",
        (
            "wait: the route to {where} is back, and Pods move up when it has stood for {stable} s,"
            " or longer if it was lost often of late"
        ),
    ),
    Standing.UNPROBED: ("wait", "wait: {areas} is being asked for an answer"),
    Standing.UNKNOWN: ("wait", "wait: nobody has looked at the routing table for {areas} yet"),
    Standing.WRONG_HOP: (
        "wrong-next-hop",
        (
            "see who makes the route {route}, which leads past {where}: ip route show {route};"
            " if a router there knows the way, say so with reach.trust: [{areas}]"
        ),
    ),
    Standing.REFUSED: (
        "dropped",
        "remove the route that drops packets to {areas}: ip route show {route}",
    ),
    Standing.SILENT: (
        "silent",
        (
            "let this host in: {areas} is trusted (reach.trust) and nobody there answers; a"
            " NetworkPolicy, a firewall or a missing way back keeps silent like that"
        ),
    ),
}


def _missing(facts: Facts, pods: list[PodStep]) -> Iterator[Advice]:
    where, areas = _nodes(pods), _areas(pods)
    if facts.config.bgp.asn is not None:
        yield Advice(
            code="bgp-session",
            do=f"see why BGP brings no route to {areas} from {where}: onehop status shows the"
            " sessions, onehop bgp peers what makes the cluster accept this host",
            gains=_ONE_HOP,
        )
        return
    if facts.config.reach.routes == "none":
        yield Advice(
            code="peer-by-bgp",
            do=f"have {where} tell its routes by BGP: bgp: in onehop.yaml, then onehop bgp peers",
            gains=_ONE_HOP,
        )
        yield Advice(
            code="static-routes",
            do="or keep routes yourself, if the nodes are on this host's link:"
            " reach: {routes: static} in onehop.yaml",
            gains=_ONE_HOP,
        )
    yield Advice(
        code="trust",
        do=f"or say that the routers know the way: reach: {{trust: [{areas}]}} in onehop.yaml",
        gains="one hop from here, as far as onehop can see",
    )


def _lower_rungs(pool: PoolStep, low: list[PodStep]) -> Iterator[Advice]:
    node_port = [need for rung in pool.rungs for need in rung.needs if "NodePort" in need]
    if node_port and pool.policy == "auto":
        yield Advice(
            code="allow-node-ports",
            do=f"give {pool.service} NodePorts (allocateLoadBalancerNodePorts: true)",
            gains="a fallback while a route is missing",
        )
    elif pool.policy == "pod" and any(pod.rung is None for pod in low):
        yield Advice(
            code="allow-fallback",
            do=f"use path auto for {pool.service}",
            gains="a fallback while a route is missing",
        )
    elif pool.traffic_policy == "Cluster" and any(m.rung is not Path.POD for m in pool.members):
        yield Advice(
            code="traffic-policy-local",
            do=f"set externalTrafficPolicy: Local on {pool.service}",
            gains="2 hops in place of up to 3 for Pods behind NodePorts, and no SNAT at the node",
        )


def _nodes(pods: Iterable[PodStep]) -> str:
    return _few([pod.node or "an unknown node" for pod in pods], "nodes")


def _areas(pods: Iterable[PodStep]) -> str:
    return _few([pod.way.area or pod.address for pod in pods], "prefixes")


def _few(names: list[str], word: str) -> str:
    names = sorted(set(names))
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more {word}" if rest > 0 else "")
