"""The Store against the traffic of a real kube-apiserver 1.36."""

import json

import msgspec
import pytest

from onehop.lab.api import PatchType, Store, WriteOptions
from onehop.lab.api.history import Change, EventType
from onehop.lab.api.stream import bookmark
from tests.lab_api.objects import RECORDED, Clock, Json, recorded, watch

STATUS = WriteOptions(subresource="status")
CLEANUP = "service.kubernetes.io/load-balancer-cleanup"


def shape(obj: Json) -> Json:
    """Return an object without what no two servers give out alike.

    Allocated numbers and addresses become the range they are from; times and versions go.
    """
    metadata = {
        name: value
        for name, value in obj["metadata"].items()
        if name not in ("uid", "resourceVersion", "creationTimestamp")
    }
    if "deletionTimestamp" in metadata:
        metadata["deletionTimestamp"] = "then"
    spec = json.loads(json.dumps(obj.get("spec", {})))
    for port in spec.get("ports", ()):
        if 30000 <= port.get("nodePort", 0) <= 32767:
            port["nodePort"] = "a node port"
    if 30000 <= spec.get("healthCheckNodePort", 0) <= 32767:
        spec["healthCheckNodePort"] = "a node port"
    if spec.get("clusterIP", "").startswith("10.96."):
        assert spec["clusterIPs"] == [spec["clusterIP"]]
        spec["clusterIP"], spec["clusterIPs"] = "an address", ["an address"]
    return {**obj, "metadata": metadata, "spec": spec}


def seen(events: list[tuple[EventType, Change]], store: Store, name: str) -> list[Json]:
    """Return events as a client decodes them."""
    resource = store.registry.named(name)
    return [msgspec.json.decode(change.line(event, resource)) for event, change in events]


def applied(kind: str) -> list[Json]:
    """Return the manifests that were applied when the recording was made."""
    manifests: list[Json] = json.loads((RECORDED / "applied.json").read_text())
    return [each for each in manifests if each["kind"] == kind]


def without_bookmarks(events: list[Json]) -> list[Json]:
    return [event for event in events if event["type"] != "BOOKMARK"]


def test_services_go_through_their_life_as_recorded(store: Store, clock: Clock) -> None:
    """Apply, externalTrafficPolicy, status, delete with a finalizer: event for event the same.

    Defaults, allocated fields, what a policy change takes away, the absent generation, the mark
    of deletion and what the last event shows are all compared.
    """
    services = store.registry.named("services")
    events = watch(store, "services", since=str(store.revision))
    for manifest in applied("Service"):
        store.create(services, "shop", manifest)
    key = ("shop", "web-lb")
    policy = {"spec": {"externalTrafficPolicy": "Cluster"}}
    store.patch(services, key, PatchType.STRATEGIC, policy)
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.10", "ipMode": "Proxy"}]}}}
    store.patch(services, key, PatchType.MERGE, status, STATUS)
    clock.turn(2)
    store.delete(services, key)
    directive = {"metadata": {"$deleteFromPrimitiveList/finalizers": [CLEANUP]}}
    store.patch(services, key, PatchType.STRATEGIC, directive)

    ours = seen(events.take(), store, "services")

    theirs = without_bookmarks(recorded("services.jsonl"))
    assert [event["type"] for event in ours] == [event["type"] for event in theirs]
    for mine, real in zip(ours, theirs, strict=True):
        assert shape(mine["object"]) == shape(real["object"])


def test_an_ingress_goes_through_its_life_as_recorded(store: Store) -> None:
    """Apply, status patch, delete: the generation stays 1."""
    ingresses = store.registry.named("ingresses")
    events = watch(store, "ingresses", since=str(store.revision))
    [manifest] = applied("Ingress")
    key = store.create(ingresses, "shop", manifest).key
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.10"}]}}}
    store.patch(ingresses, key, PatchType.MERGE, status, STATUS)
    store.delete(ingresses, key)

    ours = seen(events.take(), store, "ingresses")

    theirs = without_bookmarks(recorded("ingresses.jsonl"))
    assert [each["type"] for each in ours] == [each["type"] for each in theirs]
    assert [shape(e["object"]) for e in ours] == [shape(e["object"]) for e in theirs]


def test_a_rolling_update_counts_generations_as_recorded(store: Store) -> None:
    """Every write of the endpoints moves an EndpointSlice's generation by one."""
    slices = store.registry.named("endpointslices")
    events = watch(store, "endpointslices", since=str(store.revision))
    theirs = recorded("endpointslice.jsonl")
    key = ("shop", theirs[0]["object"]["metadata"]["name"])
    for event in theirs:
        written = event["object"]
        metadata = {
            name: value
            for name, value in written["metadata"].items()
            if name not in ("uid", "resourceVersion", "creationTimestamp", "generation")
        }
        obj = {**written, "metadata": metadata}
        if event["type"] == "ADDED":
            store.create(slices, "shop", obj)
        else:
            store.update(slices, key, obj)

    ours = seen(events.take(), store, "endpointslices")

    for mine, real in zip(ours, theirs, strict=True):
        assert mine["type"] == real["type"]
        assert shape(mine["object"]) == shape(real["object"])


@pytest.mark.parametrize(
    "name", ["services", "endpointslices", "ingresses", "ingressclasses", "nodes"]
)
def test_a_bookmark_has_the_form_of_the_recorded_one(store: Store, name: str) -> None:
    """An empty object of the kind with a resourceVersion, zero values and nulls included."""
    real: Json = json.loads((RECORDED / "bookmarks.json").read_text())[name]
    revision = int(real["metadata"]["resourceVersion"])

    ours = msgspec.json.decode(bookmark(store.registry.named(name), revision))

    assert ours == {"type": "BOOKMARK", "object": real}
