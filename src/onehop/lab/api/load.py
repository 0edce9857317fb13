"""Putting whole manifests into a Store, as tests and the lab do.

The short way for those who hold a Store: `put` an object whatever was there, `read`, `remove` it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from onehop.lab.api.kind.namespace import NAMESPACE
from onehop.lab.api.option import WriteOptions
from onehop.lab.api.patching import PatchType
from onehop.lab.api.refusal import Json, bad_request
from onehop.lab.api.resource import Key, Resource
from onehop.lab.api.store import Store
from onehop.lab.api.stored import Stored

_STATUS = WriteOptions(subresource="status")
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


def put(store: Store, obj: Json) -> Stored:
    """Create or replace an object, its status included; make its namespace if need be."""
    resource = store.registry.of(obj)
    metadata = {
        name: value
        for name, value in obj["metadata"].items()
        if name not in ("resourceVersion", "uid", "managedFields")
    }
    key = _key(resource, metadata)
    if resource.namespaced:
        metadata["namespace"] = key[0]
        if store.collection(NAMESPACE).get(("", key[0])) is None:
            store.create(NAMESPACE, "", {"metadata": {"name": key[0]}})
    wanted = {**obj, "metadata": metadata}
    old = store.collection(resource).get(key)
    if old is None:
        stored = store.create(resource, key[0], wanted)
    else:
        metadata["resourceVersion"] = str(old.revision)
        stored = store.update(resource, key, wanted)
    if resource.has_status and obj.get("status"):
        body = {"status": obj["status"]}
        stored = store.patch(resource, stored.key, PatchType.MERGE, body, _STATUS)
    return stored


def read(store: Store, name: str, namespace: str, object_name: str) -> Json:
    """Return an object of a resource such as `services`; refuse with 404 when there is none."""
    resource = store.registry.named(name)
    key = (namespace if resource.namespaced else "", object_name)
    return store.get(resource, key).object(resource)


def remove(store: Store, name: str, namespace: str, object_name: str) -> None:
    """Delete an object of a resource such as `services`."""
    resource = store.registry.named(name)
    store.delete(resource, (namespace if resource.namespaced else "", object_name))


def load(store: Store, objects: Iterable[Json]) -> int:
    """Put every object, Lists unfolded, in the order given; return how many there were."""
    number = 0
    for obj in objects:
        for each in _unfold(obj):
            put(store, each)
            number += 1
    return number


def manifests(path: Path) -> Iterator[Json]:
    """Yield the objects of a YAML or JSON file, or of all such files in a folder, sorted by name.

    Definitions of resources and namespaces come first, so that the others find them.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    found = [
        obj
        for file in files
        if file.suffix in _SUFFIXES and file.is_file()
        for obj in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader)  # a safe loader, in C
        if obj
    ]
    first = ("CustomResourceDefinition", "Namespace")
    yield from sorted(
        (each for obj in found for each in _unfold(obj)),
        key=lambda obj: obj.get("kind") not in first,
    )


def _unfold(obj: Json) -> Iterator[Json]:
    if str(obj.get("kind", "")).endswith("List") and isinstance(obj.get("items"), list):
        kind, version = str(obj["kind"]).removesuffix("List"), obj.get("apiVersion")
        for item in obj["items"]:
            yield {"kind": kind, "apiVersion": version} | item
    else:
        yield obj


def _key(resource: Resource, metadata: Json) -> Key:
    name = metadata.get("name")
    if not name:
        raise bad_request("an object that is put must have a name")
    return (metadata.get("namespace") or "default" if resource.namespaced else "", str(name))
