"""Statuses of Gateway API's objects as JSON, with every field that its CRDs demand."""

from collections.abc import Iterable
from typing import Any, assert_never

import msgspec

from onehop.cluster.gateway import GatewayClassStatus, GatewayStatus
from onehop.cluster.gateway_listenerset import ListenerSetStatus
from onehop.cluster.gateway_ref import ParentRef
from onehop.cluster.gateway_status import ListenerStatus, PolicyStatus, RouteStatus
from onehop.cluster.service import Condition
from onehop.status.condition import condition_form
from onehop.status.write import GatewayApiStatus

_Json = dict[str, Any]


def gateway_status_form(status: GatewayApiStatus) -> _Json:
    """Return `status` as a merge patch of all that we write; None takes a field away."""
    match status:
        case GatewayClassStatus():
            return {
                "conditions": _conditions(status.conditions),
                "supportedFeatures": msgspec.to_builtins(status.supported_features),
            }
        case GatewayStatus():
            return {
                "addresses": _addresses(status) or None,
                "conditions": _conditions(status.conditions),
                "listeners": _listeners(status.listeners),
                "attachedListenerSets": status.attached_listener_sets,
            }
        case ListenerSetStatus():
            return {
                "conditions": _conditions(status.conditions),
                "listeners": _listeners(status.listeners),
            }
        case RouteStatus():
            return {
                "parents": [
                    {
                        "parentRef": _parent(each.parent_ref),
                        "controllerName": each.controller_name,
                        "conditions": _conditions(each.conditions),
                    }
                    for each in status.parents
                ]
            }
        case PolicyStatus():
            return {
                "ancestors": [
                    {
                        "ancestorRef": _parent(each.ancestor_ref),
                        "controllerName": each.controller_name,
                        "conditions": _conditions(each.conditions),
                    }
                    for each in status.ancestors
                ]
            }
        case _:
            assert_never(status)


def _addresses(status: GatewayStatus) -> list[_Json]:
    return [{"type": each.type, "value": each.value or ""} for each in status.addresses]


def _listeners(listeners: Iterable[ListenerStatus]) -> list[_Json]:
    return [
        {
            "name": each.name,
            "supportedKinds": [
                {"group": kind.group, "kind": kind.kind} for kind in each.supported_kinds
            ],
            "attachedRoutes": each.attached_routes,
            "conditions": _conditions(each.conditions),
        }
        for each in listeners
    ]


def _parent(ref: ParentRef) -> _Json:
    """Return a reference with its defaults, which others compare it by."""
    told: _Json = {"group": ref.group, "kind": ref.kind, "name": ref.name}
    optional = {"namespace": ref.namespace, "sectionName": ref.section_name, "port": ref.port}
    return told | {field: value for field, value in optional.items() if value is not None}


def _conditions(conditions: Iterable[Condition]) -> list[_Json]:
    return [condition_form(condition) for condition in conditions]
