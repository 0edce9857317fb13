"""Why nothing leads to a target that is there."""

from onehop.cluster import Ingress, Service
from onehop.cluster.gateway_verdict import ParentsVerdict, Truth
from onehop.compile.backend import options_of
from onehop.compile.ingress import INGRESS_INTENTS
from onehop.compile.service import SERVICE_INTENTS
from onehop.control.explain.explanation import OutcomeKind, PoolStep, Road
from onehop.control.explain.facts import Facts
from onehop.control.explain.target import Meant, ObjectTarget, UrlTarget
from onehop.model.ident import ObjectRef


def why_unserved(
    facts: Facts, meant: Meant, roads: tuple[Road, ...], pools: tuple[PoolStep, ...]
) -> str | None:
    """Return why requests get no answer from a Pod, or None if they do."""
    if not roads:
        return _without_road(facts, meant) if isinstance(meant, ObjectTarget) else "no road"
    if all(road.listener.tls is not None and road.listener.tls.secret is None for road in roads):
        host = meant.host if isinstance(meant, UrlTarget) else "HOST"
        return f"there is no certificate for it, so TLS handshakes fail: see onehop cert why {host}"
    kinds = {road.outcome.kind for road in roads}
    if kinds == {OutcomeKind.RESPOND}:
        says = roads[0].outcome.says
        return f"{'no Pod is asked' if says.startswith('200') else 'nothing serves it'}: {says}"
    if OutcomeKind.FORWARD in kinds and not any(pool.members for pool in pools):
        return "no Pod is ready, so there is nobody to send to"
    return None


def _without_road(facts: Facts, meant: ObjectTarget) -> str:
    ref = meant.ref
    if ref.kind == "Ingress":
        return _ingress(facts, ref)
    if ref.kind != "Service":
        return _route(facts, ref)
    service = facts.compiler.object(ref)
    ports = service.spec.ports or () if isinstance(service, Service) else ()
    if meant.port is not None and all(port.port != meant.port for port in ports):
        there = ", ".join(str(port.port) for port in ports) or "none"
        return f"{ref} has no port {meant.port}; it has {there}"
    intent = facts.compiler.reader().get(SERVICE_INTENTS, ref)
    if intent is None:
        return _not_ours(facts, ref, service if isinstance(service, Service) else None)
    if not intent.is_admitted:
        return f"{ref} waits for its finalizer, which is written before it is served"
    return f"{ref} has no address, or this port is refused; see the problems"


def _not_ours(facts: Facts, ref: ObjectRef, service: Service | None) -> str:
    kind = service.spec.type if service is not None else "unknown"
    if service is None or kind != "LoadBalancer":
        return f"{ref} is of type {kind}, and no Ingress or route of ours leads to it"
    said = service.spec.load_balancer_class or "none"
    ours = options_of(facts.compiler.reader()).service_class
    return f"{ref} has the loadBalancerClass {said}, ours is {ours}; nothing else leads to it"


def _ingress(facts: Facts, ref: ObjectRef) -> str:
    ingress = facts.compiler.object(ref)
    if facts.compiler.reader().get(INGRESS_INTENTS, ref) is None:
        name = ingress.spec.ingress_class_name if isinstance(ingress, Ingress) else None
        return f"{ref} is of the class {name or '(none)'}, whose controller is not ours"
    if not options_of(facts.compiler.reader()).shared:
        return f"{ref} is served nowhere: onehop.yaml has no addresses.shared"
    return f"{ref} has no path that is its own; see the problems"


def _route(facts: Facts, ref: ObjectRef) -> str:
    verdict = facts.compiler.verdict(ref)
    parents = verdict.parents if isinstance(verdict, ParentsVerdict) else ()
    if not parents:
        return f"{ref} has no parentRef to a Gateway of ours"
    refused = (
        f"{parent.parent.name}: {saying.message or saying.reason}"
        for parent in parents
        for saying in parent.sayings
        if saying.type == "Accepted" and saying.status is not Truth.TRUE
    )
    why = "; ".join(dict.fromkeys(refused))
    return f"{ref} is not accepted by {why}" if why else f"{ref} is accepted, not yet served"
