"""A pool: its members and the Pods behind them, each on its rung and why there."""

from collections.abc import Iterable, Iterator

import msgspec

from onehop.cluster import Service
from onehop.cluster.service import ServicePort
from onehop.compile.backend import options_of
from onehop.compile.endpoint import pods_behind, port_of
from onehop.compile.inputs import SERVICES
from onehop.compile.node import MEMBERS
from onehop.compile.options import PathPolicy
from onehop.compile.pool import WISHES
from onehop.control.explain.explanation import MemberStep, PodStep, PoolStep, RungStep
from onehop.control.explain.facts import Facts
from onehop.control.explain.translation import (
    behind,
    hops_to,
    nats_to,
    source_of,
)
from onehop.control.explain.way import judge
from onehop.model.address import IpAddr, ip_number, is_ipv6
from onehop.model.endpoint import Endpoint, Path, Readiness
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.model import RowKey, Table
from onehop.model.pool import (
    Balancing,
    CookiePersistence,
    HeaderPersistence,
    HealthCheck,
    Persistence,
    Pool,
    SourceIpPersistence,
)

_LEAST_HOPS = {Path.POD: 1, Path.LOCAL: 2, Path.NODE: 3}


class _Stand(msgspec.Struct, frozen=True):
    """A pool with all there is to say of it, before it is put in words."""

    pool: Pool
    policy: PathPolicy
    service: Service | None
    port: ServicePort | None
    members: tuple[Endpoint, ...]
    pods: tuple[Endpoint, ...]

    @property
    def keeps_to_the_node(self) -> bool:
        return self.service is not None and self.service.spec.external_traffic_policy == "Local"

    @property
    def has_node_port(self) -> bool:
        return self.port is not None and bool(self.port.node_port)


def pool_step(facts: Facts, name: PoolId) -> PoolStep | None:
    """Return a pool that is served, or None."""
    stand = _stand(facts, name)
    if stand is None:
        return None
    pool, is_in_kernel = stand.pool, facts.is_in_kernel(stand.pool)
    members = tuple(_members(facts, stand))
    pods = tuple(sorted(_pods(facts, stand), key=_order))
    hops = [member.hops for member in members if member.share_percent]
    return PoolStep(
        id=pool.id,
        service=str(pool.service),
        port=pool.port,
        protocol=f"{pool.protocol} in TLS" if pool.tls is not None else pool.protocol.value,
        policy=stand.policy.value,
        balancing=_balancing(pool, is_in_kernel=is_in_kernel),
        persistence=_persistence(pool.persistence, is_in_kernel=is_in_kernel),
        health_check=_health_check(pool.health_check),
        traffic_policy="Local" if stand.keeps_to_the_node else "Cluster",
        client_address=_client_address(pool),
        hops_least=min(hops, default=0),
        hops_most=max(hops, default=0),
        rungs=tuple(_rungs(facts, stand, members, pods)),
        members=members,
        pods=pods,
    )


def _order(pod: PodStep) -> tuple[str, bool, int, int]:
    """Order Pods as people count: by node, then by address, .5 before .10."""
    address = IpAddr(pod.address)
    return pod.node or "", is_ipv6(address), ip_number(address), pod.port


def _stand(facts: Facts, name: PoolId) -> _Stand | None:
    pool, found = facts.served.row(RowKey(Table.POOL, name)), facts.served.endpoints(name)
    if not isinstance(pool, Pool):
        return None
    reader = facts.compiler.reader()
    wish, service = reader.get(WISHES, name), reader.get(SERVICES, pool.service)
    port = port_of(service, wish) if service is not None and wish is not None else None
    members = found.endpoints if found is not None else ()
    if service is not None and port is not None:
        pods = tuple(pods_behind(reader, service, port).endpoints)
    else:  # served from memory: the source has not been read yet
        pods = tuple(member for member in members if member.path is Path.POD)
    policy = wish.path if wish is not None else options_of(reader).path
    return _Stand(pool, policy, service, port, members, pods)


def _members(facts: Facts, stand: _Stand) -> Iterator[MemberStep]:
    total = sum(m.weight for m in stand.members if m.readiness is Readiness.SERVING)
    for member in stand.members:
        there = behind(member, stand.pods, stand.service)
        is_serving = member.readiness is Readiness.SERVING
        share = 100 * member.weight / total if is_serving else 0
        yield MemberStep(
            address=member.address,
            port=member.port,
            rung=member.path,
            node=member.node,
            zone=member.zone,
            readiness=member.readiness,
            weight=member.weight,
            share_percent=round(share, 1),
            hops=hops_to(member, there),
            pods=there.sockets if there.is_kept else (),
            any_pod=not there.is_kept,
            nats=nats_to(facts, stand.pool, member, there),
            source=source_of(facts, stand.pool, member, there),
        )


