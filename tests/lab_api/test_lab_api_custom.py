"""Custom resources: definitions, schemas, status."""

import pytest

from onehop.lab.api import PatchType, Refused, Store, WriteOptions, put, read, remove
from tests.lab_api.objects import (
    Json,
    causes,
    gateway,
    gateway_definition,
    make_store,
)


def test_a_definition_makes_a_resource_at_once(store: Store) -> None:
    """Every served version, with its short names; the definition says it is established."""
    put(store, gateway_definition())
    put(store, gateway())

    definition = read(
        store, "customresourcedefinitions", "", gateway_definition()["metadata"]["name"]
    )
    conditions = {c["type"]: c["status"] for c in definition["status"]["conditions"]}
    older = store.registry.at("gateway.networking.k8s.io", "v1beta1", "gateways")
    as_older = store.get(older, ("shop", "edge")).object(older)
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert as_older["apiVersion"] == "gateway.networking.k8s.io/v1beta1"


def test_a_custom_resource_gets_its_schemas_defaults_and_loses_unknown_fields(store: Store) -> None:
    """Structural schemas default and prune."""
    put(store, gateway_definition())
    obj = gateway()
    obj["spec"]["color"] = "red"
    put(store, obj)

    spec = read(store, "gateways", "shop", "edge")["spec"]
    assert spec["listeners"] == [{"name": "http", "port": 80, "protocol": "HTTP"}]
    assert "color" not in spec


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec.gatewayClassName"),
        ({"gatewayClassName": 1}, "spec.gatewayClassName"),
        ({"gatewayClassName": "a", "listeners": {}}, "spec.listeners"),
        (
            {"gatewayClassName": "a", "listeners": [{"name": "a", "port": 70000}]},
            "spec.listeners[0].port",
        ),
        (
            {"gatewayClassName": "a", "listeners": [{"name": "a", "port": 0}]},
            "spec.listeners[0].port",
        ),
        (
            {"gatewayClassName": "a", "listeners": [{"name": "A9", "port": 1}]},
            "spec.listeners[0].name",
        ),
        (
            {"gatewayClassName": "a", "listeners": [{"name": "", "port": 1}]},
            "spec.listeners[0].name",
        ),
        (
            {"gatewayClassName": "a", "listeners": [{"name": "a", "port": True}]},
            "spec.listeners[0].port",
        ),
        (
            {
                "gatewayClassName": "a",
                "listeners": [{"name": "a", "port": 1, "protocol": "SMTP"}],
            },
            "spec.listeners[0].protocol",
        ),
        (
            {"gatewayClassName": "a", "listeners": [{"name": "a", "port": 1}] * 2},
            "spec.listeners[1]",
        ),
        (
            {"gatewayClassName": "a", "listeners": [{"name": "a", "port": 1}] * 5},
            "spec.listeners",
        ),
    ],
)
def test_a_custom_resource_that_departs_from_its_schema_is_refused(
    store: Store, spec: Json, field: str
) -> None:
    """422, with the path of the field."""
    put(store, gateway_definition())

    with pytest.raises(Refused) as caught:
        put(store, gateway() | {"spec": spec})

    assert field in [named for named, _ in causes(caught)]


def test_status_of_a_custom_resource_takes_no_metadata(store: Store) -> None:
    """Unlike that of a built-in kind."""
    put(store, gateway_definition())
    key = put(store, gateway()).key
    body = {"metadata": {"labels": {"a": "b"}}, "status": {"conditions": [{"type": "Accepted"}]}}

    stored = store.patch(
        store.registry.named("gateways"),
        key,
        PatchType.MERGE,
        body,
        WriteOptions(subresource="status"),
    )

    obj = stored.decode()
    assert "labels" not in obj["metadata"]
    assert obj["status"]["conditions"] == [{"type": "Accepted"}]
    assert obj["metadata"]["generation"] == 1


def test_a_version_that_is_no_longer_served_is_gone(store: Store) -> None:
    """The objects stay, under the versions that are left."""
    definition = gateway_definition()
    put(store, definition)
    put(store, gateway())
    definition["spec"]["versions"][1]["served"] = False
    put(store, definition)

    with pytest.raises(Refused):
        store.registry.at("gateway.networking.k8s.io", "v1beta1", "gateways")
    assert read(store, "gateways", "shop", "edge")["apiVersion"].endswith("/v1")


def test_a_deleted_definition_takes_its_resource_and_objects_away(store: Store) -> None:
    """They are deleted one by one, and then nothing is served there."""
    put(store, gateway_definition())
    put(store, gateway())
    remove(store, "customresourcedefinitions", "", "gateways.gateway.networking.k8s.io")

    with pytest.raises(Refused) as caught:
        read(store, "gateways", "shop", "edge")

    assert caught.value.code == 404


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"group": ""}, "spec.group"),
        ({"scope": "Galaxy"}, "spec.scope"),
        ({"versions": []}, "spec.versions"),
        ({"group": "other.example"}, "metadata.name"),
    ],
)
def test_a_wrong_definition_is_refused(spec: Json, field: str) -> None:
    """422, and nothing is served."""
    definition = gateway_definition()
    definition["spec"] |= spec

    with pytest.raises(Refused) as caught:
        put(make_store(), definition)

    assert field in [named for named, _ in causes(caught)]
