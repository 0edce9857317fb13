"""ListenerSets: listeners that others than its owner add to a Gateway (GEP-1713).

Each is read alone here; beside all other listeners of the Gateway they are judged in `merge`, by
the Gateway's own cell.
"""

from typing import Final

import msgspec

from onehop.cluster import Gateway, ListenerSet
from onehop.cluster.gateway import GatewayTls, ListenerNamespaces
from onehop.cluster.gateway_ref import GROUP
from onehop.cluster.gateway_verdict import Saying, Truth
from onehop.compile.gateway.gatewayclass import is_served
from onehop.compile.gateway.listener import ListenerIntent, asked_in_vain, read_listeners
from onehop.compile.gateway.origin import From, lets_in
from onehop.compile.inputs import GATEWAYS, LISTENER_SETS
from onehop.compile.policy import parse_policy
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason


class ListenerSetIntent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a ListenerSet for a Gateway of ours asks for.

    Attributes:
        age_key: who goes first: "ordered by creation time (oldest first)", then by name.
        refusal: why the Gateway does not let it in, or None; then there are no listeners.
        listeners: each judged by itself.
    """

    ref: ObjectRef
    gateway: ObjectRef
    age_key: tuple[str, str, str]
    refusal: Saying | None = None
    listeners: tuple[ListenerIntent, ...] = ()


class Door(msgspec.Struct, frozen=True, gc=False):
    """Of a Gateway of ours what its ListenerSets depend on: its status is not among it."""

    namespaces: ListenerNamespaces
    tls: GatewayTls | None


def _door(reader: Reader, ref: ObjectRef) -> Cell[Door]:
    gateway = reader.need(GATEWAYS, ref)
    if gateway.metadata.deletion_timestamp is not None:
        return Cell(None)
    if not is_served(reader, gateway.spec.gateway_class_name):
        return Cell(None)
    return Cell(Door(gateway.spec.allowed_listeners.namespaces, gateway.spec.tls))


def _compute(reader: Reader, ref: ObjectRef) -> Cell[ListenerSetIntent]:
    found = reader.need(LISTENER_SETS, ref)
    parent = found.spec.parent_ref
    if found.metadata.deletion_timestamp is not None:
        return Cell(None)
    if (parent.group, parent.kind) != (GROUP, "Gateway"):
        return Cell(None)
    gateway = ObjectRef("Gateway", parent.namespace or ref.namespace, parent.name)
    door = reader.get(DOORS, gateway)
    if door is None:
        return Cell(None)
    intent = ListenerSetIntent(ref=ref, gateway=gateway, age_key=found.metadata.age_key)
    origin, selector = From.of(door.namespaces.origin), door.namespaces.selector
    if lets_in(reader, origin, selector, home=gateway.namespace, namespace=ref.namespace):
        listeners = read_listeners(reader, ref, found.spec.listeners, gateway, door.tls)
        policy, faults = parse_policy(ref, found.metadata.annotations)
        told = (*faults, *asked_in_vain(ref, policy, listeners))
        return Cell(msgspec.structs.replace(intent, listeners=listeners), told)
    message = f"spec.allowedListeners of {gateway} lets in no ListenerSets of this namespace"
    problem = Problem(
        subject=ref, field="spec.parentRef", reason=Reason.NOT_ATTACHED, message=message
    )
    refusal = Saying("Accepted", Truth.FALSE, "NotAllowed", message)
    return Cell(msgspec.structs.replace(intent, refusal=refusal), (problem,))


GATEWAY_REFS: Final = Index[ObjectRef, Gateway, ObjectRef](GATEWAYS, "ref", lambda ref, _: (ref,))
DOORS: Final = Derived[ObjectRef, Door]("gateway-doors", _door, (GATEWAY_REFS,))
_REFS: Final = Index[ObjectRef, ListenerSet, ObjectRef](LISTENER_SETS, "ref", lambda ref, _: (ref,))
LISTENER_SET_INTENTS: Final = Derived[ObjectRef, ListenerSetIntent](
    "listener-set-intents", _compute, (_REFS,)
)
LISTENER_SET_INTENT_REFS: Final = Index[ObjectRef, ListenerSetIntent, ObjectRef](
    LISTENER_SET_INTENTS, "ref", lambda ref, _: (ref,)
)
LISTENER_SETS_OF: Final = Index[ObjectRef, ListenerSetIntent, ObjectRef](
    LISTENER_SET_INTENTS, "gateway", lambda _, intent: (intent.gateway,)
)
"""All that name a Gateway, the refused ones included."""
