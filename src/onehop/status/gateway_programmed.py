"""`Programmed` of Gateways, ListenerSets and listeners: what the data plane has acknowledged.

`apis/v1/gateway_types.go: GatewayConditionProgrammed`, `ListenerConditionProgrammed`. Never on our
word alone: a listener is programmed once everything that it needs is served.
"""

from collections.abc import Iterable
from typing import Final

from onehop.cluster.gateway_verdict import ListenerVerdict, Saying, Truth
from onehop.model.problem import Reason
from onehop.status.condition import tell_problems
from onehop.status.report import Report

PROGRAMMED: Final = "Programmed"
_PENDING: Final = Saying(
    PROGRAMMED, Truth.FALSE, "Pending", "the data plane has not acknowledged all of it"
)


def programmed_listener(listener: ListenerVerdict, report: Report) -> Saying:
    """Return `Programmed` of one listener."""
    if listener.obstacle is not None:
        return listener.obstacle
    if not report.refused.isdisjoint(listener.needs):
        said = tell_problems(report.refusals) or "the data plane would not take it"
        return Saying(PROGRAMMED, Truth.FALSE, Reason.DATA_PLANE_REFUSED.value, said)
    if not report.is_acknowledged or not report.served.issuperset(listener.needs):
        return _PENDING
    return Saying(PROGRAMMED, Truth.TRUE, PROGRAMMED, "the data plane serves it")


def programmed_whole(obstacle: Saying | None, listeners: Iterable[Saying]) -> Saying:
    """Return `Programmed` of a Gateway or a ListenerSet.

    Args:
        obstacle: what it shall say in any case.
        listeners: `Programmed` of each of its listeners. One that works is enough: what is wrong
            with another one is said there.
    """
    if obstacle is not None:
        return obstacle
    told = tuple(listeners)
    if _PENDING in told:
        return _PENDING
    if any(saying.status is Truth.TRUE for saying in told) or not told:
        return Saying(PROGRAMMED, Truth.TRUE, PROGRAMMED, "the data plane serves it")
    reasons = {saying.reason for saying in told}
    reason = reasons.pop() if len(reasons) == 1 else "Invalid"
    return Saying(PROGRAMMED, Truth.FALSE, reason, "none of its listeners is served, see there")
