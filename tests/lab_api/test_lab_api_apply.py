"""Server-side apply: ownership, conflicts, removal."""

from typing import Any

import pytest

from onehop.lab.api import PatchType, Refused, Store, WriteOptions, put, read
from onehop.lab.api.fieldset import from_fields_v1, to_fields_v1
from tests.lab_api.objects import (
    Clock,
    Json,
    config_map,
    gateway,
    gateway_definition,
    service,
)


def apply(store: Store, obj: Json, manager: str, **options: Any) -> Json:
    """Apply an object as a manager, and return what came of it."""
    resource = store.registry.of(obj)
    key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
    told = WriteOptions(manager=manager, **options)
    return store.patch(resource, key, PatchType.APPLY, obj, told).object(resource)


def owners(obj: Json) -> dict[str, set[str]]:
    """Return which leaf fields each manager owns, as dotted names."""
    return {
        entry["manager"]: {
            ".".join(step.removeprefix("f:") for step in path)
            for path in from_fields_v1(entry["fieldsV1"])
        }
        for entry in obj["metadata"].get("managedFields", ())
    }


def test_an_apply_creates_what_is_not_there_and_owns_it(store: Store) -> None:
    """ManagedFields name the manager, the operation and the fields."""
    obj = apply(store, config_map("a", x="1"), "kubectl")

    [entry] = obj["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("kubectl", "Apply")
    assert owners(obj) == {"kubectl": {"data.x"}}


def test_a_field_left_out_of_the_next_apply_is_removed(store: Store) -> None:
    """The applied object is the whole wish of its manager."""
    apply(store, config_map("a", x="1", y="2"), "kubectl")
    obj = apply(store, config_map("a", x="1"), "kubectl")

    assert obj["data"] == {"x": "1"}


def test_a_field_that_another_manager_owns_too_is_not_removed(store: Store) -> None:
    """Both agree on it; when one gives it up, the other still wants it."""
    apply(store, config_map("a", x="1", y="2"), "one")
    apply(store, config_map("a", y="2"), "two")
    obj = apply(store, config_map("a", x="1"), "one")

    assert obj["data"] == {"x": "1", "y": "2"}
    assert owners(obj) == {"one": {"data.x"}, "two": {"data.y"}}


def test_another_value_for_a_field_somebody_owns_is_a_conflict(store: Store) -> None:
    """409 with the manager and the field, and nothing is written."""
    apply(store, config_map("a", x="1"), "one")

    with pytest.raises(Refused) as caught:
        apply(store, config_map("a", x="2"), "two")

    assert caught.value.code == 409
    expected = {
        "reason": "FieldManagerConflict",
        "message": 'conflict with "one" using v1',
        "field": ".data.x",
    }
    assert caught.value.status["details"]["causes"] == [expected]
    assert read(store, "configmaps", "shop", "a")["data"] == {"x": "1"}


def test_force_takes_a_field_over(store: Store) -> None:
    """The loser owns it no longer, and no longer removes it either."""
    apply(store, config_map("a", x="1"), "one")
    obj = apply(store, config_map("a", x="2"), "two", force=True)

    assert obj["data"] == {"x": "2"}
    assert owners(obj) == {"two": {"data.x"}}


def test_a_plain_write_takes_ownership_too(store: Store) -> None:
    """An editor who changes an applied field conflicts with the next apply."""
    apply(store, config_map("a", x="1"), "one")
    resource = store.registry.named("configmaps")
    body = {"data": {"x": "2"}}
    editor = WriteOptions(manager="editor")
    obj = store.patch(resource, ("shop", "a"), PatchType.MERGE, body, editor).decode()

    assert owners(obj) == {"editor": {"data.x"}}
    with pytest.raises(Refused, match='conflict with "editor"'):
        apply(store, config_map("a", x="1"), "one")


def test_an_object_older_than_its_first_apply_has_an_owner(store: Store) -> None:
    """`before-first-apply` stands for whoever wrote it."""
    put(store, config_map("a", x="1"))

    with pytest.raises(Refused, match='conflict with "before-first-apply"'):
        apply(store, config_map("a", x="2"), "kubectl")
    obj = apply(store, config_map("a", x="1"), "kubectl")

    assert owners(obj)["kubectl"] == {"data.x"}


def test_the_same_apply_again_changes_nothing(store: Store, clock: Clock) -> None:
    """No revision, no new time."""
    first = apply(store, config_map("a", x="1"), "kubectl")
    clock.turn(60)
    second = apply(store, config_map("a", x="1"), "kubectl")

    assert first == second


def test_ports_are_owned_one_by_one(store: Store) -> None:
    """Their key is port and protocol, and an absent protocol is TCP."""
    web = {"name": "http", "port": 80}
    dns = {"name": "dns", "port": 53, "protocol": "UDP"}
    apply(store, service(ports=[web]), "one")
    both = apply(store, service(ports=[dns]), "two")
    left = apply(store, service(ports=[]), "two")

    assert [port["name"] for port in both["spec"]["ports"]] == ["http", "dns"]
    assert [port["name"] for port in left["spec"]["ports"]] == ["http"]


def test_a_selector_is_owned_whole(store: Store) -> None:
    """Service.spec.selector is atomic: a new one does not merge with the old."""
    apply(store, service(selector={"app": "web", "tier": "front"}), "one")
    obj = apply(store, service(selector={"app": "web"}), "one")

    assert obj["spec"]["selector"] == {"app": "web"}


def test_status_is_applied_through_its_own_endpoint(store: Store) -> None:
    """Each endpoint takes its own half of the applied object."""
    put(store, service(type="LoadBalancer"))
    status = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1", "ipMode": "Proxy"}]}}
    wish = service(type="NodePort") | {"status": status}

    obj = apply(store, wish, "onehop", subresource="status")

    assert obj["status"] == status
    assert obj["spec"]["type"] == "LoadBalancer"
    [entry] = [e for e in obj["metadata"]["managedFields"] if e["manager"] == "onehop"]
    assert entry["subresource"] == "status"


def test_a_status_of_nothing_cannot_be_applied(store: Store) -> None:
    """404: only the main endpoint creates."""
    with pytest.raises(Refused) as caught:
        apply(store, service(), "onehop", subresource="status")

    assert caught.value.code == 404


def test_an_applied_object_may_not_bring_its_own_managed_fields(store: Store) -> None:
    """400, as the real server says it."""
    obj = config_map("a")
    obj["metadata"]["managedFields"] = [{"manager": "me"}]

    with pytest.raises(Refused, match=r"metadata\.managedFields must be nil"):
        apply(store, obj, "kubectl")


def test_finalizers_are_owned_one_by_one(store: Store) -> None:
    """A set: each manager adds and gives up its own."""
    one, two = config_map("a"), config_map("a")
    one["metadata"]["finalizers"] = ["onehop.dev/one"]
    two["metadata"]["finalizers"] = ["onehop.dev/two"]
    apply(store, one, "one")
    both = apply(store, two, "two")
    left = apply(store, config_map("a"), "one")

    assert both["metadata"]["finalizers"] == ["onehop.dev/one", "onehop.dev/two"]
    assert left["metadata"]["finalizers"] == ["onehop.dev/two"]


def test_a_custom_resource_merges_by_its_schema(store: Store) -> None:
    """`x-kubernetes-list-type: map` makes its items owned one by one."""
    put(store, gateway_definition())
    apply(store, gateway(), "one")
    other = gateway()
    other["spec"]["listeners"] = [{"name": "https", "port": 443, "protocol": "HTTPS"}]
    obj = apply(store, other, "two")

    assert [each["name"] for each in obj["spec"]["listeners"]] == ["http", "https"]


def test_fields_survive_their_written_form() -> None:
    """FieldsV1 and back, items of lists included."""
    paths = frozenset(
        {
            ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}'),
            ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:port"),
            ("f:metadata", "f:finalizers", 'v:"a"'),
        }
    )

    assert from_fields_v1(to_fields_v1(paths)) == paths


def test_a_conflict_inside_a_list_names_the_item_by_its_keys(store: Store) -> None:
    """As the real server prints it."""
    apply(store, service(ports=[{"name": "http", "port": 80}]), "one")

    with pytest.raises(Refused) as caught:
        apply(store, service(ports=[{"name": "web", "port": 80}]), "two")

    [cause] = caught.value.status["details"]["causes"]
    assert cause["field"] == '.spec.ports[port=80,protocol="TCP"].name'


def test_a_client_may_edit_managed_fields(store: Store) -> None:
    """Kubectl does when it moves an object from client-side to server-side apply."""
    apply(store, config_map("a", x="1"), "one")
    obj = read(store, "configmaps", "shop", "a")
    [entry] = obj["metadata"]["managedFields"]
    edit = [{"op": "replace", "path": "/metadata/managedFields", "value": [
        entry | {"manager": "two"}]}]  # fmt: skip

    key = ("shop", "a")
    stored = store.patch(store.registry.named("configmaps"), key, PatchType.JSON, edit)

    assert owners(stored.decode()) == {"two": {"data.x"}}
