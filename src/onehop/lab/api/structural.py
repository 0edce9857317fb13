"""OpenAPI schemas of custom resources: pruning, defaults, checks and list types.

What apiextensions-apiserver does with a structural schema (`pkg/apiserver/schema`), without CEL
(`x-kubernetes-validations`) and without `oneOf`, `anyOf`, `allOf` and `not`: those are not checked.
"""

import re
from collections.abc import Iterator
from typing import Any

from onehop.lab.api.refusal import FieldFault, Json, duplicate, invalid, required, unsupported
from onehop.lab.api.resource import METADATA_LISTS, ListRule, Merging, NoRules, World

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
_BOUNDS = (
    ("minLength", str, "should be at least {} chars long"),
    ("maxLength", str, "may not be more than {} bytes"),
    ("minItems", list, "should have at least {} items"),
    ("maxItems", list, "must have at most {} items"),
    ("minProperties", dict, "should have at least {} properties"),
    ("maxProperties", dict, "must have at most {} items"),
)


class StructuralRules(NoRules):
    """The rules of a custom resource: its schema's."""

    def __init__(self, schema: Json) -> None:
        self._schema = schema

    def default(self, obj: Json, old: Json | None, world: World) -> None:  # noqa: ARG002  the protocol has them
        """Drop the fields the schema does not know, and fill in its defaults."""
        fitted = fit({name: each for name, each in obj.items() if name != "metadata"}, self._schema)
        metadata = obj["metadata"]
        obj.clear()
        obj.update(fitted, metadata=metadata)

    def faults(self, obj: Json, old: Json | None, world: World) -> Iterator[FieldFault]:  # noqa: ARG002  the protocol has them
        """Yield where the object departs from the schema."""
        plain = {name: each for name, each in obj.items() if name != "metadata"}
        yield from schema_faults(plain, self._schema, "")


def fit(value: Any, schema: Json) -> Any:
    """Return the value with the schema's defaults and without fields it does not know."""
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [fit(item, schema["items"]) for item in value]
    if not isinstance(value, dict):
        return value
    properties: Json = schema.get("properties") or {}
    rest = schema.get("additionalProperties")
    keeps = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or not properties or rest
    fitted: Json = {}
    for name, each in value.items():
        if name in properties:
            if each is None and "default" in properties[name]:
                continue  # a null where a default is known means the default
            fitted[name] = fit(each, properties[name])
        elif keeps:
            fitted[name] = fit(each, rest) if isinstance(rest, dict) else each
    for name, below in properties.items():
        if name not in fitted and "default" in below:
            fitted[name] = fit(below["default"], below)
    return fitted


def schema_faults(value: Any, schema: Json, field: str) -> Iterator[FieldFault]:
    """Yield where a value departs from its schema."""
    if value is None and schema.get("nullable"):
        return
    if not _has_type(value, schema):
        told = "integer or string" if schema.get("x-kubernetes-int-or-string") else schema["type"]
        yield invalid(field, value, f"{field} in body must be of type {told}")
        return
    yield from _value_faults(value, schema, field)
    if isinstance(value, dict):
        yield from _map_faults(value, schema, field)
    elif isinstance(value, list):
        yield from _list_faults(value, schema, field)


def merging_of(schema: Json) -> Merging:
    """Return how an object of this schema merges (KEP-555's list and map types)."""
    lists: list[ListRule] = list(METADATA_LISTS)
    atomic: set[tuple[str, ...]] = set()
    for path, below in _walk(schema, ()):
        match below.get("x-kubernetes-list-type"):
            case "map":
                keys = below.get("x-kubernetes-list-map-keys", ())
                known: Json = below.get("items", {}).get("properties", {})
                pairs = tuple((key, known.get(key, {}).get("default")) for key in keys)
                lists.append(ListRule(path, keys=pairs))
            case "set":
                lists.append(ListRule(path, is_set=True))
            case _:
                pass
        if below.get("x-kubernetes-map-type") == "atomic":
            atomic.add(path)
    return Merging(lists=tuple(lists), atomic=frozenset(atomic))


def _walk(schema: Json, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Json]]:
    yield path, schema
    if isinstance(schema.get("items"), dict):
        for name, below in (schema["items"].get("properties") or {}).items():
            yield from _walk(below, (*path, name))
    for name, below in (schema.get("properties") or {}).items():
        yield from _walk(below, (*path, name))


def _has_type(value: Any, schema: Json) -> bool:
    kind: str | None = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        return isinstance(value, int | str) and not isinstance(value, bool)
    if kind is None:
        return True
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


def _value_faults(value: Any, schema: Json, field: str) -> Iterator[FieldFault]:
    if "enum" in schema and value not in schema["enum"]:
        yield unsupported(field, value, [str(each) for each in schema["enum"]])
    for bound, kind, text in _BOUNDS:
        if bound in schema and isinstance(value, kind):
            size = len(value)
            outside = size < schema[bound] if bound.startswith("min") else size > schema[bound]
            if outside:
                yield invalid(field, value, f"{field} in body {text.format(schema[bound])}")
    if isinstance(value, int | float):
        if value < schema.get("minimum", value):
            least = schema["minimum"]
            yield invalid(
                field, value, f"{field} in body should be greater than or equal to {least}"
            )
        if value > schema.get("maximum", value):
            most = schema["maximum"]
            yield invalid(field, value, f"{field} in body should be less than or equal to {most}")
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield invalid(field, value, f"{field} in body should match '{schema['pattern']}'")


def _map_faults(value: Json, schema: Json, field: str) -> Iterator[FieldFault]:
    prefix = f"{field}." if field else ""
    for name in schema.get("required") or ():
        if name not in value and name != "metadata":
            yield required(f"{prefix}{name}")
    properties: Json = schema.get("properties") or {}
    rest = schema.get("additionalProperties")
    for name, each in value.items():
        below = properties.get(name, rest)
        if isinstance(below, dict):
            yield from schema_faults(each, below, f"{prefix}{name}")


def _list_faults(value: list[Any], schema: Json, field: str) -> Iterator[FieldFault]:
    below = schema.get("items")
    if isinstance(below, dict):
        for index, item in enumerate(value):
            yield from schema_faults(item, below, f"{field}[{index}]")
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys:
        seen: list[Json] = []
        for index, item in enumerate(value):
            named = {key: item.get(key) for key in keys}
            if named in seen:
                yield duplicate(f"{field}[{index}]", named)
            seen.append(named)
