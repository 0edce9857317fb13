"""Which events an object's owner shall read.

Reasons and messages of a Service's life are those of cloud-provider's service controller
(controllers/service/controller.go): people script on them. Beside them, a Warning for every
Problem, with its own reason.
"""

from collections.abc import Iterator
from typing import Final, assert_never

from onehop.compile.verdict import ServiceRelease, ServiceVerdict
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem
from onehop.status.condition import tell_problem, tell_problems
from onehop.status.report import Report
from onehop.status.write import (
    AddFinalizer,
    EmitEvent,
    EventType,
    ObjectWrite,
    PatchGatewayApi,
    PatchStatus,
    RemoveFinalizer,
)

LONGEST_MESSAGE: Final = 1024
"""events.k8s.io/v1 `note`; core/v1 sets no limit, but both are the same objects."""


def standing_events(ref: ObjectRef, report: Report) -> tuple[EmitEvent, ...]:
    """Return what holds of an object until its next report."""
    problems = (problem_event(ref, report.uid, problem) for problem in report.sorted_problems)
    return (*_standing(ref, report), *problems)


def event_after(report: Report, write: ObjectWrite, *, becomes_served: bool) -> EmitEvent | None:
    """Return what has happened once a write is done, or None.

    Args:
        report: what the write was decided from.
        write: what was written.
        becomes_served: whether it shows that the object is served now and was not before.
    """
    match write:
        case AddFinalizer():
            return _happened(write.ref, report, "EnsuringLoadBalancer", "Ensuring load balancer")
        case RemoveFinalizer():
            return _happened(write.ref, report, "DeletedLoadBalancer", "Deleted load balancer")
        case PatchStatus():
            if not becomes_served:
                return None
            return _happened(write.ref, report, "EnsuredLoadBalancer", "Ensured load balancer")
        case PatchGatewayApi():
            return None  # its conditions say it, and tools read those
        case _:
            assert_never(write)


def problem_event(ref: ObjectRef, uid: str, problem: Problem) -> EmitEvent:
    """Return the event that tells a problem."""
    return _event(ref, uid, problem.reason, tell_problem(problem), EventType.WARNING)


def good_news(ref: ObjectRef, uid: str, reason: str, message: str) -> EmitEvent:
    """Return the event that tells once of what is over."""
    return EmitEvent(
        ref=ref,
        uid=uid,
        reason=reason,
        type=EventType.NORMAL,
        message=message,
        is_standing=False,
    )


def _standing(ref: ObjectRef, report: Report) -> Iterator[EmitEvent]:
    match report.verdict:
        case ServiceRelease():
            yield _event(
                ref, report.uid, "DeletingLoadBalancer", "Deleting load balancer", EventType.NORMAL
            )
        case ServiceVerdict(listeners=listeners):
            yield from _failures(ref, report, is_served=report.served.issuperset(listeners))
        case _:
            return


def _failures(ref: ObjectRef, report: Report, *, is_served: bool) -> Iterator[EmitEvent]:
    warning = EventType.WARNING
    if report.served and not report.has_endpoints:
        text = "There are no available endpoints for LoadBalancer"
        yield _event(ref, report.uid, "UnAvailableLoadBalancer", text, warning)
    failures = (*report.refusals, *(() if report.served else report.faults))
    if not failures:
        return
    said = tell_problems(failures)
    if report.served and is_served:
        text = f"Error updating load balancer: {said}"
        yield _event(ref, report.uid, "UpdateLoadBalancerFailed", text, warning)
    else:
        text = f"Error syncing load balancer: {said}"
        yield _event(ref, report.uid, "SyncLoadBalancerFailed", text, warning)


def _happened(ref: ObjectRef, report: Report, reason: str, message: str) -> EmitEvent:
    return good_news(ref, report.uid, reason, message)


def _event(ref: ObjectRef, uid: str, reason: str, message: str, kind: EventType) -> EmitEvent:
    return EmitEvent(
        ref=ref,
        uid=uid,
        reason=str(reason),
        type=kind,
        message=message[:LONGEST_MESSAGE],
        is_standing=True,
    )
