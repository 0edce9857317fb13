"""What shall be said in the status of ListenerSets.

Conditions and reasons are those of `apis/v1/listenerset_types.go`.
"""

from collections.abc import Sequence
from typing import Final

from onehop.cluster.gateway_verdict import ListenerSetVerdict, Saying, Truth
from onehop.compile.gateway.gateway import GATEWAY_INTENTS, GatewayIntent
from onehop.compile.gateway.listener import ListenerIntent
from onehop.compile.gateway.listenerset import LISTENER_SET_INTENT_REFS, LISTENER_SET_INTENTS
from onehop.compile.gateway.placement import GATEWAY_PLACEMENTS
from onehop.compile.gateway.verdict import gateway_obstacle, listener_verdict
from onehop.compile.sheet import Cell, Derived, Reader
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, quoted

_PROGRAMMED: Final = "Programmed"


def _compute(reader: Reader, ref: ObjectRef) -> Cell[ListenerSetVerdict]:
    wanted = reader.need(LISTENER_SET_INTENTS, ref)
    if wanted.refusal is not None:
        refused = Saying(_PROGRAMMED, Truth.FALSE, "NotAllowed", wanted.refusal.message)
        return Cell(ListenerSetVerdict(ref=ref, sayings=(wanted.refusal,), obstacle=refused))
    gateway = reader.need(GATEWAY_INTENTS, wanted.gateway)
    placement = reader.need(GATEWAY_PLACEMENTS, wanted.gateway)
    listeners = gateway.listeners_of(ref)
    accepted = _accepted(gateway, listeners)
    lacking = gateway_obstacle(gateway, placement)
    obstacle: Saying | None = None
    if gateway.refusal is not None or lacking is not None:
        message = f"{gateway.ref} is not programmed, see there"
        obstacle = Saying(_PROGRAMMED, Truth.FALSE, "ParentNotProgrammed", message)
    elif accepted.status is Truth.FALSE:
        obstacle = Saying(_PROGRAMMED, Truth.FALSE, accepted.reason, accepted.message)
    verdict = ListenerSetVerdict(
        ref=ref,
        sayings=(accepted,),
        listeners=tuple(listener_verdict(reader, gateway, each, placement) for each in listeners),
        obstacle=obstacle,
    )
    return Cell(verdict, tuple(_problems(ref, gateway, accepted)))


def _accepted(gateway: GatewayIntent, listeners: Sequence[ListenerIntent]) -> Saying:
    """Say whether a ListenerSet is accepted: with one listener that can be served, it is.

    "ListenersNotValid: ... This can be the reason when Accepted is True or False, depending on
    whether the listener being invalid causes the entire ListenerSet to not be accepted."
    """
    if gateway.refusal is not None:
        message = f"{gateway.ref} is not accepted, see there"
        return Saying("Accepted", Truth.FALSE, "ParentNotAccepted", message)
    bad = sorted(quoted(each.name) for each in listeners if not each.is_valid)
    message = f"these listeners are not served, see their conditions: {', '.join(bad)}"
    if not bad:
        return Saying("Accepted", Truth.TRUE, "Accepted")
    truth = Truth.TRUE if len(bad) < len(listeners) else Truth.FALSE
    return Saying("Accepted", truth, "ListenersNotValid", message)


def _problems(ref: ObjectRef, gateway: GatewayIntent, accepted: Saying) -> Sequence[Problem]:
    """Return what is wrong with the Gateway; its own faults are told listener by listener."""
    if gateway.refusal is None:
        return ()
    return (
        Problem(
            subject=ref,
            field="spec.parentRef",
            reason=Reason.NOT_ATTACHED,
            message=f"{accepted.reason}: {accepted.message}",
        ),
    )


LISTENER_SET_VERDICTS: Final = Derived[ObjectRef, ListenerSetVerdict](
    "listener-set-verdicts", _compute, (LISTENER_SET_INTENT_REFS,)
)
