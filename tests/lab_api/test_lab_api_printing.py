"""Tables, ages, JSONPath: what kubectl shows."""

from typing import Any

import pytest

from onehop.lab.api import PatchType, Store, WriteOptions, put
from onehop.lab.api.jsonpath import find
from onehop.lab.api.printing import TableStyle, human_duration, table
from tests.lab_api.objects import (
    Clock,
    Json,
    endpoint_slice,
    gateway,
    gateway_definition,
    ingress,
    service,
)

STATUS = WriteOptions(subresource="status")


def shown(store: Store, obj: Json) -> dict[str, Any]:
    """Put an object, and return its row by column names."""
    stored = put(store, obj)
    resource = store.registry.of(obj)
    made = table(resource, [stored], metadata={}, style=TableStyle(), now=store.now())
    names = [column["name"] for column in made["columnDefinitions"]]
    return dict(zip(names, made["rows"][0]["cells"], strict=True))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "<invalid>"), (0, "0s"), (119, "119s"), (120, "2m"), (130, "2m10s"), (600, "10m"),
        (10799, "179m"), (10800, "3h"), (10860, "3h1m"), (28800, "8h"), (172800, "2d"),
        (176400, "2d1h"), (691200, "8d"), (63072000, "2y"), (63158400, "2y1d"), (252288000, "8y"),
    ],
)  # fmt: skip
def test_ages_are_said_as_kubectl_says_them(seconds: int, expected: str) -> None:
    """At most two units, the coarser the longer."""
    assert human_duration(seconds) == expected


def test_a_service_shows_its_external_address(store: Store) -> None:
    """`<pending>` until a controller has said one."""
    pending = shown(store, service(type="LoadBalancer", ports=[{"port": 80, "nodePort": 30080}]))
    store.patch(
        store.registry.named("services"),
        ("shop", "web"),
        PatchType.MERGE,
        {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"hostname": "lb.x"}]}}},
        STATUS,
    )
    ready = shown(store, service(type="LoadBalancer", ports=[{"port": 80, "nodePort": 30080}]))

    assert pending["External-IP"] == "<pending>"
    assert ready["External-IP"] == "203.0.113.1,lb.x"
    assert (ready["Type"], ready["Port(s)"]) == ("LoadBalancer", "80:30080/TCP")
    assert ready["Selector"] == "app=web"


def test_an_ingress_shows_its_hosts_and_address(store: Store, clock: Clock) -> None:
    """ADDRESS is what the controller wrote; PORTS know TLS."""
    obj = ingress()
    obj["spec"]["tls"] = [{"hosts": ["shop.example.com"], "secretName": "s"}]
    obj["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.10"}]}}
    put(store, obj)
    clock.turn(300)

    row = shown(store, obj)

    assert row == {
        "Name": "shop",
        "Class": "onehop",
        "Hosts": "shop.example.com",
        "Address": "203.0.113.10",
        "Ports": "80, 443",
        "Age": "5m",
    }


def test_an_endpointslice_shows_three_addresses_and_counts_the_rest(store: Store) -> None:
    """As kubectl does."""
    row = shown(store, endpoint_slice(addresses=5))

    assert row["Endpoints"] == "10.244.1.1,10.244.1.2,10.244.1.3 + 2 more..."
    assert row["Ports"] == "8080"


def test_a_cordoned_node_says_so(store: Store) -> None:
    """STATUS, ROLES and the addresses of a node."""
    row = shown(
        store,
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": ""}},
            "spec": {"unschedulable": True},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "172.30.0.11"}],
            },
        },
    )

    assert row["Status"] == "Ready,SchedulingDisabled"
    assert (row["Roles"], row["Internal-IP"]) == ("worker", "172.30.0.11")
    assert row["External-IP"] == "<none>"


def test_a_custom_resource_shows_the_columns_of_its_definition(store: Store) -> None:
    """additionalPrinterColumns, by JSONPath."""
    put(store, gateway_definition())
    obj = gateway() | {"status": {"conditions": [{"type": "Programmed", "status": "True"}]}}

    assert shown(store, obj) == {"Name": "edge", "Programmed": "True"}


@pytest.mark.parametrize(
    "obj",
    [
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}},
        {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a"}]}},
        {"apiVersion": "v1", "kind": "Endpoints", "subsets": [
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]},
        {"apiVersion": "v1", "kind": "ServiceAccount"},
        {"apiVersion": "v1", "kind": "Secret"},
        {"apiVersion": "v1", "kind": "Event", "involvedObject": {"kind": "Pod", "name": "a"},
         "message": "hello", "lastTimestamp": "2026-11-23T11:59:00Z"},
        {"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "hello",
         "regarding": {"kind": "Pod", "name": "a"}},
        {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"holderIdentity": "me"}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
         "spec": {"controller": "a/b", "parameters": {"kind": "K", "name": "n", "apiGroup": "g"}}},
        {"apiVersion": "v1", "kind": "Namespace"},
    ],
    ids=lambda obj: obj["apiVersion"] + obj["kind"],
)  # fmt: skip
def test_every_kind_fills_all_its_columns(store: Store, obj: Json) -> None:
    """No cell is missing, whatever fields an object lacks."""
    row = shown(store, obj | {"metadata": {"name": "x"}})

    assert len(row) >= 2
    assert None not in row.values()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".a.b", [1]),
        (".list[0].n", ["x"]),
        (".list[-1].n", ["y"]),
        (".list[*].n", ["x", "y"]),
        ('.list[?(@.n=="y")].v', [2]),
        (".labels['a.b/c']", ["z"]),
        (r".labels.a\.b/c", ["z"]),
        (".missing.b", []),
        (".list[9].n", []),
        (".a.b.c", []),
        ("..", []),
    ],
)
def test_jsonpath_finds_what_printer_columns_ask_for(path: str, expected: list[Any]) -> None:
    """What it does not understand finds nothing."""
    obj = {
        "a": {"b": 1},
        "list": [{"n": "x", "v": 1}, {"n": "y", "v": 2}],
        "labels": {"a.b/c": "z"},
    }

    assert find(obj, path) == expected
