"""Manifests of the tests, and an API that serves Gateway API's kinds."""

import copy
from pathlib import Path
from typing import Any

import msgspec
import yaml

from onehop.cluster import KINDS, ClusterObject, Kind
from onehop.lab.api import Store, put, read
from onehop.lab.api.kind.gateway_crd import RELEASE_1_6, Bundle, gateway_definitions

Json = dict[str, Any]
EVERYTHING = tuple(
    yaml.safe_load_all((Path(__file__).parent / "everything.yaml").read_text("utf-8"))
)
BY_KIND: dict[str, Json] = {manifest["kind"]: manifest for manifest in EVERYTHING}


def store_with(bundle: Bundle = RELEASE_1_6) -> Store:
    """Return an API without objects that knows the kinds of a release."""
    store = Store()
    define(store, bundle)
    return store


def define(store: Store, bundle: Bundle = RELEASE_1_6) -> None:
    """Put the definitions of a release."""
    for definition in gateway_definitions(bundle):
        put(store, definition)


def served(store: Store, manifest: Json) -> Json:
    """Put an object, and return it as the API serves it."""
    put(store, copy.deepcopy(manifest))
    metadata = manifest["metadata"]
    resource = KINDS[Kind(manifest["kind"])].plural + ".gateway.networking.k8s.io"
    return read(store, resource, metadata.get("namespace", ""), metadata["name"])


def decoded(manifest: Json) -> ClusterObject:
    """Return an object as the source would."""
    struct: type[ClusterObject] = KINDS[Kind(manifest["kind"])].struct
    return msgspec.convert(manifest, struct)
