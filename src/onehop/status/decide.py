"""From what is known of an object and what it looks like, to what must be written.

Pure, and level-triggered: there is no memory of what was written before. Carrying out what `decide`
returns and deciding again gives nothing but the standing events, which `herald` tells once.
"""

from datetime import datetime
from typing import TypeAlias

from onehop.cluster.ingress import Ingress
from onehop.cluster.kind import ClusterObject, ref_of
from onehop.cluster.service import Condition, LoadBalancerStatus, Service
from onehop.compile.service import FINALIZER
from onehop.compile.verdict import IngressVerdict, ServiceRelease, ServiceVerdict
from onehop.status.address import means_same, wanted_of_ingress, wanted_of_service
from onehop.status.condition import claims_of, is_programmed, with_claims, without_ours
from onehop.status.event import event_after, standing_events
from onehop.status.gateway_decide import decide_gateway
from onehop.status.report import Report
from onehop.status.write import AddFinalizer, ObjectWrite, PatchStatus, RemoveFinalizer, Write

_Writes: TypeAlias = tuple[ObjectWrite, ...]


def decide(
    report: Report, live: ClusterObject | None, *, now: datetime, is_patient: bool = False
) -> tuple[Write, ...]:
    """Return what must be written, in this order, so that the object says what is true.

    An event that is not standing is true once the write right before it is done.

    Args:
        report: what is known of it.
        live: the newest form of the object we know; None when it is gone.
        now: in UTC, for conditions whose status changes.
        is_patient: leave the status as it is while the report is pending.
    """
    if live is None or live.metadata.uid != report.uid:
        return ()  # a report on an object that is no more; the compiler will speak of the new one
    waits = is_patient and report.is_pending
    writes = _writes(report, live, now.strftime("%Y-%m-%dT%H:%M:%SZ"), waits=waits)
    decided: list[Write] = [*standing_events(ref_of(live), report)]
    for write in writes:
        decided.append(write)
        happened = event_after(report, write, becomes_served=_is_news(report, live, write))
        if happened is not None:
            decided.append(happened)
    return tuple(decided)


def _writes(report: Report, live: ClusterObject, now: str, *, waits: bool) -> _Writes:
    match report.verdict, live:
        case ServiceVerdict() as verdict, Service():
            if live.metadata.deletion_timestamp is not None:
                return ()  # a release will follow; the API takes no new finalizer now
            status = () if waits else _service_status(verdict, report, live, now)
            return (*_claim(live), *status)
        case ServiceRelease(clears_status=clears_status), Service():
            if report.served:
                return ()  # the data plane first (cloud-provider, syncLoadBalancerIfNeeded)
            # The status before the finalizer: without it, the object is nobody's of ours.
            cleared = _cleared_status(live) if clears_status else ()
            return (*cleared, *_release(live))
        case IngressVerdict() as verdict, Ingress():
            return () if waits else _ingress_status(verdict, report, live)
        case _:
            return () if waits else decide_gateway(report, live, now)


def _claim(live: Service) -> _Writes:
    finalizers = live.metadata.finalizers or ()
    if FINALIZER in finalizers:
        return ()
    return (AddFinalizer(ref_of(live), (*finalizers, FINALIZER)),)


def _release(live: Service) -> _Writes:
    finalizers = live.metadata.finalizers or ()
    if FINALIZER not in finalizers:
        return ()
    return (RemoveFinalizer(ref_of(live), tuple(one for one in finalizers if one != FINALIZER)),)


def _service_status(verdict: ServiceVerdict, report: Report, live: Service, now: str) -> _Writes:
    conditions = with_claims(
        live.status.conditions or (),
        claims_of(verdict, report),
        generation=report.generation,
        now=now,
    )
    wanted = wanted_of_service(verdict, report, live.status.load_balancer)
    return _patch(live, wanted, conditions)


def _cleared_status(live: Service) -> _Writes:
    return _patch(live, LoadBalancerStatus(), without_ours(live.status.conditions or ()))


def _ingress_status(verdict: IngressVerdict, report: Report, live: Ingress) -> _Writes:
    had = live.status.load_balancer
    wanted = wanted_of_ingress(verdict.status, report, had)
    return () if means_same(wanted, had) else (PatchStatus(ref=ref_of(live), load_balancer=wanted),)


def _patch(live: Service, wanted: LoadBalancerStatus, conditions: tuple[Condition, ...]) -> _Writes:
    had = live.status
    patch = PatchStatus(
        ref=ref_of(live),
        load_balancer=None if means_same(wanted, had.load_balancer) else wanted,
        conditions=None if conditions == (had.conditions or ()) else conditions,
    )
    return (patch,) if patch != PatchStatus(ref=patch.ref) else ()


def _is_news(report: Report, live: ClusterObject, write: ObjectWrite) -> bool:
    """Tell whether a write says for the first time that this Service is served as it is."""
    if not isinstance(live, Service) or not isinstance(report.verdict, ServiceVerdict):
        return False
    if not isinstance(write, PatchStatus):
        return False
    if write.load_balancer is not None and write.load_balancer.ingress:
        return not report.is_pending
    was_programmed = is_programmed(live.status.conditions or ())
    return not was_programmed and is_programmed(write.conditions or ())
