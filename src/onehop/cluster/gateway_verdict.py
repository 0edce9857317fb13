"""What Gateway API's objects shall say in their status: `compile` finds it, `status` writes it.

It stands here because both know this package, beside the structs of what is there already. What
only the data plane can tell is left out: `Programmed` is made of `needs` (acknowledged or not) by
whoever talks to the data plane, unless an `obstacle` says already that it cannot be.
"""

from enum import StrEnum
from typing import TypeAlias

import msgspec

from onehop.cluster.gateway import GatewayAddress
from onehop.cluster.gateway_ref import ParentRef
from onehop.cluster.gateway_status import RouteKind
from onehop.model.ident import ListenerId, ObjectRef


class Truth(StrEnum):
    """`status` of a condition (metav1.ConditionStatus)."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Saying(msgspec.Struct, frozen=True, gc=False):
    """A condition without what the writer adds: time and generation."""

    type: str
    status: Truth
    reason: str
    message: str = ""


class GatewayClassVerdict(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A GatewayClass of ours.

    Attributes:
        sayings: `Accepted`, and `SupportedVersion` if it is known.
        features: names (GEP-2162), in any order.
    """

    ref: ObjectRef
    sayings: tuple[Saying, ...]
    features: tuple[str, ...] = ()


class ListenerVerdict(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One listener of a Gateway or a ListenerSet.

    Attributes:
        sayings: all but `Programmed`.
        attached_routes: routes that are accepted by it, whatever its own conditions.
        needs: the listeners of the Model that have to be acknowledged for `Programmed`.
        obstacle: what `Programmed` shall say instead, whatever the data plane says.
    """

    name: str
    sayings: tuple[Saying, ...]
    supported_kinds: tuple[RouteKind, ...] = ()
    attached_routes: int = 0
    needs: tuple[ListenerId, ...] = ()
    obstacle: Saying | None = None


class GatewayVerdict(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A Gateway of ours.

    Attributes:
        sayings: all but `Programmed`.
        addresses: that it has; they are shown once `Programmed` is true of one listener.
        attached_listener_sets: None where the field is not served.
        obstacle: as in `ListenerVerdict`, for the Gateway as a whole.
    """

    ref: ObjectRef
    sayings: tuple[Saying, ...]
    addresses: tuple[GatewayAddress, ...] = ()
    listeners: tuple[ListenerVerdict, ...] = ()
    attached_listener_sets: int | None = None
    obstacle: Saying | None = None


class ListenerSetVerdict(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A ListenerSet of a Gateway of ours; see `GatewayVerdict`."""

    ref: ObjectRef
    sayings: tuple[Saying, ...]
    listeners: tuple[ListenerVerdict, ...] = ()
    obstacle: Saying | None = None


class ParentVerdict(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is said for one parentRef of a route, or for one ancestor of a policy.

    Attributes:
        parent: as the route has it; of a policy, the Gateway.
    """

    parent: ParentRef
    sayings: tuple[Saying, ...]


class ParentsVerdict(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A route or a policy that has parents of ours, or had them.

    Attributes:
        controller: the name under which we write; entries of other names are never touched.
        parents: those of ours; what we said of others is taken away.
    """

    ref: ObjectRef
    controller: str
    parents: tuple[ParentVerdict, ...] = ()


GatewayApiVerdict: TypeAlias = (
    GatewayClassVerdict | GatewayVerdict | ListenerSetVerdict | ParentsVerdict
)