def _pods(facts: Facts, stand: _Stand) -> Iterator[PodStep]:
    direct = {(m.address, m.port) for m in stand.members if m.path is Path.POD}
    reader = facts.compiler.reader()
    lower = {m.node: m.path for m in stand.members if m.path is not Path.POD}
    for pod in stand.pods:
        rung = Path.POD if (pod.address, pod.port) in direct else lower.get(pod.node)
        if rung is None and lower and not stand.keeps_to_the_node:
            rung = Path.NODE  # kube-proxy on another node finds it
        judged = judge(facts, reader, pod)
        is_up = rung is Path.POD and judged.way.is_open
        yield PodStep(
            address=pod.address,
            port=pod.port,
            node=pod.node,
            readiness=pod.readiness,
            rung=rung,
            way=judged.way,
            keeps_down=None if is_up else _keeps_down(stand.policy, judged.way.says),
            needs=None if is_up else judged.need,
        )


def _keeps_down(policy: PathPolicy, says: str) -> str:
    if policy in (PathPolicy.LOCAL, PathPolicy.NODE):
        return f"path {policy} keeps to NodePorts"
    return says


def _rungs(
    facts: Facts, stand: _Stand, members: tuple[MemberStep, ...], pods: tuple[PodStep, ...]
) -> Iterator[RungStep]:
    needs = {
        Path.POD: _pod_needs(stand, pods),
        Path.LOCAL: _local_needs(facts, stand, pods),
        Path.NODE: _node_needs(stand),
    }
    for rung in Path:
        here = [member for member in members if member.rung is rung]
        count = sum(pod.rung is rung for pod in pods)
        yield RungStep(
            rung=rung,
            hops=max((member.hops for member in here), default=_LEAST_HOPS[rung]),
            pods=count,
            share_percent=round(sum(member.share_percent for member in here), 1),
            needs=tuple(dict.fromkeys(needs[rung])) if count < len(pods) else (),
        )


def _pod_needs(stand: _Stand, pods: Iterable[PodStep]) -> Iterator[str]:
    if stand.policy in (PathPolicy.LOCAL, PathPolicy.NODE):
        yield f"path auto or pod, in place of {stand.policy}"
    yield from (pod.needs for pod in pods if pod.needs is not None)


def _local_needs(facts: Facts, stand: _Stand, pods: Iterable[PodStep]) -> Iterator[str]:
    if stand.policy is PathPolicy.POD:
        yield "path auto or local, in place of pod"
    yield from _node_port_needs(stand)
    if not stand.keeps_to_the_node:
        yield "externalTrafficPolicy: Local"
    reader = facts.compiler.reader()
    for node in sorted({pod.node for pod in pods if pod.node is not None}):
        if reader.get(MEMBERS, ObjectRef("Node", "", node)) is None:
            yield f"node {node} to take traffic of load balancers"


def _node_needs(stand: _Stand) -> Iterator[str]:
    if stand.policy is PathPolicy.POD:
        yield "path auto or node, in place of pod"
    yield from _node_port_needs(stand)
    if stand.keeps_to_the_node:
        yield "externalTrafficPolicy: Cluster"


def _node_port_needs(stand: _Stand) -> Iterator[str]:
    if not stand.has_node_port:
        yield "a NodePort (spec.type, allocateLoadBalancerNodePorts)"


def _client_address(pool: Pool) -> str:
    if pool.is_transparent:
        return "transparent"
    return "proxy-protocol" if pool.proxy_protocol is not None else "snat"


def _balancing(pool: Pool, *, is_in_kernel: bool) -> str:
    """Return how the next one is chosen: the kernel does not know who is busy."""
    by_chance = is_in_kernel and pool.balancing is not Balancing.HASH
    return "random" if by_chance else pool.balancing.value


def _persistence(persistence: Persistence | None, *, is_in_kernel: bool) -> str | None:
    match persistence:
        case None:
            return None
        case CookiePersistence(name=name):
            return f"cookie {name}"
        case HeaderPersistence(name=name):
            return f"header {name}"
        case SourceIpPersistence(timeout_s=timeout_s):
            return f"source-ip for {timeout_s} s" if is_in_kernel else "source-ip"


def _health_check(check: HealthCheck | None) -> str | None:
    if check is None:
        return None
    what = f"GET {check.http_path}" if check.http_path is not None else "TCP connection"
    port = f" on port {check.port}" if check.port is not None else ""
    whom = " of NodePorts" if check.spares_pods else ""
    return f"{what}{port}{whom} every {check.interval_s:g} s"
