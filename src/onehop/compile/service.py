"""A Service of type LoadBalancer: is it ours, and what does it ask for?"""

from collections.abc import Container
from typing import Final

import msgspec

from onehop.cluster import Service
from onehop.cluster.service import ServicePort
from onehop.compile.backend import options_of
from onehop.compile.clientaddress import grant
from onehop.compile.inputs import SERVICE_REFS, SERVICES
from onehop.compile.options import Options
from onehop.compile.policy import Policy, parse_policy
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.compile.value import is_port
from onehop.compile.wish import Wish, rung_problems, stream_wish
from onehop.model.address import Cidr, IpAddr, is_ipv6, parse_cidr, parse_ip
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.listener import Transport
from onehop.model.problem import Problem, Reason, Severity, quoted

FINALIZER: Final = "service.kubernetes.io/load-balancer-cleanup"
"""Added before a Service is served, removed after it no longer is (cloud-provider, helper.go)."""

SOURCE_RANGES_ANNOTATION: Final = "service.beta.kubernetes.io/load-balancer-source-ranges"


class ServicePortIntent(msgspec.Struct, frozen=True, gc=False):
    """One port that clients connect to, and the pool behind it."""

    port: int
    transport: Transport
    wish: Wish


class ServiceIntent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a Service of ours asks for; addresses are given in `allocation`.

    Attributes:
        families, needs_every_family, requested, requested_field: see `ledger.AddressWish`.
        sources: None means that its source ranges are unusable: nobody may be let in.
        return_paths: networks that Pods must answer through this host; see `clientaddress`.
        is_admitted: its finalizer is there, or none is needed; only then it is served.
    """

    ref: ObjectRef
    age_key: tuple[str, str, str]
    families: tuple[bool, ...]
    needs_every_family: bool
    requested: tuple[IpAddr, ...]
    requested_field: str
    address_pool: str | None
    share_key: str | None
    sources: tuple[Cidr, ...] | None
    ports: tuple[ServicePortIntent, ...]
    accepts_proxy_protocol: bool
    max_connections: int | None
    idle_timeout_s: float | None
    return_paths: tuple[Cidr, ...]
    is_admitted: bool


def is_ours(service: Service, options: Options) -> bool:
    """Tell whether we are the load balancer of this Service (KEP-1959)."""
    if service.spec.type != "LoadBalancer":
        return False
    wanted = service.spec.load_balancer_class
    return options.is_default_service_class if wanted is None else wanted == options.service_class


def _compute(reader: Reader, ref: ObjectRef) -> Cell[ServiceIntent]:
    service, options = reader.get(SERVICES, ref), options_of(reader)
    if service is None or service.metadata.deletion_timestamp is not None:
        return Cell(None)
    policy, problems = parse_policy(ref, service.metadata.annotations)
    if not is_ours(service, options):
        return Cell(None, problems)  # it may be the backend of an Ingress, and mean us
    families = tuple(f == "IPv6" for f in dict.fromkeys(service.spec.ip_families or ("IPv4",)))
    requested = _requested(service, policy, families, ref)
    sources, source_problems = _sources(service, ref)
    granted = grant(reader, service, policy, sources)
    ports, port_problems = _ports(service, granted.policy, options, ref)
    intent = ServiceIntent(
        ref=ref,
        age_key=service.metadata.age_key,
        families=families,
        needs_every_family=service.spec.ip_family_policy != "PreferDualStack",
        requested=requested.addresses,
        requested_field=requested.field,
        address_pool=policy.address_pool,
        share_key=policy.share_address,
        sources=sources,
        ports=ports,
        accepts_proxy_protocol=policy.accept_proxy_protocol or False,
        max_connections=policy.connection_limit,
        idle_timeout_s=policy.idle_timeout,
        return_paths=granted.return_paths,
        is_admitted=not options.writes_back or FINALIZER in (service.metadata.finalizers or ()),
    )
    problems += (*requested.problems, *source_problems, *granted.problems, *port_problems)
    return Cell(intent, problems)


class _Requested(msgspec.Struct, frozen=True, gc=False):
    """Addresses asked for, and where."""

    addresses: tuple[IpAddr, ...]
    field: str
    problems: tuple[Problem, ...] = ()


def _requested(
    service: Service, policy: Policy, families: tuple[bool, ...], ref: ObjectRef
) -> _Requested:
    field, asked = "metadata.annotations[onehop.dev/addresses]", policy.addresses
    if asked is None:
        field, text = "spec.loadBalancerIP", service.spec.load_balancer_ip
        address = parse_ip(text) if text else None
        if text and address is None:
            why = f"{quoted(text)} is not an IP address"
            return _Requested((), field, (_ignored(ref, field, why),))
        asked = (address,) if address is not None else ()
    strange = [address for address in asked if is_ipv6(address) not in families]
    problems = tuple(
        _ignored(ref, field, f"{address} is of a family that spec.ipFamilies does not have")
        for address in strange
    )
    return _Requested(tuple(a for a in asked if a not in strange), field, problems)


def _ignored(ref: ObjectRef, field: str, why: str) -> Problem:
    return Problem(
        subject=ref,
        field=field,
        reason=Reason.INVALID_OBJECT,
        message=f"{why}; an address of each family is chosen from the pools instead",
        severity=Severity.WARNING,
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
    bad = [text for text, cidr in parsed.items() if cidr is None]
    good = tuple(sorted({cidr for cidr in parsed.values() if cidr is not None}))
    if not bad:
        return good, ()
    effect = "the others are kept" if good else "nobody is let in until one of them is valid"
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    problem = Problem(
        subject=ref,
        field=field,
        reason=Reason.INVALID_SOURCE_RANGE,
        message=f"{quoted(bad[0])}{more}: not a network such as 192.0.2.0/24; {effect}",
    )
    return good or None, (problem,)


def _ports(
    service: Service, policy: Policy, options: Options, ref: ObjectRef
) -> tuple[tuple[ServicePortIntent, ...], tuple[Problem, ...]]:
    ports: dict[tuple[int, str], ServicePortIntent] = {}
    problems: list[Problem] = []
    for number, port in enumerate(service.spec.ports or ()):
        refusal = _port_refusal(port, ports)
        if refusal is not None:
            field = f"spec.ports[{number}]"
            problems.append(
                Problem(subject=ref, field=field, reason=refusal[0], message=refusal[1])
            )
            continue
        wish = stream_wish(service, port, policy, options=options)
        problems.extend(rung_problems(wish, port, ref))
        intent = ServicePortIntent(port.port, Transport(port.protocol), wish)
        ports[port.port, port.protocol] = intent
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
    return tuple(ports.values()), tuple(problems)


def _port_refusal(
    port: ServicePort, known: Container[tuple[int, str]]
) -> tuple[Reason, str] | None:
    """Say why a port is not served, or None; an API server refuses the latter two itself."""
    if port.protocol not in (Transport.TCP, Transport.UDP):
        protocol = quoted(port.protocol)
        return Reason.UNSUPPORTED, f"{protocol} is not served, only TCP and UDP; other ports are"
    if not is_port(port.port):
        return Reason.INVALID_OBJECT, f"{port.port} is not a port from 1 to 65535"
    if (port.port, port.protocol) in known:
        return Reason.NOT_UNIQUE, f"{port.port}/{port.protocol} stands here twice; the first counts"
    return None


def status_addresses(service: Service | None) -> tuple[IpAddr, ...]:
    """Return the addresses that a Service's status carries."""
    entries = service.status.load_balancer.ingress or () if service else ()
    parsed = (parse_ip(entry.ip) for entry in entries if entry.ip)
    return tuple(address for address in parsed if address is not None)


SERVICE_INTENTS: Final = Derived[ObjectRef, ServiceIntent](
    "service-intents", _compute, (SERVICE_REFS,)
)
SERVICE_INTENT_REFS: Final = Index[ObjectRef, ServiceIntent, ObjectRef](
    SERVICE_INTENTS, "ref", lambda ref, _intent: (ref,)
)
SERVICE_RETURN_PATHS: Final = Index[ObjectRef, ServiceIntent, Cidr](
    SERVICE_INTENTS, "return-path", lambda _, intent: intent.return_paths
)
SERVICE_WISHES: Final = Index[ObjectRef, ServiceIntent, PoolId](
    SERVICE_INTENTS, "pool", lambda _, intent: [port.wish.pool.id for port in intent.ports]
)
