"""Tables: what `kubectl get` prints is decided by the server.

`Accept: application/json;as=Table;v=v1;g=meta.k8s.io` gets a `Table` of cells instead of objects.
Columns as in kubernetes `pkg/printers/internalversion/printers.go`; each kind names its own.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from onehop.lab.api.refusal import Json
from onehop.lab.api.resource import Column, Resource
from onehop.lab.api.stored import Stored


class TableStyle(msgspec.Struct, frozen=True):
    """How a client wants its table.

    Attributes:
        version: `v1` or `v1beta1` of meta.k8s.io.
        include_object: `Metadata`, `Object` or `None`: what comes with each row.
    """

    version: str = "v1"
    include_object: str = "Metadata"


def joined(values: Iterable[object]) -> str:
    """Return the values with commas between them, `<none>` when there are none."""
    return ",".join(str(value) for value in values) or "<none>"


def since(moment: object, now: datetime) -> str:
    """Return how long ago an API timestamp was, as kubectl says it."""
    if not isinstance(moment, str):
        return "<unknown>"
    then = datetime.fromisoformat(moment)
    return human_duration(int((now - then.astimezone(UTC)).total_seconds()))


def human_duration(seconds: int) -> str:
    """Return a duration in at most two units: `47s`, `2m10s`, `3h5m`, `8d`, `2y30d`.

    apimachinery `pkg/util/duration/duration.go`, HumanDuration.
    """
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 0:
        return "<invalid>" if seconds < -1 else "0s"
    if seconds < 60 * 2:
        return f"{seconds}s"
    if minutes < 10:  # noqa: PLR2004  kubectl's own step
        return _pair(minutes, "m", seconds % 60, "s")
    if minutes < 60 * 3:
        return f"{minutes}m"
    if hours < 8:  # noqa: PLR2004  kubectl's own step
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:  # noqa: PLR2004  kubectl's own step
        return f"{hours}h"
    if days < 8:  # noqa: PLR2004  kubectl's own step
        return _pair(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        return _pair(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


NAME = Column("Name", lambda obj, _: obj["metadata"].get("name", ""))
AGE = Column("Age", lambda obj, now: since(obj["metadata"].get("creationTimestamp"), now))
PLAIN_COLUMNS = (
    NAME,
    Column("Created At", lambda obj, _: obj["metadata"].get("creationTimestamp", ""), type="date"),
)
"""What a kind without columns of its own shows."""


def table(
    resource: Resource,
    stored: Sequence[Stored],
    *,
    metadata: Json,
    style: TableStyle,
    now: datetime,
) -> Json:
    """Return objects as a `Table`.

    Args:
        resource: whose columns.
        stored: the objects, a row each.
        metadata: of the list they come from.
        style: what the client asked for.
        now: for ages.
    """
    columns = resource.columns or PLAIN_COLUMNS
    definitions = [
        {
            "name": column.name,
            "type": "string" if column.type == "date" else column.type,
            "format": "name" if column.name == "Name" else "",
            "description": f"{column.name} of the {resource.singular}.",
            "priority": column.priority,
        }
        for column in columns
    ]
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{style.version}",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": [_row(resource, each, columns, style, now) for each in stored],
    }


def _row(
    resource: Resource,
    stored: Stored,
    columns: tuple[Column, ...],
    style: TableStyle,
    now: datetime,
) -> Json:
    obj = stored.object(resource)
    row: Json = {"cells": [column.cell(obj, now) for column in columns]}
    match style.include_object:
        case "None":
            pass
        case "Object":
            row["object"] = obj
        case _:
            row["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": f"meta.k8s.io/{style.version}",
                "metadata": obj["metadata"],
            }
    return row


def _pair(first: int, first_unit: str, second: int, second_unit: str) -> str:
    return f"{first}{first_unit}{second}{second_unit}" if second else f"{first}{first_unit}"
