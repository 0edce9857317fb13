"""The protobuf bodies that kubectl sends, as objects.

Since 1.32 the typed half of kubectl (`create namespace`, `create secret`, `auth can-i` ...) sends
protobuf and knows no way back to JSON. The kinds it does that with are decoded here, by tables
taken from the `generated.proto` files of kubernetes `staging/src/k8s.io/api`; other kinds answer
415. Answers are always JSON: every client accepts it.

The envelope (apimachinery `pkg/runtime/serializer/protobuf`): four magic bytes, then
`runtime.Unknown` with typeMeta = 1 and raw = 2.
"""

import base64
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from onehop.lab.api.refusal import Json, Refused, bad_request

_MAGIC = b"k8s\x00"


class Field(msgspec.Struct, frozen=True):
    """One field of a message.

    Attributes:
        name: "" for a message whose fields are those of the object itself in JSON.
        kind: `text`, `bytes` (base64 in JSON), `number` or `intOrString`; else the fields of a
            message, by number.
        is_list: it may occur often.
        is_map: it is a map from text to `kind`.
    """

    name: str
    kind: "str | Message" = "text"
    is_list: bool = False
    is_map: bool = False


Message: TypeAlias = dict[int, Field]

_METADATA: Message = {
    1: Field("name"),
    2: Field("generateName"),
    3: Field("namespace"),
    11: Field("labels", is_map=True),
    12: Field("annotations", is_map=True),
    14: Field("finalizers", is_list=True),
}
_SERVICE_PORT: Message = {
    1: Field("name"),
    2: Field("protocol"),
    3: Field("port", "number"),
    4: Field("targetPort", "intOrString"),
    5: Field("nodePort", "number"),
}
_SERVICE_SPEC: Message = {
    1: Field("ports", _SERVICE_PORT, is_list=True),
    2: Field("selector", is_map=True),
    3: Field("clusterIP"),
    4: Field("type"),
    10: Field("externalName"),
}
_INGRESS_BACKEND: Message = {
    4: Field(
        "service",
        {1: Field("name"), 2: Field("port", {1: Field("name"), 2: Field("number", "number")})},
    ),
}
_INGRESS_PATH: Message = {
    1: Field("path"),
    2: Field("backend", _INGRESS_BACKEND),
    3: Field("pathType"),
}
_INGRESS_HTTP: Message = {1: Field("paths", _INGRESS_PATH, is_list=True)}
_INGRESS_SPEC: Message = {
    1: Field("defaultBackend", _INGRESS_BACKEND),
    2: Field("tls", {1: Field("hosts", is_list=True), 2: Field("secretName")}, is_list=True),
    3: Field(
        "rules",
        {1: Field("host"), 2: Field("", {1: Field("http", _INGRESS_HTTP)})},
        is_list=True,
    ),
    4: Field("ingressClassName"),
}
_ACCESS: Message = {
    1: Field("namespace"),
    2: Field("verb"),
    3: Field("group"),
    4: Field("version"),
    5: Field("resource"),
    6: Field("subresource"),
    7: Field("name"),
}
_BODIES: dict[str, Message] = {
    "ConfigMap": {2: Field("data", is_map=True), 3: Field("binaryData", "bytes", is_map=True)},
    "Ingress": {2: Field("spec", _INGRESS_SPEC)},
    "Namespace": {},
    "Secret": {2: Field("data", "bytes", is_map=True), 3: Field("type")},
    "SelfSubjectAccessReview": {2: Field("spec", {1: Field("resourceAttributes", _ACCESS)})},
    "Service": {2: Field("spec", _SERVICE_SPEC)},
    "ServiceAccount": {},
}
_TYPE_META: Message = {1: Field("apiVersion"), 2: Field("kind")}
_INT_OR_STRING: Message = {1: Field("type", "number"), 2: Field("int", "number"), 3: Field("str")}


def decode_protobuf(body: bytes) -> Json:
    """Return the object of a protobuf body; refuse with 415 a kind that has no table here."""
    if not body.startswith(_MAGIC):
        raise bad_request("the body is no protobuf of Kubernetes")
    try:
        envelope = dict(_wire(body[len(_MAGIC) :]))
        named = _message(envelope[1], _TYPE_META)
        if named.get("kind") not in _BODIES:
            told = f"no protobuf for {named.get('kind')} here; send JSON"
            raise Refused(415, "UnsupportedMediaType", told)
        fields = {1: Field("metadata", _METADATA)} | _BODIES[named["kind"]]
        return named | _message(envelope[2], fields)
    except (IndexError, KeyError, ValueError, TypeError) as error:
        raise bad_request(f"the protobuf cannot be decoded: {error}") from error


def _message(data: Any, fields: Message) -> Json:
    obj: Json = {}
    for number, value in _wire(data):
        field = fields.get(number)
        if field is None:
            continue
        if field.is_map:
            entry = _message(value, {1: Field("key"), 2: Field("value", field.kind)})
            empty = "" if field.kind in ("text", "bytes") else {}
            obj.setdefault(field.name, {})[entry.get("key", "")] = entry.get("value", empty)
        elif field.is_list:
            obj.setdefault(field.name, []).append(_value(value, field.kind))
        elif not field.name:
            obj.update(_value(value, field.kind))
        elif value not in (b"", 0):  # proto2 writes what Go leaves empty
            obj[field.name] = _value(value, field.kind)
    return obj


def _value(value: Any, kind: str | Message) -> Any:
    match kind:
        case "text":
            return value.decode()
        case "bytes":
            return base64.b64encode(value).decode()
        case "intOrString":
            told = _message(value, _INT_OR_STRING)
            return told.get("str", "") if told.get("type") else told.get("int", 0)
        case dict():
            return _message(value, kind)
        case _:
            return value


def _wire(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield field numbers and raw values (https://protobuf.dev/programming-guides/encoding/)."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        match tag & 7:
            case 0:
                value, position = _varint(data, position)
                yield tag >> 3, value
            case 2:
                size, position = _varint(data, position)
                if position + size > len(data):
                    raise ValueError("a field goes beyond the end")
                yield tag >> 3, data[position : position + size]
                position += size
            case wire_type:
                raise ValueError(f"wire type {wire_type} occurs in no object")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if not byte & 0x80:
            return value, position
