"""What controllers have written into the status of Gateway API's objects, ours and others'.

Fields: https://gateway-api.sigs.k8s.io/reference/1.6/spec/. Every field of the standard channel is
here, for what others wrote has to be written back as it was: `parents` and `ancestors` are atomic
lists (`+listType=atomic` in `apis/v1/shared_types.go: RouteStatus` and `policy_types.go`).
"""

from typing import Final

import msgspec

from onehop.cluster.gateway_ref import GROUP, ParentRef
from onehop.cluster.service import Condition

MOST_ANCESTORS: Final = 16
"""`+kubebuilder:validation:MaxItems` of `PolicyStatus.ancestors`."""


class RouteParentStatus(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What one controller says of one parentRef of a route."""

    parent_ref: ParentRef
    controller_name: str
    conditions: tuple[Condition, ...] = ()


class RouteStatus(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The status of every kind of route."""

    parents: tuple[RouteParentStatus, ...] = ()


class RouteKind(msgspec.Struct, frozen=True, gc=False, order=True, omit_defaults=True):
    """A kind of route (`RouteGroupKind`)."""

    kind: str
    group: str = GROUP


class ListenerStatus(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """The status of one listener of a Gateway or a ListenerSet."""

    name: str
    supported_kinds: tuple[RouteKind, ...] = ()
    attached_routes: int = 0
    conditions: tuple[Condition, ...] = ()


class PolicyAncestorStatus(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What one controller says of a policy, for one of the Gateways that it has a say in."""

    ancestor_ref: ParentRef
    controller_name: str
    conditions: tuple[Condition, ...] = ()


class PolicyStatus(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The status of a policy."""

    ancestors: tuple[PolicyAncestorStatus, ...] = ()
