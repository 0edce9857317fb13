"""One version of one object, as the Store keeps it: its bytes.

The truth is the encoded JSON, not a dict. A list of 100,000 endpoints is then a join of bytes
that are there already, an event is encoded once for all its readers, and nobody can change a
stored object through a reference: every `decode` gives a dict of its own.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import msgspec

from onehop.lab.api.refusal import Json
from onehop.lab.api.resource import Key, Resource

_NO_LABELS: Mapping[str, str] = MappingProxyType({})
_decoder: msgspec.json.Decoder[Json] = msgspec.json.Decoder(Json)
_encoder = msgspec.json.Encoder()


class Stored:
    """An object at one revision; never changes.

    Attributes:
        key: namespace and name.
        revision: its resourceVersion.
        body: JSON without `kind` and `apiVersion`, in the storage version.
        labels: its labels, for selectors that need not decode the rest.
    """

    __slots__ = ("_converted", "body", "key", "labels", "revision")

    def __init__(self, key: Key, revision: int, body: bytes, labels: Mapping[str, str]) -> None:
        self.key = key
        self.revision = revision
        self.body = body
        self.labels = labels
        self._converted: dict[str, bytes] = {}

    def decode(self) -> Json:
        """Return a dict of the caller's own, without `kind` and `apiVersion`."""
        return _decoder.decode(self.body)

    def at(self, revision: int) -> "Stored":
        """Return the same object under a later resourceVersion, as a deletion shows it."""
        obj = self.decode()
        return encode_stored(self.key, obj, revision)

    def whole(self, resource: Resource) -> bytes:
        """Return the object's JSON with `kind` and `apiVersion`, in the version of `resource`."""
        return resource.head + self._body_for(resource)[1:]

    def item(self, resource: Resource) -> bytes:
        """Return the object's JSON as an item of a list.

        The items of a custom resource's list name their kind, those of a built-in one do not.
        """
        return self.whole(resource) if resource.is_custom else self._body_for(resource)

    def object(self, resource: Resource) -> Json:
        """Return a dict of the caller's own, with `kind` and `apiVersion` first."""
        named: Json = {"kind": resource.kind, "apiVersion": resource.api_version}
        return named | _decoder.decode(self._body_for(resource))

    def _body_for(self, resource: Resource) -> bytes:
        if resource.conversion is None:
            return self.body
        body = self._converted.get(resource.api_version)
        if body is None:
            body = _encoder.encode(resource.conversion.from_storage(self.decode()))
            self._converted[resource.api_version] = body
        return body


def encode_stored(key: Key, obj: Json, revision: int) -> Stored:
    """Return the stored form of an object; the dict is not kept.

    Args:
        key: namespace and name.
        obj: the object in its storage version, without kind and apiVersion; its
            `metadata.resourceVersion` is set in place.
        revision: its resourceVersion.
    """
    metadata = cast("Json", obj["metadata"])  # every write has made sure of it
    metadata["resourceVersion"] = str(revision)
    labels = metadata.get("labels")
    return Stored(key, revision, _encoder.encode(obj), dict(labels) if labels else _NO_LABELS)
