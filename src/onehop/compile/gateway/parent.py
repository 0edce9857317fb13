"""What routes are attached to: the listeners of a Gateway, or of a ListenerSet, not of both.

"If a Route has a parentRef that is a ListenerSet, then the ListenerSet is the direct Parent ... all
Listeners in the direct Parent object are relevant" (GEP-1713, "Summary of attachments").

Routes look at their parents, and at who has which name on a port, and not at the Gateway as a
whole: one more ListenerSet on it leaves the attachments of all others as they are.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from onehop.compile.gateway.gateway import GATEWAY_INTENT_REFS, GATEWAY_INTENTS, GatewayIntent
from onehop.compile.gateway.listener import ListenerIntent, Listening
from onehop.compile.gateway.listenerset import LISTENER_SET_INTENT_REFS, LISTENER_SET_INTENTS
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef

_Port: TypeAlias = tuple[ObjectRef, int]


class Parent(msgspec.Struct, frozen=True, gc=False):
    """A Gateway of ours, or a ListenerSet of one.

    Attributes:
        gateway: itself, or the one that a ListenerSet belongs to.
        listeners: of its own; none of a ListenerSet that is not let in.
    """

    ref: ObjectRef
    gateway: ObjectRef
    listeners: tuple[ListenerIntent, ...]


def _compute(reader: Reader, ref: ObjectRef) -> Cell[Parent]:
    if ref.kind == "Gateway":
        return Cell(Parent(ref, ref, reader.need(GATEWAY_INTENTS, ref).listeners_of(ref)))
    gateway = reader.need(LISTENER_SET_INTENTS, ref).gateway
    return Cell(Parent(ref, gateway, reader.need(GATEWAY_INTENTS, gateway).listeners_of(ref)))


def _names(reader: Reader, port: _Port) -> Cell[Mapping[str, Listening]]:
    gateway, number = port
    served = reader.need(GATEWAY_INTENTS, gateway).served()
    named = (each for each in served if each.protocol and each.protocol.is_named)
    return Cell({each.hostname: each.id for each in named if each.port == number} or None)


def _ports(ref: ObjectRef, intent: GatewayIntent) -> set[_Port]:
    return {(ref, each.port) for each in intent.served()}


PARENTS: Final = Derived[ObjectRef, Parent](
    "parents", _compute, (GATEWAY_INTENT_REFS, LISTENER_SET_INTENT_REFS)
)
_PORTS: Final = Index[ObjectRef, GatewayIntent, _Port](GATEWAY_INTENTS, "port", _ports)
NAMES: Final = Derived[_Port, Mapping[str, Listening]]("listener-names", _names, (_PORTS,))
"""Which listener has which hostname on a port, of those that are served."""
