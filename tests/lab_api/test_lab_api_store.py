"""The verbs of the Store, and the metadata they keep."""

import pytest

from onehop.lab.api import PatchType, Refused, Store, WriteOptions, put, read, remove
from onehop.lab.api.selector import Selection
from tests.lab_api.objects import (
    Clock,
    Json,
    config_map,
    endpoint_slice,
    ingress,
    service,
    told,
    watch,
)

STATUS = WriteOptions(subresource="status")
SLICES = "endpointslices.discovery.k8s.io"


def refusal(caught: pytest.ExceptionInfo[Refused]) -> tuple[int, str]:
    return caught.value.code, caught.value.status["reason"]


def test_a_created_object_gets_its_metadata_from_the_server(store: Store) -> None:
    """uid, creationTimestamp, resourceVersion and generation are the server's, not the author's."""
    told_uid = {"uid": "mine", "generation": 7, "creationTimestamp": "1970-01-01T00:00:00Z"}
    obj = ingress()
    obj["metadata"] |= told_uid

    stored = store.create(store.registry.named("ingresses"), "shop", obj)

    metadata = stored.decode()["metadata"]
    assert metadata["uid"] != "mine"
    assert metadata["generation"] == 1
    assert metadata["creationTimestamp"] == "2026-11-23T12:00:00Z"
    assert metadata["resourceVersion"] == str(store.revision)


def test_generate_name_makes_a_name(store: Store) -> None:
    """A name is made of the prefix and five letters."""
    obj = config_map("x")
    obj["metadata"] = {"generateName": "event-"}

    stored = store.create(store.registry.named("configmaps"), "shop", obj)

    assert stored.key[1].startswith("event-")
    assert len(stored.key[1]) == len("event-") + 5


def test_what_a_client_gave_is_not_changed_and_what_it_got_is_its_own(store: Store) -> None:
    """No stored object can be changed through a reference."""
    obj = service(type="LoadBalancer")
    before = repr(obj)

    put(store, obj)
    read(store, "services", "shop", "web")["spec"]["ports"].clear()

    assert repr(obj) == before
    assert len(read(store, "services", "shop", "web")["spec"]["ports"]) == 1


def test_a_second_create_of_a_name_conflicts(store: Store) -> None:
    """409 AlreadyExists."""
    put(store, config_map("a"))

    with pytest.raises(Refused) as caught:
        store.create(store.registry.named("configmaps"), "shop", config_map("a"))

    assert refusal(caught) == (409, "AlreadyExists")
    assert str(caught.value) == 'configmaps "a" already exists'


def test_an_object_of_a_namespace_that_is_not_there_is_refused(store: Store) -> None:
    """404 names the namespace."""
    obj = config_map("a")
    obj["metadata"]["namespace"] = "nowhere"

    with pytest.raises(Refused) as caught:
        store.create(store.registry.named("configmaps"), "nowhere", obj)

    assert caught.value.status["details"] == {"name": "nowhere", "kind": "namespaces"}


def test_a_missing_object_is_refused_as_the_real_server_does(store: Store) -> None:
    """404 with the qualified resource in the text, and details for programs."""
    with pytest.raises(Refused) as caught:
        read(store, "ingresses", "shop", "gone")

    assert refusal(caught) == (404, "NotFound")
    assert str(caught.value) == 'ingresses.networking.k8s.io "gone" not found'
    details = {"name": "gone", "group": "networking.k8s.io", "kind": "ingresses"}
    assert caught.value.status["details"] == details


def test_an_update_of_an_old_version_conflicts(store: Store) -> None:
    """A resourceVersion that is not the newest gets 409 Conflict."""
    resource = store.registry.named("configmaps")
    old = put(store, config_map("a", x="1")).object(resource)
    put(store, config_map("a", x="2"))

    with pytest.raises(Refused) as caught:
        store.update(resource, ("shop", "a"), old)

    assert refusal(caught) == (409, "Conflict")
    assert read(store, "configmaps", "shop", "a")["data"] == {"x": "2"}


