"""Everything we ever write to a cluster, as a closed union."""

from enum import StrEnum
from typing import TypeAlias

import msgspec

from onehop.cluster.gateway import GatewayClassStatus, GatewayStatus
from onehop.cluster.gateway_listenerset import ListenerSetStatus
from onehop.cluster.gateway_status import PolicyStatus, RouteStatus
from onehop.cluster.service import Condition, LoadBalancerStatus
from onehop.model.ident import ObjectRef


class AddFinalizer(msgspec.Struct, frozen=True):
    """Make the API keep a Service until we have let go of it.

    Attributes:
        finalizers: the whole list as it shall be: a merge patch replaces lists.
    """

    ref: ObjectRef
    finalizers: tuple[str, ...]


class RemoveFinalizer(msgspec.Struct, frozen=True):
    """Let a Service go.

    Attributes:
        finalizers: the whole list as it shall be.
    """

    ref: ObjectRef
    finalizers: tuple[str, ...]


class PatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Write the parts of a status that are ours.

    Attributes:
        load_balancer: None leaves it as it is; an empty one takes all addresses away.
        conditions: those of others included, for the list is replaced whole; None leaves them.
    """

    ref: ObjectRef
    load_balancer: LoadBalancerStatus | None = None
    conditions: tuple[Condition, ...] | None = None


GatewayApiStatus: TypeAlias = (
    GatewayClassStatus | GatewayStatus | ListenerSetStatus | RouteStatus | PolicyStatus
)


class PatchGatewayApi(msgspec.Struct, frozen=True, kw_only=True):
    """Write the status of an object of Gateway API.

    Attributes:
        status: all of it, what others said included: its lists are replaced whole.
        is_count_only: nothing differs but how many routes or ListenerSets are attached.
    """

    ref: ObjectRef
    status: GatewayApiStatus
    is_count_only: bool = False


class EventType(StrEnum):
    """The two types of event that `kubectl` knows."""

    NORMAL = "Normal"
    WARNING = "Warning"


class EmitEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Tell the owner of an object.

    Attributes:
        is_standing: it holds until something changes (a fault), so that one event is enough, in
            this process or in the one before it; otherwise it happened, and each time counts.
    """

    ref: ObjectRef
    uid: str
    reason: str
    type: EventType
    message: str
    is_standing: bool


ObjectWrite: TypeAlias = AddFinalizer | RemoveFinalizer | PatchStatus | PatchGatewayApi
Write: TypeAlias = ObjectWrite | EmitEvent
