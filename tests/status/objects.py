"""Objects, verdicts and reports of the tests, and a cluster that carries out writes in memory."""

from datetime import UTC, datetime

import msgspec

from onehop.cluster import ClusterObject, Ingress, Service
from onehop.cluster.ingress import IngressStatus
from onehop.cluster.meta import Meta
from onehop.cluster.service import (
    Condition,
    IngressAddress,
    LoadBalancerStatus,
    PortStatus,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
)
from onehop.compile.service import FINALIZER
from onehop.compile.verdict import IngressVerdict, ServiceVerdict
from onehop.model.ident import ListenerId, ObjectRef
from onehop.model.problem import Problem, Reason, Severity
from onehop.status import AddFinalizer, EmitEvent, PatchStatus, RemoveFinalizer, Report, Write

WEB = ObjectRef("Service", "shop", "web")
SHOP = ObjectRef("Ingress", "shop", "shop")
VIP = "203.0.113.10"
OTHER_VIP = "203.0.113.11"
FOREIGN = Condition(
    type="other.example/Ready",
    status="True",
    reason="Fine",
    message="said by another controller",
    last_transition_time="2025-01-01T00:00:00Z",
)


def moment(second: int = 0) -> datetime:
    """Return a time of day."""
    return datetime(2026, 1, 1, 12, 0, second, tzinfo=UTC)


def listener(port: int = 80, address: str = VIP) -> ListenerId:
    """Return the id of a TCP listener of shop/web."""
    return ListenerId(f"shop/web:{port}/TCP@{address}")


def addresses(*ips: str, ports: tuple[int, ...] = (80,)) -> LoadBalancerStatus:
    """Return a Service's status as the compiler wants it."""
    entries = tuple(
        IngressAddress(
            ip=ip,
            ip_mode="Proxy",
            ports=tuple(PortStatus(port=port, protocol="TCP") for port in ports),
        )
        for ip in ips
    )
    return LoadBalancerStatus(entries or None)


def verdict(*ips: str, ports: tuple[int, ...] = (80,)) -> ServiceVerdict:
    """Return the verdict on a Service that is served on some addresses."""
    listeners = tuple(listener(port, ip) for ip in ips for port in ports)
    return ServiceVerdict(WEB, addresses(*ips, ports=ports), listeners)


def served_report(*ips: str, ports: tuple[int, ...] = (80,)) -> Report:
    """Return the report on a Service all of whose listeners are served."""
    found = verdict(*(ips or (VIP,)), ports=ports)
    return Report(verdict=found, uid="u1", served=frozenset(found.listeners))


def ingress_report(*ips: str) -> Report:
    """Return the report on an Ingress that is served."""
    entries = tuple(IngressAddress(ip=ip) for ip in ips)
    return Report(verdict=IngressVerdict(SHOP, LoadBalancerStatus(entries or None)), uid="u1")


def problem(
    reason: Reason = Reason.POOL_EXHAUSTED,
    message: str = "no address is free",
    severity: Severity = Severity.ERROR,
    subject: ObjectRef = WEB,
) -> Problem:
    """Return a problem of shop/web."""
    return Problem(subject=subject, field="spec", reason=reason, message=message, severity=severity)


def service(
    *,
    finalizers: tuple[str, ...] | None = (FINALIZER,),
    shown: LoadBalancerStatus = LoadBalancerStatus(),  # noqa: B008  frozen
    conditions: tuple[Condition, ...] | None = None,
    deleted: str | None = None,
) -> Service:
    """Return shop/web."""
    return Service(
        metadata=Meta(
            name="web",
            namespace="shop",
            uid="u1",
            resource_version="5",
            finalizers=finalizers,
            deletion_timestamp=deleted,
        ),
        spec=ServiceSpec(type="LoadBalancer", ports=(ServicePort(port=80),)),
        status=ServiceStatus(shown, conditions),
    )


def ingress(shown: LoadBalancerStatus = LoadBalancerStatus()) -> Ingress:  # noqa: B008  frozen
    """Return shop/shop."""
    return Ingress(
        metadata=Meta(name="shop", namespace="shop", uid="u1", resource_version="5"),
        status=IngressStatus(shown),
    )


def carried_out(live: ClusterObject, writes: tuple[Write, ...]) -> ClusterObject:
    """Return the object after the writes, as an API server would leave it."""
    for write in writes:
        match write:
            case AddFinalizer(finalizers=finalizers) | RemoveFinalizer(finalizers=finalizers):
                metadata = msgspec.structs.replace(live.metadata, finalizers=finalizers or None)
                live = msgspec.structs.replace(live, metadata=metadata)
            case PatchStatus():
                live = _patched(live, write)
            case EmitEvent():
                continue
    return live


def changes(writes: tuple[Write, ...]) -> tuple[Write, ...]:
    """Return the writes but for standing events, which hold for as long as the report does."""
    return tuple(
        write for write in writes if not (isinstance(write, EmitEvent) and write.is_standing)
    )


def reasons(writes: tuple[Write, ...]) -> list[str]:
    """Return the reasons of the events among the writes."""
    return [write.reason for write in writes if isinstance(write, EmitEvent)]


def only_patch(writes: tuple[Write, ...]) -> PatchStatus:
    """Return the one status patch among the writes."""
    (patch,) = [write for write in writes if isinstance(write, PatchStatus)]
    return patch


def _patched(live: ClusterObject, patch: PatchStatus) -> ClusterObject:
    status: ServiceStatus | IngressStatus
    match live:
        case Service():
            status = ServiceStatus(
                live.status.load_balancer if patch.load_balancer is None else patch.load_balancer,
                live.status.conditions if patch.conditions is None else patch.conditions,
            )
        case Ingress():
            assert patch.load_balancer is not None
            status = IngressStatus(patch.load_balancer)
        case _:
            raise AssertionError(f"nothing writes a status of {live!r}")
    return msgspec.structs.replace(live, status=status)