def test_an_update_without_a_version_is_unconditional_but_not_for_a_lease(store: Store) -> None:
    """Most built-in kinds take it; a Lease needs a resourceVersion: elections rely on it."""
    put(store, config_map("a", x="1"))
    lease = {"metadata": {"name": "leader"}, "spec": {"holderIdentity": "me"}}
    leases = store.registry.named("leases")
    store.create(leases, "shop", lease)

    store.update(store.registry.named("configmaps"), ("shop", "a"), config_map("a", x="2"))
    with pytest.raises(Refused) as caught:
        store.update(leases, ("shop", "leader"), lease)

    assert refusal(caught) == (422, "Invalid")


def test_a_write_that_changes_nothing_has_no_revision_and_no_event(store: Store) -> None:
    """As in etcd3/store.go: the object comes back as it was."""
    resource = store.registry.named("services")
    before = put(store, service())
    events = watch(store, "services", since=str(store.revision))

    same = store.patch(resource, before.key, PatchType.MERGE, {"spec": {"type": "ClusterIP"}})

    assert same is before
    assert events.take() == []


def test_generation_counts_wishes_and_not_labels_or_status(store: Store) -> None:
    """An Ingress's generation moves with its spec only."""
    resource = store.registry.named("ingresses")
    key = put(store, ingress()).key
    generations: list[int] = []
    patches: list[tuple[Json, WriteOptions]] = [
        ({"metadata": {"labels": {"a": "b"}}}, WriteOptions()),
        ({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}}, STATUS),
        ({"spec": {"ingressClassName": "other"}}, WriteOptions()),
    ]

    for patch, options in patches:
        stored = store.patch(resource, key, PatchType.MERGE, patch, options)
        generations.append(stored.decode()["metadata"]["generation"])

    assert generations == [1, 1, 2]


def test_the_main_endpoint_ignores_status_and_status_ignores_spec(store: Store) -> None:
    """Each of the two endpoints takes its own half."""
    resource = store.registry.named("ingresses")
    key = put(store, ingress()).key
    both = {
        "spec": {"ingressClassName": "other"},
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}},
    }

    by_main = store.patch(resource, key, PatchType.MERGE, both).decode()
    by_status = store.patch(
        resource,
        key,
        PatchType.MERGE,
        {"spec": {"ingressClassName": "third"}, "status": both["status"]},
        STATUS,
    ).decode()

    assert by_main["status"] == {"loadBalancer": {}}
    assert by_main["spec"]["ingressClassName"] == "other"
    assert by_status["status"] == both["status"]
    assert by_status["spec"]["ingressClassName"] == "other"


def test_an_endpointslice_has_a_generation_and_a_service_has_none(store: Store) -> None:
    """So the recordings of kube-apiserver 1.36 show."""
    put(store, service())
    put(store, endpoint_slice())
    put(store, endpoint_slice(addresses=3))

    assert "generation" not in read(store, "services", "shop", "web")["metadata"]
    assert read(store, SLICES, "shop", "web-1")["metadata"]["generation"] == 2


def test_finalizers_hold_an_object_until_the_last_is_gone(store: Store, clock: Clock) -> None:
    """Marked first, deleted by the write that takes the last finalizer away."""
    resource = store.registry.named("services")
    obj = service()
    obj["metadata"]["finalizers"] = ["onehop.dev/a", "onehop.dev/b"]
    key = put(store, obj).key
    events = watch(store, "services", since=str(store.revision))
    clock.turn(5)

    marked = store.delete(resource, key)
    again = store.delete(resource, key)
    for left in (["onehop.dev/b"], []):
        body = {"metadata": {"finalizers": left}}
        store.patch(resource, key, PatchType.MERGE, body)

    assert not marked.is_gone
    assert not again.is_gone
    assert marked.stored.decode()["metadata"]["deletionTimestamp"] == "2026-11-23T12:00:05Z"
    taken = events.take()
    assert told(taken) == [("MODIFIED", "web"), ("MODIFIED", "web"), ("DELETED", "web")]
    last = taken[-1][1].shown(taken[-1][0])
    assert last.revision == store.revision
    assert last.decode()["metadata"]["finalizers"] == ["onehop.dev/b"]


def test_no_finalizer_can_be_added_to_what_is_being_deleted(store: Store) -> None:
    """422 Forbidden at metadata.finalizers."""
    resource = store.registry.named("services")
    obj = service()
    obj["metadata"]["finalizers"] = ["onehop.dev/a"]
    key = put(store, obj).key
    store.delete(resource, key)

    body = {"metadata": {"finalizers": ["onehop.dev/a", "onehop.dev/late"]}}
    with pytest.raises(Refused) as caught:
        store.patch(resource, key, PatchType.MERGE, body)

    assert caught.value.status["details"]["causes"][0]["field"] == "metadata.finalizers"


