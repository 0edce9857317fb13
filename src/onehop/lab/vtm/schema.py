"""The fields of a unit's objects, and what may stand in them.

`schema.json` holds, for the collections that onehop writes, what public clients of the API say of
its fields at REST 8.3: types, defaults, ranges, and in `since` the version that brought a field.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final

from onehop.lab.vtm.behaviour import Behaviour
from onehop.lab.vtm.refusal import fault, invalid

Field = Mapping[str, Any]
Sections = dict[str, dict[str, Any]]

_TYPES: Final[Mapping[str, Any]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "list<string>": list,
    "table": list,
}


_NUMBERS: Final = ("integer", "number")


@functools.cache
def schema() -> Mapping[str, Any]:
    """Return the collections by name."""
    text = files("onehop.lab.vtm").joinpath("schema.json").read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded


@functools.cache
def fields_at(collection: str, version: str) -> Mapping[str, Mapping[str, Field]]:
    """Return the fields that a version shows, by section; `expert` ones stay hidden."""
    sections: Mapping[str, Mapping[str, Field]] = schema()[collection].get("sections", {})
    return {
        section: {
            name: field
            for name, field in fields.items()
            if not field.get("expert") and numbers(field.get("since", "6.0")) <= numbers(version)
        }
        for section, fields in sections.items()
    }


def numbers(version: str) -> tuple[int, ...]:
    """Return a version in a form that compares by number."""
    return tuple(map(int, version.split(".")))


def check(
    collection: str, version: str, given: Any, *, is_new: bool, behaviour: Behaviour
) -> Sections:
    """Return the given sections as they are stored, after every fault was looked for.

    Raises:
        Refused: with all faults at once.
    """
    known = fields_at(collection, version)
    faults: dict[str, Any] = {}
    taken: Sections = {}
    if not isinstance(given, dict):
        raise invalid({"properties": fault("json.wrong_type", "an object is expected")})
    for section, fields in given.items():
        if section not in known or not isinstance(fields, dict):
            faults[section] = fault("json.unknown_property", "Property is unknown")
            continue
        for name, value in fields.items():
            if name not in known[section]:
                faults.setdefault(section, {})[name] = fault(
                    "json.unknown_property", "Property is unknown"
                )
                continue
            found = _faults(known[section][name], value)
            if found:
                faults.setdefault(section, {})[name] = found
            else:
                taken.setdefault(section, {})[name] = _stored(known[section][name], value)
    if is_new:
        for section, name in _missing(known, taken, behaviour):
            faults.setdefault(section, {}).setdefault(
                name, fault("property.no_default", "A value is required")
            )
    if faults:
        raise invalid(faults)
    return taken


def defaults(collection: str, version: str) -> Sections:
    """Return a new object before anything is written to it."""
    return {
        section: {name: field.get("default", "") for name, field in fields.items()}
        for section, fields in fields_at(collection, version).items()
    }


def _missing(
    known: Mapping[str, Mapping[str, Field]], given: Sections, behaviour: Behaviour
) -> Iterator[tuple[str, str]]:
    for section, fields in known.items():
        for name, field in fields.items():
            is_needed = field.get("required") and (
                behaviour.requires_doubtful or not field.get("required_doubt")
            )
            if is_needed and name not in given.get(section, {}):
                yield section, name


def _faults(field: Field, value: Any) -> dict[str, Any] | None:
    kind = field["type"]
    if not isinstance(value, _TYPES[kind]) or (kind in _NUMBERS and isinstance(value, bool)):
        return fault("json.wrong_type", f"{kind} is expected")
    match kind:
        case "integer" | "number":
            low, high = field.get("min"), field.get("max")
            if (low is not None and value < low) or (high is not None and value > high):
                return fault("num.out_of_range", f"Value '{value}' must be within {low}-{high}")
        case "string":
            if "enum" in field and value not in field["enum"]:
                return fault("enum.invalid", f"Value '{value}' is none of {field['enum']}")
        case "list<string>":
            if not all(isinstance(item, str) for item in value):
                return fault("json.wrong_type", "a list of strings is expected")
            if field.get("order_significant") is False and len(set(value)) < len(value):
                return fault("list.duplicate", "an item is there twice")
        case "table":
            return _table_faults(field, value)
        case _:
            return None
    return None


def _table_faults(field: Field, rows: list[Any]) -> dict[str, Any] | None:
    columns: Mapping[str, Field] = field["columns"]
    key = field.get("primary_key", next(iter(columns)))
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for row in rows:
        if not isinstance(row, dict):
            return fault("json.invalid_table", "an array of rows is expected")
        name = str(row.get(key))
        wrong = {
            column: _faults(columns[column], value)
            if column in columns
            else fault("json.unknown_property", "Property is unknown")
            for column, value in row.items()
        }
        wrong |= {
            column: fault("property.no_default", "A value is required")
            for column, described in columns.items()
            if described.get("required") and column not in row
        }
        if name in seen:
            wrong[key] = fault("table.duplicate", "the row is there twice")
        seen.add(name)
        wrong = {column: each for column, each in wrong.items() if each}
        if wrong:
            found[name] = wrong
    return found or None


def _stored(field: Field, value: Any) -> Any:
    if field["type"] != "table":
        return value
    columns: Mapping[str, Field] = field["columns"]
    blank = {name: column["default"] for name, column in columns.items() if "default" in column}
    return [{**blank, **row} for row in value]
