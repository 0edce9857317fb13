"""Event: one resource under two names.

A core `v1` Event and an `events.k8s.io/v1` Event are the same objects in two spellings; the
storage form is the core one. Kubernetes `pkg/apis/events/v1/conversion.go`,
`staging/src/k8s.io/api/events/v1/types.go`.
"""

from datetime import datetime

import msgspec

from onehop.lab.api.check import part
from onehop.lab.api.printing import NAME, since
from onehop.lab.api.refusal import Json
from onehop.lab.api.resource import Column, Conversion, Resource

_SPELLINGS = (
    ("message", "note"),
    ("involvedObject", "regarding"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
)
"""Each field's name in the core group, and in events.k8s.io."""


def _respell(obj: Json, names: dict[str, str]) -> Json:
    return {names.get(name, name): value for name, value in obj.items()}


def _to_core(obj: Json) -> Json:
    return _respell(obj, {new: core for core, new in _SPELLINGS})


def _from_core(obj: Json) -> Json:
    return _respell(obj, dict(_SPELLINGS))


def _last_seen(obj: Json, now: datetime) -> str:
    moment = (
        part(obj, "series").get("lastObservedTime")
        or obj.get("lastTimestamp")
        or obj.get("eventTime")
        or obj["metadata"].get("creationTimestamp")
    )
    return since(moment, now)


def _object(obj: Json, _now: datetime) -> str:
    about = part(obj, "involvedObject")
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _source(obj: Json, _now: datetime) -> str:
    return str(part(obj, "source").get("component") or obj.get("reportingComponent", ""))


def _respelt(column: Column) -> Column:
    def cell(obj: Json, now: datetime) -> object:
        return column.cell(_to_core(obj), now)

    return msgspec.structs.replace(column, cell=cell)


CORE_EVENT = Resource(
    group="",
    version="v1",
    plural="events",
    singular="event",
    kind="Event",
    short_names=("ev",),
    selectable=(
        *(
            (f"involvedObject.{name}", ("involvedObject", name))
            for name in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")
        ),
        ("reason", ("reason",)),
        ("type", ("type",)),
        ("reportingComponent", ("reportingComponent",)),
    ),
    empty=b'{"involvedObject":{},"source":{},"firstTimestamp":null,"lastTimestamp":null,'
    b'"eventTime":null,"reportingComponent":"","reportingInstance":""}',
    columns=(
        Column("Last Seen", _last_seen),
        Column("Type", lambda obj, _: obj.get("type", "")),
        Column("Reason", lambda obj, _: obj.get("reason", "")),
        Column("Object", _object),
        Column("Source", _source, priority=1),
        Column("Message", lambda obj, _: str(obj.get("message", "")).strip()),
        msgspec.structs.replace(NAME, priority=1),
    ),
)

EVENT = msgspec.structs.replace(
    CORE_EVENT,
    group="events.k8s.io",
    selectable=(
        *(
            (f"regarding.{name}", ("involvedObject", name))
            for name in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")
        ),
        ("reason", ("reason",)),
        ("type", ("type",)),
        ("reportingController", ("reportingComponent",)),
    ),
    empty=b'{"eventTime":null,"regarding":{},"deprecatedSource":{},'
    b'"deprecatedFirstTimestamp":null,"deprecatedLastTimestamp":null}',
    columns=tuple(_respelt(column) for column in CORE_EVENT.columns),
    conversion=Conversion(to_storage=_to_core, from_storage=_from_core),
    stored_as="events",
)
