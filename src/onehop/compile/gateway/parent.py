"""What routes are attached to: the listeners of a Gateway, or of a ListenerSet, not of both.

"If a Route has a parentRef that is a ListenerSet, then the ListenerSet is the direct Parent ... all
Listeners in the direct Parent object are relevant" (GEP-1713, "Summary of attachments").

Routes look at their parents, and at who has which name on a port, and not at the Gateway as a
whole: one more ListenerSet on it leaves the attachments of all others as they are.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from onehop.compile.gateway.gateway import GATEWAY_INTENT_REFS, GATEWAY_INTENTS, GatewayIntent
from onehop.compile.gateway.listener import ListenerIntent, Listening
from onehop.compile.gateway.listenerset import LISTENER_SET_INTENT_REFS, LISTENER_SET_INTENTS
from onehop.compile.gateway.place import port_of, router_of
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef, RouterId


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


def _names(reader: Reader, router: RouterId) -> Cell[Mapping[str, Listening]]:
    intent = reader.any(_ROUTERS, router)
    named = intent.named() if intent is not None else ()
    port = port_of(router)
    return Cell({each.hostname: each.id for each in named if each.port == port} or None)


def _routers(ref: ObjectRef, intent: GatewayIntent) -> set[RouterId]:
    return {router_of(ref, port) for port in {each.port for each in intent.named()}}


PARENTS: Final = Derived[ObjectRef, Parent](
    "parents", _compute, (GATEWAY_INTENT_REFS, LISTENER_SET_INTENT_REFS)
)
_ROUTERS: Final = Index[ObjectRef, GatewayIntent, RouterId](GATEWAY_INTENTS, "router", _routers)
NAMES: Final = Derived[RouterId, Mapping[str, Listening]]("listener-names", _names, (_ROUTERS,))
"""Which listener has which hostname on a port, of those that are served."""
