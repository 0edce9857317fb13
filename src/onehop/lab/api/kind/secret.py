"""Secret: stringData, types, what a TLS secret must hold, and how much any may.

Kubernetes `pkg/apis/core/validation/validation.go`, ValidateSecret.
"""

import base64
import binascii
from collections.abc import Iterator

from onehop.lab.api.check import immutable_faults, part
from onehop.lab.api.printing import AGE, NAME
from onehop.lab.api.refusal import FieldFault, Json, forbidden, invalid, required, too_long
from onehop.lab.api.resource import Column, NoRules, Resource, World

_KEYS_OF_TYPE = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_MAX_BYTES = 1024 * 1024
"""`MaxSecretSize` of pkg/apis/core/types.go: of all values together."""


class SecretRules(NoRules):
    """Defaults and checks of a Secret."""

    def default(self, obj: Json, old: Json | None, world: World) -> None:  # noqa: ARG002  the protocol has them
        """Turn stringData into data, and say `Opaque` when no type is said."""
        obj.setdefault("type", "Opaque")
        texts = obj.pop("stringData", None)
        if isinstance(texts, dict):
            encoded = {
                name: base64.b64encode(str(text).encode()).decode() for name, text in texts.items()
            }
            obj["data"] = {**part(obj, "data"), **encoded}

    def faults(self, obj: Json, old: Json | None, world: World) -> Iterator[FieldFault]:  # noqa: ARG002  the protocol has them
        """Yield what the API would refuse."""
        data = part(obj, "data")
        for name, value in data.items():
            if not _is_base64(value):
                yield invalid(f"data[{name}]", "", "illegal base64 data")
        size = sum(len(base64.b64decode(value)) for value in data.values() if _is_base64(value))
        if size > _MAX_BYTES:
            yield too_long("data", _MAX_BYTES)
        for name in _KEYS_OF_TYPE.get(obj["type"], ()):
            if name not in data:
                yield required(f"data[{name}]")
        if old is not None:
            yield from immutable_faults("type", obj["type"], old.get("type"))
            if old.get("immutable") and data != part(old, "data"):
                yield forbidden("data", "field is immutable when `immutable` is set")


def _is_base64(value: object) -> bool:
    try:
        base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        return False
    return isinstance(value, str)


SECRET = Resource(
    group="",
    version="v1",
    plural="secrets",
    singular="secret",
    kind="Secret",
    selectable=(("type", ("type",)),),
    columns=(
        NAME,
        Column("Type", lambda obj, _: obj.get("type", "")),
        Column("Data", lambda obj, _: len(part(obj, "data")), type="integer"),
        AGE,
    ),
    rules=SecretRules(),
)
