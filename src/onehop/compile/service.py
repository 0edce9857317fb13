"""A Service of type LoadBalancer: is it ours, and what does it ask for?"""

from typing import Final

import msgspec

from onehop.cluster import Service
from onehop.compile.backend import options_of
from onehop.compile.inputs import ONLY, SERVICE_REFS, SERVICES
from onehop.compile.options import Options
from onehop.compile.policy import Policy, parse_policy
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.compile.wish import Wish, rung_problems, stream_wish
from onehop.model.address import Cidr, IpAddr, parse_cidr, parse_ip
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.listener import Transport
from onehop.model.problem import Problem, Reason, Severity

FINALIZER: Final = "service.kubernetes.io/load-balancer-cleanup"
"""Added before a Service is served, removed after it no longer is (cloud-provider, helper.go)."""

SOURCE_RANGES_ANNOTATION: Final = "service.beta.kubernetes.io/load-balancer-source-ranges"


class ServicePortIntent(msgspec.Struct, frozen=True):
    """One port that clients connect to, and the pool behind it."""

    port: int
    transport: Transport
    wish: Wish


class ServiceIntent(msgspec.Struct, frozen=True, kw_only=True):
    """What a Service of ours asks for; addresses are given in `allocation`.

    Attributes:
        families: whether IPv6, per wanted address, the primary one first.
        needs_every_family: without it, one of the families will do (`PreferDualStack`).
        requested: addresses it must have; for a family that is not there the choice is ours.
        current: addresses its status carries.
        sources: None means that its source ranges are unusable: nobody may be let in.
        is_admitted: its finalizer is there, or none is needed; only then it is served.
    """

    ref: ObjectRef
    age_key: tuple[str, str, str]
    families: tuple[bool, ...]
    needs_every_family: bool
    requested: tuple[IpAddr, ...]
    address_pool: str | None
    share_key: str | None
    current: tuple[IpAddr, ...]
    sources: tuple[Cidr, ...] | None
    ports: tuple[ServicePortIntent, ...]
    accepts_proxy_protocol: bool
    max_connections: int | None
    idle_timeout_s: float | None
    is_admitted: bool


def is_ours(service: Service, options: Options) -> bool:
    """Tell whether we are the load balancer of this Service (KEP-1959)."""
    if service.spec.type != "LoadBalancer":
        return False
    wanted = service.spec.load_balancer_class
    return options.is_default_service_class if wanted is None else wanted == options.service_class


def _compute(reader: Reader, ref: ObjectRef) -> Cell[ServiceIntent]:
    service, options = reader.get(SERVICES, ref), options_of(reader)
    if service is None or not is_ours(service, options):
        return Cell(None)
    if service.metadata.deletion_timestamp is not None:
        return Cell(None)
    policy, problems = parse_policy(ref, service.metadata.annotations)
    requested, request_problems = _requested(service, policy, ref)
    sources, source_problems = _sources(service, ref)
    ports, port_problems = _ports(service, policy, options, ref)
    intent = ServiceIntent(
        ref=ref,
        age_key=service.metadata.age_key,
        families=tuple(family == "IPv6" for family in service.spec.ip_families or ("IPv4",)),
        needs_every_family=service.spec.ip_family_policy != "PreferDualStack",
        requested=requested,
        address_pool=policy.address_pool,
        share_key=policy.share_address,
        current=_status_addresses(service),
        sources=sources,
        ports=ports,
        accepts_proxy_protocol=policy.accept_proxy_protocol or False,
        max_connections=policy.connection_limit,
        idle_timeout_s=policy.idle_timeout,
        is_admitted=not options.writes_back or FINALIZER in (service.metadata.finalizers or ()),
    )
    return Cell(intent, (*problems, *request_problems, *source_problems, *port_problems))


