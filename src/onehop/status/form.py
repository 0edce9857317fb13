"""Writes as JSON: merge patches that hold what is ours and nothing else, and Event objects.

Events are core/v1, as those of the service controller are: `kubectl describe` finds them by
`involvedObject`, and scripts sort them by `lastTimestamp`, which events.k8s.io/v1 leaves empty.
"""

import hashlib
from datetime import datetime
from typing import Any, Final, assert_never

import msgspec

from onehop.cluster.kind import KINDS, Kind
from onehop.cluster.meta import Meta
from onehop.kube import Change, Collection
from onehop.status.condition import condition_form
from onehop.status.gateway_form import gateway_status_form
from onehop.status.write import (
    AddFinalizer,
    EmitEvent,
    ObjectWrite,
    PatchGatewayApi,
    PatchStatus,
    RemoveFinalizer,
)

COMPONENT: Final = "onehop"
LONGEST_NAME: Final = 253
"""DNS subdomain (RFC 1123), as every object name."""


class Involved(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`involvedObject` of an Event."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


class Source(msgspec.Struct, frozen=True):
    """`source` of an Event."""

    component: str
    host: str


class NewEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An Event (core/v1) as it is created."""

    api_version: str = "v1"
    kind: str = "Event"
    metadata: Meta
    involved_object: Involved
    type: str
    reason: str
    message: str
    source: Source
    reporting_component: str
    reporting_instance: str
    first_timestamp: str
    last_timestamp: str
    count: int = 1


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of an Event that is there."""

    metadata: Meta
    count: int | None = None


EVENTS: Final = Collection(
    kind="Event", api_version="v1", plural="events", struct=StoredEvent, namespaced=True
)


def change_of(write: ObjectWrite, resource_version: str) -> Change:
    """Return the merge patch of a write.

    It carries the version it was decided from: a merge patch replaces lists whole, so without it
    the finalizer or condition that somebody else added meanwhile would be lost.
    """
    match write:
        case AddFinalizer(finalizers=finalizers) | RemoveFinalizer(finalizers=finalizers):
            patch = {"metadata": {"finalizers": list(finalizers) or None}}
            return Change(patch=patch, resource_version=resource_version)
        case PatchStatus():
            patch = {"status": _status(write)}
            return Change(patch=patch, subresource="status", resource_version=resource_version)
        case PatchGatewayApi(status=status):
            patch = {"status": gateway_status_form(status)}
            return Change(patch=patch, subresource="status", resource_version=resource_version)
        case _:
            assert_never(write)


def event_name(event: EmitEvent) -> str:
    """Return the same name for the same news about the same object.

    So an event of the process before this one is found again, and one that happens twice is
    counted instead of listed twice.
    """
    told = msgspec.json.encode((event.ref.kind, event.uid, event.type, event.reason, event.message))
    suffix = hashlib.sha256(told).hexdigest()[:16]
    return f"{event.ref.name[: LONGEST_NAME - len(suffix) - 1].rstrip('.-')}.{suffix}"


def event_namespace(event: EmitEvent) -> str:
    """Return where an event lives: beside its object, or in `default` (client-go, recorder)."""
    return event.ref.namespace or "default"


def event_object(event: EmitEvent, *, now: datetime, instance: str) -> NewEvent:
    """Return the Event object, told for the first time."""
    moment = _timestamp(now)
    return NewEvent(
        metadata=Meta(name=event_name(event), namespace=event_namespace(event)),
        involved_object=Involved(
            api_version=KINDS[Kind(event.ref.kind)].api_version,
            kind=event.ref.kind,
            namespace=event.ref.namespace,
            name=event.ref.name,
            uid=event.uid,
        ),
        type=event.type.value,
        reason=event.reason,
        message=event.message,
        source=Source(COMPONENT, instance),
        reporting_component=COMPONENT,
        reporting_instance=instance,
        first_timestamp=moment,
        last_timestamp=moment,
    )


def recount(stored: StoredEvent, *, now: datetime) -> Change:
    """Return the patch that says: it happened again."""
    return Change(patch={"count": (stored.count or 1) + 1, "lastTimestamp": _timestamp(now)})


def _status(patch: PatchStatus) -> dict[str, Any]:
    status: dict[str, Any] = {}
    if patch.load_balancer is not None:
        entries = msgspec.to_builtins(patch.load_balancer.ingress) or None
        status["loadBalancer"] = {"ingress": entries}
    if patch.conditions is not None:
        status["conditions"] = [condition_form(each) for each in patch.conditions] or None
    return status


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
