"""The vocabulary of the schemas of Gateway API's CRDs, and the types that many of them share.

What counts is here: types, required fields, defaults, enumerations, patterns, bounds and list types
as in `config/crd/experimental` of release 1.6. Left out are descriptions, and the CEL rules, which
this API does not evaluate.
"""

from typing import Any, Final

from onehop.lab.api.refusal import Json

GROUP: Final = "gateway.networking.k8s.io"
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"


def text(most: int = 253, least: int = 1, **rules: Any) -> Json:
    """Return the schema of a text."""
    return {"type": "string", "maxLength": most, "minLength": least, **rules}


def choice(*values: str, **rules: Any) -> Json:
    """Return the schema of one of some texts."""
    return {"type": "string", "enum": list(values), **rules}


def whole(least: int, most: int, **rules: Any) -> Json:
    """Return the schema of a whole number."""
    return {"type": "integer", "minimum": least, "maximum": most, **rules}


def fields(properties: Json, *required: str, **rules: Any) -> Json:
    """Return the schema of an object."""
    demanded = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, **demanded, **rules}


def listed(items: Json, most: int, least: int = 0, *, key: str = "", **rules: Any) -> Json:
    """Return the schema of a list: replaced whole, or with items told apart by a field."""
    kind: Json = {"x-kubernetes-list-type": "atomic"}
    if key:
        kind = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    bounds = {"maxItems": most} | ({"minItems": least} if least else {})
    return {"type": "array", "items": items, **kind, **bounds, **rules}


def mapping(most: int, value_length: int) -> Json:
    """Return the schema of a map from texts to texts."""
    values = {"type": "string", "maxLength": value_length}
    return {"type": "object", "additionalProperties": values, "maxProperties": most}


ANY_GROUP: Final = text(least=0, pattern=rf"^$|^{_SUBDOMAIN}$")
ANY_KIND: Final = text(63, pattern="^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")
NAME: Final = text()
NAMESPACE: Final = text(63, pattern=f"^{_LABEL}$")
SECTION: Final = text(pattern=f"^{_SUBDOMAIN}$")
HOSTNAME: Final = text(pattern=rf"^(\*\.)?{_SUBDOMAIN}$")
PRECISE_HOSTNAME: Final = text(pattern=f"^{_SUBDOMAIN}$")
PORT: Final = whole(1, 65535, format="int32")
DURATION: Final = {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
CONTROLLER: Final = text(pattern=rf"^{_SUBDOMAIN}\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$")

LOCAL_REF: Final = fields(
    {"group": ANY_GROUP, "kind": ANY_KIND, "name": NAME}, "group", "kind", "name"
)
OBJECT_REF: Final = fields(
    {"group": ANY_GROUP, "kind": ANY_KIND, "name": NAME, "namespace": NAMESPACE},
    "group",
    "kind",
    "name",
)
SECRET_REF: Final = fields(
    {
        "group": {**ANY_GROUP, "default": ""},
        "kind": {**ANY_KIND, "default": "Secret"},
        "name": NAME,
        "namespace": NAMESPACE,
    },
    "name",
)
PARENT_GATEWAY: Final[Json] = {
    "group": {**ANY_GROUP, "default": GROUP},
    "kind": {**ANY_KIND, "default": "Gateway"},
    "name": NAME,
    "namespace": NAMESPACE,
}
PARENT_REF: Final = fields({**PARENT_GATEWAY, "sectionName": SECTION, "port": PORT}, "name")
BACKEND_FIELDS: Final[Json] = {
    "group": {**ANY_GROUP, "default": ""},
    "kind": {**ANY_KIND, "default": "Service"},
    "name": NAME,
    "namespace": NAMESPACE,
    "port": PORT,
}
SELECTOR: Final = fields(
    {
        "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
        "matchExpressions": {
            "type": "array",
            "x-kubernetes-list-type": "atomic",
            "items": fields(
                {
                    "key": {"type": "string"},
                    "operator": {"type": "string"},
                    "values": {
                        "type": "array",
                        "items": {"type": "string"},
                        "x-kubernetes-list-type": "atomic",
                    },
                },
                "key",
                "operator",
            ),
        },
    }
)
CONDITION: Final = fields(
    {
        "type": text(
            316,
            0,
            pattern=rf"^({_SUBDOMAIN}/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        ),
        "status": choice("True", "False", "Unknown"),
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "reason": text(1024, pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
        "message": text(32768, 0),
    },
    "lastTransitionTime",
    "message",
    "reason",
    "status",
    "type",
)
CONDITIONS: Final = listed(CONDITION, 8, key="type")


def pending(*types: str) -> list[Json]:
    """Return the conditions that an object has before any controller has seen it."""
    return [
        {
            "type": each,
            "status": "Unknown",
            "reason": "Pending",
            "message": "Waiting for controller",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }
        for each in types
    ]