def _requested(
    service: Service, policy: Policy, ref: ObjectRef
) -> tuple[tuple[IpAddr, ...], tuple[Problem, ...]]:
    if policy.addresses is not None:
        return policy.addresses, ()
    text = service.spec.load_balancer_ip
    if not text:
        return (), ()
    address = parse_ip(text)
    if address is not None:
        return (address,), ()
    return (), (
        Problem(
            subject=ref,
            field="spec.loadBalancerIP",
            reason=Reason.INVALID_OBJECT,
            message=f"{text!r} is not an IP address; one is chosen from the pools instead",
            severity=Severity.WARNING,
        ),
    )


def _sources(
    service: Service, ref: ObjectRef
) -> tuple[tuple[Cidr, ...] | None, tuple[Problem, ...]]:
    """Return the client networks let in; the field wins over the annotation (helper.go)."""
    field, texts = "spec.loadBalancerSourceRanges", service.spec.load_balancer_source_ranges
    if not texts:
        field = f"metadata.annotations[{SOURCE_RANGES_ANNOTATION}]"
        annotation = (service.metadata.annotation(SOURCE_RANGES_ANNOTATION) or "").strip()
        texts = tuple(annotation.split(",")) if annotation else ()
    parsed = {text: parse_cidr(text) for text in texts}
    bad = tuple(text for text, cidr in parsed.items() if cidr is None)
    good = tuple(sorted({cidr for cidr in parsed.values() if cidr is not None}))
    if not bad:
        return good, ()
    effect = "the others are kept" if good else "nobody is let in until one of them is valid"
    problem = Problem(
        subject=ref,
        field=field,
        reason=Reason.INVALID_SOURCE_RANGE,
        message=f"{', '.join(map(repr, bad))}: not a network such as 192.0.2.0/24; {effect}",
    )
    return good or None, (problem,)


def _ports(
    service: Service, policy: Policy, options: Options, ref: ObjectRef
) -> tuple[tuple[ServicePortIntent, ...], tuple[Problem, ...]]:
    ports: list[ServicePortIntent] = []
    problems: list[Problem] = []
    for number, port in enumerate(service.spec.ports or ()):
        if port.protocol not in (Transport.TCP, Transport.UDP):
            problems.append(
                Problem(
                    subject=ref,
                    field=f"spec.ports[{number}].protocol",
                    reason=Reason.UNSUPPORTED,
                    message=f"{port.protocol} is not served, only TCP and UDP; other ports are",
                )
            )
            continue
        wish = stream_wish(service, port, policy, options=options)
        problems.extend(rung_problems(wish, service, ref))
        ports.append(ServicePortIntent(port.port, Transport(port.protocol), wish))
    if policy.persistence in ("cookie", "header"):
        problems.append(
            Problem(
                subject=ref,
                field="metadata.annotations[onehop.dev/persistence]",
                reason=Reason.UNSUPPORTED,
                message=f"persistence by {policy.persistence} works where HTTP is understood, in an"
                " Ingress; this Service's own TCP and UDP ports can keep source-ip",
                severity=Severity.WARNING,
            )
        )
    return tuple(ports), tuple(problems)


def _status_addresses(service: Service) -> tuple[IpAddr, ...]:
    entries = service.status.load_balancer.ingress or ()
    parsed = (parse_ip(entry.ip) for entry in entries if entry.ip)
    return tuple(address for address in parsed if address is not None)


SERVICE_INTENTS = Derived[ObjectRef, ServiceIntent]("service-intents", _compute, (SERVICE_REFS,))
ALL_SERVICE_INTENTS = Index[ObjectRef, ServiceIntent, tuple[()]](
    SERVICE_INTENTS, "all", lambda _ref, _intent: (ONLY,)
)
SERVICE_INTENT_REFS = Index[ObjectRef, ServiceIntent, ObjectRef](
    SERVICE_INTENTS, "ref", lambda ref, _intent: (ref,)
)
SERVICE_WISHES = Index[ObjectRef, ServiceIntent, PoolId](
    SERVICE_INTENTS, "pool", lambda _, intent: [port.wish.pool.id for port in intent.ports]
)