def test_a_deletion_of_another_object_of_that_name_is_refused(store: Store) -> None:
    """A uid precondition guards against deleting a successor."""
    key = put(store, config_map("a")).key

    with pytest.raises(Refused) as caught:
        store.delete(store.registry.named("configmaps"), key, WriteOptions(uid="another"))

    assert refusal(caught) == (409, "Conflict")


def test_a_dry_run_answers_and_writes_nothing(store: Store) -> None:
    """Defaults and checks run; revision, objects and node ports stay."""
    dry = WriteOptions(dry_run=True)
    services = store.registry.named("services")
    before = store.revision

    shown = store.create(services, "shop", service(type="NodePort"), dry)

    port = shown.decode()["spec"]["ports"][0]["nodePort"]
    assert store.revision == before
    assert store.collection(services).get(("shop", "web")) is None
    put(store, service(type="NodePort", ports=[{"port": 80, "nodePort": port}]))


def test_delete_collection_takes_what_the_selection_means(store: Store) -> None:
    """Objects of other namespaces stay."""
    put(store, config_map("a"))
    other = config_map("b")
    other["metadata"]["namespace"] = "default"
    put(store, other)

    gone = store.delete_collection(store.registry.named("configmaps"), Selection(namespace="shop"))

    assert [each.key for each in gone] == [("shop", "a")]
    assert read(store, "configmaps", "default", "b")["kind"] == "ConfigMap"


def test_a_deleted_namespace_takes_its_content_with_it(store: Store) -> None:
    """It is Terminating while a finalizer holds something in it, and takes nothing new."""
    obj = service()
    obj["metadata"]["finalizers"] = ["onehop.dev/a"]
    put(store, obj)
    put(store, config_map("a"))
    events = watch(store, "namespaces", since=str(store.revision))

    remove(store, "namespaces", "", "shop")
    phase = read(store, "namespaces", "", "shop")["status"]["phase"]
    with pytest.raises(Refused) as caught:
        store.create(store.registry.named("configmaps"), "shop", config_map("b"))
    store.patch(
        store.registry.named("services"),
        ("shop", "web"),
        PatchType.MERGE,
        {"metadata": {"finalizers": None}},
    )

    assert phase == "Terminating"
    assert refusal(caught) == (403, "Forbidden")
    assert told(events.take()) == [("MODIFIED", "shop"), ("DELETED", "shop")]


def test_an_object_of_another_kind_than_the_url_is_refused(store: Store) -> None:
    """400: a body that says Ingress cannot be stored as a Service."""
    with pytest.raises(Refused) as caught:
        store.create(store.registry.named("services"), "shop", ingress())

    assert refusal(caught) == (400, "BadRequest")


def test_a_namespace_that_differs_from_the_url_is_refused(store: Store) -> None:
    """400, with the real server's words."""
    with pytest.raises(Refused, match="does not match the namespace sent on the request"):
        store.create(store.registry.named("services"), "default", service())


@pytest.mark.parametrize("name", ["Web", "a_b", "-a", "a" * 254])
def test_a_name_that_is_no_subdomain_is_refused(store: Store, name: str) -> None:
    """422 at metadata.name (RFC 1123)."""
    with pytest.raises(Refused) as caught:
        store.create(store.registry.named("configmaps"), "shop", config_map(name))

    assert caught.value.status["details"]["causes"][0]["field"] == "metadata.name"


def test_events_of_both_groups_are_the_same_objects(store: Store) -> None:
    """An event written as events.k8s.io/v1 reads as v1, respelt, and the other way round."""
    put(
        store,
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": "web.1", "namespace": "shop"},
            "regarding": {"kind": "Service", "name": "web", "namespace": "shop"},
            "note": "address assigned",
            "reason": "AddressAssigned",
            "type": "Normal",
        },
    )

    core = read(store, "events", "shop", "web.1")
    modern = read(store, "events.events.k8s.io", "shop", "web.1")

    assert core["message"] == modern["note"] == "address assigned"
    assert core["involvedObject"] == modern["regarding"]
    assert (core["apiVersion"], modern["apiVersion"]) == ("v1", "events.k8s.io/v1")
