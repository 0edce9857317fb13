"""The roads to an object: every address, port, host and path by which clients come to it."""

from collections.abc import Callable, Iterator, Sequence

from onehop.compile.ingress import ANY_HOST, INGRESS_INTENTS, IngressIntent
from onehop.compile.proof import PROOFS
from onehop.control.explain.arrival import (
    gateway_served,
    listener_step,
    shared_served,
    vip_step,
)
from onehop.control.explain.explanation import Branch, Outcome, OutcomeKind, Road, RouteStep
from onehop.control.explain.facts import Facts
from onehop.control.explain.rule import is_of_gateway, limits_of, outcome_of, route_step
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.listener import (
    ForwardHttp,
    ForwardTcp,
    ForwardUdp,
    Listener,
    Passthrough,
    StreamShare,
)
from onehop.model.model import RowKey, Table
from onehop.model.pool import Pool
from onehop.model.route import Forward, Guard, Route, VirtualHost


def roads_of_service(facts: Facts, ref: ObjectRef, port: int | None) -> Iterator[Road]:
    """Yield the roads by the Service's own addresses, by Ingresses, and by routes of Gateways."""
    found = (facts.served.listener(name) for name in facts.served.listeners_of(ref))
    listeners = [item for item in found if item is not None and port in (None, item.port)]
    for listener in sorted(listeners, key=lambda item: (item.address, item.port, item.transport)):
        if not isinstance(listener.handler, ForwardHttp):
            yield stream_road(facts, listener, listener.handler)
    reader = facts.compiler.reader()
    for ingress in facts.compiler.refs("Ingress") if ref.kind == "Service" else ():
        intent = reader.get(INGRESS_INTENTS, ingress)
        pools = {
            wish.pool.id
            for wish in (intent.wishes if intent is not None else ())
            if wish.pool.service == ref and port in (None, wish.pool.port)
        }
        for road in roads_of_ingress(facts, ingress) if pools else ():
            if any(branch.pool in pools for branch in road.outcome.branches):
                yield road
    yield from _gateway_roads(facts, lambda route: _leads_to(facts, route, ref, port))


def roads_of_route(facts: Facts, ref: ObjectRef) -> Iterator[Road]:
    """Yield the roads by each host and match of an HTTPRoute or a GRPCRoute, by listener."""
    yield from _gateway_roads(facts, lambda route: route.owner == ref)


def _gateway_roads(facts: Facts, is_wanted: Callable[[Route], bool]) -> Iterator[Road]:
    for listener in gateway_served(facts):
        handler = listener.handler
        if not isinstance(handler, ForwardHttp):
            continue
        for host in sorted(facts.served.hosts_of(handler.router), key=lambda host: host.id):
            for route in filter(is_wanted, host.routes):
                yield Road(
                    vip=vip_step(facts, listener.address),
                    listener=listener_step(facts, listener, host.hostname),
                    route=route_step(facts, host, route),
                    outcome=outcome_of(route),
                )


def _leads_to(facts: Facts, route: Route, service: ObjectRef, port: int | None) -> bool:
    """Tell whether a route of a Gateway sends requests, not only copies, to a Service."""
    if not is_of_gateway(route) or not isinstance(route.action, Forward):
        return False
    rows = (facts.served.row(RowKey(Table.POOL, share.pool)) for share in route.action.pools)
    return any(
        isinstance(row, Pool) and row.service == service and port in (None, row.port)
        for row in rows
    )


def stream_road(facts: Facts, listener: Listener, handler: ForwardTcp | ForwardUdp) -> Road:
    """Return the road by a listener that passes bytes on."""
    outcome = Outcome(
        kind=OutcomeKind.FORWARD,
        says="passed on as it is",
        branches=_branches(handler.pool, handler.shares),
    )
    return Road(
        vip=vip_step(facts, listener.address),
        listener=listener_step(facts, listener),
        route=None,
        outcome=outcome,
    )


def passthrough_road(facts: Facts, listener: Listener, host: Passthrough) -> Road:
    """Return the road of a host whose TLS is passed through."""
    branches = _branches(host.pool, host.shares)
    outcome = Outcome(kind=OutcomeKind.RESPOND, says="closed, for its backend is missing")
    if branches:
        passed = "TLS is passed through, and ends at the Pods"
        says = "TLS ends here, and what is in it is passed on" if host.ends_tls else passed
        outcome = Outcome(kind=OutcomeKind.FORWARD, says=says, branches=branches)
    step = RouteStep(
        host=host.hostname,
        path_kind="server name",
        path="",
        owner=str(host.owner),
        why="the oldest that has a say in the TLS of this host",
        limits=tuple(limits_of(Guard(allow=host.allow, deny=host.deny))),
    )
    return Road(
        vip=vip_step(facts, listener.address),
        listener=listener_step(facts, listener),
        route=step,
        outcome=outcome,
    )


def _branches(pool: PoolId | None, shares: Sequence[StreamShare]) -> tuple[Branch, ...]:
    """Return where connections go; what is left to 100 % is closed."""
    if not shares:
        return (Branch(pool, 100.0),) if pool is not None else ()
    total = sum(share.weight for share in shares)
    percents = ((share.pool, 100.0 * share.weight / total) for share in shares)
    return tuple(Branch(each, percent) for each, percent in percents if each is not None)


def roads_of_ingress(facts: Facts, ref: ObjectRef) -> Iterator[Road]:
    """Yield the roads by each host and path that the Ingress has, on each shared listener."""
    intent = facts.compiler.reader().get(INGRESS_INTENTS, ref)
    if intent is None:
        return
    for listener in shared_served(facts):
        if not isinstance(listener.handler, ForwardHttp):
            continue
        for host in listener.handler.passthroughs:
            if host.owner == ref:
                yield passthrough_road(facts, listener, host)
        for hostname in _hostnames(facts, intent):
            row = facts.served.row(
                RowKey(Table.HOST, f"{listener.handler.router_for(hostname)}/{hostname}")
            )
            if not isinstance(row, VirtualHost):
                continue
            for route in row.routes:
                if route.owner == ref:
                    yield Road(
                        vip=vip_step(facts, listener.address),
                        listener=listener_step(facts, listener, hostname),
                        route=route_step(facts, row, route),
                        outcome=outcome_of(route),
                    )


def _hostnames(facts: Facts, intent: IngressIntent) -> list[str]:
    """Return the virtual hosts in which an Ingress may have routes."""
    proofs = (facts.compiler.reader().get(PROOFS, claim.hostname) for claim in intent.solved)
    names = {claim.hostname for claim in intent.claims}
    names |= {proof.place.hostname for proof in proofs if proof is not None}
    return sorted(names | {ANY_HOST} if intent.default is not None else names)
