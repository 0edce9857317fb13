"""What shall be written back to each object of ours, once the data plane has taken the rest."""

from typing import Final, TypeAlias

import msgspec

from onehop.cluster import Ingress
from onehop.cluster.gateway_verdict import GatewayApiVerdict
from onehop.cluster.service import IngressAddress, LoadBalancerStatus, PortStatus
from onehop.compile.allocation import PLACEMENTS
from onehop.compile.backend import options_of
from onehop.compile.ingress import INGRESS_INTENTS, IngressIntent
from onehop.compile.inputs import HELD, HELD_REFS, INGRESSES, SERVICE_REFS, SERVICES
from onehop.compile.service import FINALIZER, SERVICE_INTENTS, is_ours
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ListenerId, ObjectRef


class ServiceVerdict(msgspec.Struct, frozen=True, gc=False):
    """A Service of ours.

    Attributes:
        status: what `status.loadBalancer` shall be, once `listeners` are served.
        listeners: what must be acknowledged before the status is true.
    """

    ref: ObjectRef
    status: LoadBalancerStatus
    listeners: tuple[ListenerId, ...]


class ServiceRelease(msgspec.Struct, frozen=True, gc=False):
    """A Service that was ours, or is being deleted: once it is no longer served, let go of it.

    Attributes:
        clears_status: it lives on without us, so our addresses must leave its status.
    """

    ref: ObjectRef
    clears_status: bool


class IngressVerdict(msgspec.Struct, frozen=True, gc=False):
    """An Ingress and what `status.loadBalancer` shall be; nothing, if it is no longer ours."""

    ref: ObjectRef
    status: LoadBalancerStatus


Verdict: TypeAlias = ServiceVerdict | ServiceRelease | IngressVerdict | GatewayApiVerdict


def _service(reader: Reader, ref: ObjectRef) -> Cell[Verdict]:
    service = reader.get(SERVICES, ref)
    if service is None:
        return Cell(None)
    intent, placement = reader.get(SERVICE_INTENTS, ref), reader.get(PLACEMENTS, ref)
    if intent is None:
        was_ours = reader.get(HELD, ref) is not None
        has_finalizer = FINALIZER in (service.metadata.finalizers or ())
        deleting = service.metadata.deletion_timestamp is not None
        if has_finalizer and (was_ours or is_ours(service, options_of(reader))):
            return Cell(ServiceRelease(ref, clears_status=not deleting))
        return Cell(None)
    listeners = placement.listeners if placement else ()
    entries: list[IngressAddress] = []
    for address in placement.addresses if placement and listeners else ():
        ports = tuple(
            PortStatus(port=item.port, protocol=item.transport)
            for item in listeners
            if item.address == address
        )
        # Proxy: kube-proxy must not short-circuit traffic to the VIP past us (KEP-1860).
        entries.append(IngressAddress(ip=address, ip_mode="Proxy", ports=ports))
    status = LoadBalancerStatus(tuple(entries) or None)
    return Cell(ServiceVerdict(ref, status, tuple(item.id for item in listeners)))


def _ingress(reader: Reader, ref: ObjectRef) -> Cell[Verdict]:
    shared = options_of(reader).shared
    if reader.get(INGRESS_INTENTS, ref) is None:
        ingress = reader.get(INGRESSES, ref)
        stale = ingress is not None and set(_status_ips(ingress)) <= set(shared)
        return Cell(IngressVerdict(ref, LoadBalancerStatus()) if stale and shared else None)
    entries = tuple(IngressAddress(ip=address) for address in shared)
    return Cell(IngressVerdict(ref, LoadBalancerStatus(entries or None)))


def _status_ips(ingress: Ingress) -> tuple[str, ...]:
    return tuple(entry.ip or "" for entry in ingress.status.load_balancer.ingress or ())


_INTENT_REFS: Final = Index[ObjectRef, IngressIntent, ObjectRef](
    INGRESS_INTENTS, "ref", lambda ref, _intent: (ref,)
)
SERVICE_VERDICTS: Final = Derived[ObjectRef, Verdict](
    "service-verdicts", _service, (SERVICE_REFS, HELD_REFS)
)
# Not ours, and with addresses that may be ours from before: a class that changed takes them away.
_STATUS_REFS: Final = Index[ObjectRef, Ingress, ObjectRef](
    INGRESSES, "status-ref", lambda ref, ingress: (ref,) if _status_ips(ingress) else ()
)
INGRESS_VERDICTS: Final = Derived[ObjectRef, Verdict](
    "ingress-verdicts", _ingress, (_INTENT_REFS, _STATUS_REFS)
)
