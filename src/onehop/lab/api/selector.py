"""Label and field selectors: from the query string to a yes or no.

Grammar and meaning of label selectors: apimachinery `pkg/labels/selector.go`; an absent label
satisfies `!=` and `notin`. Field selectors know `=`, `==` and `!=`.
"""

import re
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from onehop.lab.api.refusal import Json, bad_request
from onehop.lab.api.resource import Resource
from onehop.lab.api.stored import Stored


class Op(StrEnum):
    """What a requirement demands of a label."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "absent"
    GREATER = "gt"
    LESS = "lt"


class Requirement(msgspec.Struct, frozen=True):
    """One part of a label selector."""

    label: str
    op: Op
    values: tuple[str, ...] = ()

    def accepts(self, labels: Mapping[str, str]) -> bool:
        """Return whether an object with these labels satisfies the requirement."""
        value = labels.get(self.label)
        match self.op:
            case Op.IN:
                return value in self.values
            case Op.NOT_IN:
                return value not in self.values
            case Op.EXISTS:
                return value is not None
            case Op.ABSENT:
                return value is None
            case Op.GREATER | Op.LESS:
                return _compares(value, self.op, int(self.values[0]))


class Field(msgspec.Struct, frozen=True):
    """One part of a field selector; `path` leads to the value in the object."""

    label: str
    path: tuple[str, ...]
    value: str
    is_equal: bool


class Selection(msgspec.Struct, frozen=True):
    """Which objects of a resource a list, a watch or a delete collection means.

    Attributes:
        namespace: None for all namespaces, and for resources of the cluster.
    """

    namespace: str | None = None
    labels: tuple[Requirement, ...] = ()
    fields: tuple[Field, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether no object is left out."""
        return self.namespace is None and not self.labels and not self.fields

    def accepts(self, stored: Stored) -> bool:
        """Return whether the object is meant."""
        if self.namespace is not None and stored.key[0] != self.namespace:
            return False
        if self.labels and not all(part.accepts(stored.labels) for part in self.labels):
            return False
        return not self.fields or _fields_match(self.fields, stored)


def parse_selection(
    resource: Resource, namespace: str | None, labels: str = "", fields: str = ""
) -> Selection:
    """Return the selection of a request; refuse with 400 what cannot be understood."""
    return Selection(
        namespace=namespace, labels=parse_labels(labels), fields=parse_fields(resource, fields)
    )


_LABEL = r"[A-Za-z0-9./_-]+"
_PART = re.compile(
    rf"\s*(?:(?P<absent>!)\s*(?P<gone>{_LABEL})"
    rf"|(?P<set>{_LABEL})\s+(?P<kind>in|notin)\s*\((?P<values>[^)]*)\)"
    rf"|(?P<label>{_LABEL})\s*(?:(?P<op>==|=|!=|>|<)\s*(?P<value>[A-Za-z0-9._-]*))?)\s*(?:,|$)"
)


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Parse `a=b,c!=d,e in (f,g),h notin (i),j,!k`."""
    found: list[Requirement] = []
    position = 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise bad_request(f"unable to parse requirement: {text[position:]!r} of {text!r}")
        found.append(_requirement(part))
        position = part.end()
    return tuple(found)


def _requirement(part: re.Match[str]) -> Requirement:
    if part["absent"]:
        return Requirement(part["gone"], Op.ABSENT)
    if part["set"]:
        values = tuple(value.strip() for value in part["values"].split(","))
        return Requirement(part["set"], Op(part["kind"]), values)
    label, op, value = part["label"], part["op"], part["value"] or ""
    match op:
        case None:
            return Requirement(label, Op.EXISTS)
        case "!=":
            return Requirement(label, Op.NOT_IN, (value,))
        case ">" | "<":
            if not value.lstrip("-").isdigit():
                raise bad_request(f"for '>' and '<' the value must be an integer: {value!r}")
            return Requirement(label, Op.GREATER if op == ">" else Op.LESS, (value,))
        case _:
            return Requirement(label, Op.IN, (value,))


def parse_fields(resource: Resource, text: str) -> tuple[Field, ...]:
    """Parse `metadata.name=web,type!=Opaque`; refuse fields the resource cannot select by."""
    known = dict(resource.selectable)
    known["metadata.name"] = ("metadata", "name")
    known["metadata.namespace"] = ("metadata", "namespace")
    found: list[Field] = []
    for part in filter(None, text.split(",")):
        split = re.fullmatch(r"\s*([^=!]+?)\s*(!=|==|=)(.*)", part)
        if split is None:
            raise bad_request(f"invalid selector: {text!r}; can't understand {part!r}")
        label, op, value = split.groups()
        if label not in known:
            raise bad_request(f'field label not supported: "{label}"')
        found.append(Field(label, known[label], value, is_equal=op != "!="))
    return tuple(found)


def _compares(value: str | None, op: Op, bound: int) -> bool:
    if value is None or not value.lstrip("-").isdigit():
        return False
    return int(value) > bound if op is Op.GREATER else int(value) < bound


def _fields_match(fields: tuple[Field, ...], stored: Stored) -> bool:
    obj: Json | None = None
    for field in fields:
        match field.path:
            case ("metadata", "name"):
                value: object = stored.key[1]
            case ("metadata", "namespace"):
                value = stored.key[0]
            case path:
                obj = stored.decode() if obj is None else obj
                value = _value_at(obj, path)
        if (value == field.value) is not field.is_equal:
            return False
    return True


def _value_at(obj: Json, path: tuple[str, ...]) -> object:
    found: object = obj
    for step in path:
        found = found.get(step, "") if isinstance(found, dict) else ""
    return found
