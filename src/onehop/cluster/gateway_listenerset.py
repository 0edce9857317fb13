"""ListenerSets (gateway.networking.k8s.io/v1, GEP-1713): more listeners for somebody's Gateway."""

import msgspec

from onehop.cluster.gateway_listener import GatewayListener
from onehop.cluster.gateway_ref import GROUP
from onehop.cluster.gateway_status import ListenerStatus
from onehop.cluster.meta import Meta
from onehop.cluster.service import Condition


class ParentGatewayRef(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The Gateway that the listeners join.

    Attributes:
        namespace: None means the ListenerSet's own.
    """

    name: str
    group: str = GROUP
    kind: str = "Gateway"
    namespace: str | None = None


class ListenerSetSpec(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What a ListenerSet asks for."""

    parent_ref: ParentGatewayRef
    listeners: tuple[GatewayListener, ...] = ()


class ListenerSetStatus(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What was written back."""

    conditions: tuple[Condition, ...] = ()
    listeners: tuple[ListenerStatus, ...] = ()


class ListenerSet(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A ListenerSet."""

    metadata: Meta
    spec: ListenerSetSpec
    status: ListenerSetStatus = ListenerSetStatus()
