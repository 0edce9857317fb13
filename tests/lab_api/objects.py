"""Objects and stores that the tests of the lab's API share."""

import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import pytest

from onehop.lab.api import Refused, Store
from onehop.lab.api.history import Change, EventType, Watch
from onehop.lab.api.page import WatchQuery
from onehop.lab.api.selector import parse_selection

Json = dict[str, Any]
RECORDED = Path(__file__).parent / "recorded"
"""Trimmed from the traffic of a kube-apiserver 1.36: managedFields are left out."""


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 11, 23, 12, 0, 0, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.now += dt.timedelta(seconds=seconds)


def make_store(*, history: int = 4096, clock: Clock | None = None) -> Store:
    """Return a Store whose time stands still and whose chance is always the same."""
    store = Store(history=history, now=clock or Clock(), rng=random.Random(7))  # noqa: S311  chance that is always the same
    store.create(store.registry.named("namespaces"), "", {"metadata": {"name": "shop"}})
    return store


def service(name: str = "web", **spec: Any) -> Json:
    """Return a Service of namespace shop; `spec` replaces what it says by default."""
    default = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": default | spec,
    }


def endpoint_slice(name: str = "web-1", addresses: int = 2) -> Json:
    """Return an EndpointSlice of namespace shop."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [
            {"addresses": [f"10.244.1.{number}"], "conditions": {"ready": True}}
            for number in range(1, addresses + 1)
        ],
    }


def ingress(name: str = "shop", host: str = "shop.example.com") -> Json:
    """Return an Ingress of namespace shop."""
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"ingressClassName": "onehop", "rules": [{"host": host, "http": {"paths": paths}}]},
    }


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> Json:
    """Return a ConfigMap of namespace shop."""
    metadata: Json = {"name": name, "namespace": "shop"}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def gateway_definition() -> Json:
    """Return a CustomResourceDefinition, small but with every feature the server knows."""
    listener = {
        "type": "object",
        "required": ["name", "port"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "pattern": "^[a-z]+$"},
            "port": {"type": "integer", "minimum": 1, "maximum": 65535},
            "protocol": {"type": "string", "default": "HTTP", "enum": ["HTTP", "HTTPS"]},
        },
    }
    listeners = {
        "type": "array",
        "maxItems": 4,
        "items": listener,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    spec = {
        "type": "object",
        "required": ["gatewayClassName"],
        "properties": {"gatewayClassName": {"type": "string"}, "listeners": listeners},
    }
    status = {
        "type": "object",
        "properties": {
            "conditions": {
                "type": "array",
                "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            }
        },
    }
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    column = {
        "name": "Programmed",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Programmed")].status',
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gateways.gateway.networking.k8s.io"},
        "spec": {
            "group": "gateway.networking.k8s.io",
            "scope": "Namespaced",
            "names": {"plural": "gateways", "kind": "Gateway", "shortNames": ["gtw"]},
            "versions": [version, version | {"name": "v1beta1", "storage": False}],
        },
    }


def gateway(name: str = "edge") -> Json:
    """Return a custom resource of `gateway_definition`."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"gatewayClassName": "onehop", "listeners": [{"name": "http", "port": 80}]},
    }


def recorded(name: str) -> list[Json]:
    """Return the recorded events of a file."""
    lines = (RECORDED / name).read_text().splitlines()
    return [json.loads(line) for line in lines]


def watch(store: Store, name: str, *, since: str = "", labels: str = "", fields: str = "") -> Watch:
    """Begin a watch that nobody has to be woken for."""
    resource = store.registry.named(name)
    selection = parse_selection(resource, None, labels, fields)
    query = WatchQuery(selection=selection, resource_version=since)
    return store.watch(resource, query, lambda: None)


def told(events: list[tuple[EventType, Change]]) -> list[tuple[str, str]]:
    """Return events as type and name, for comparison."""
    return [(str(event), change.key[1]) for event, change in events]


def causes(caught: pytest.ExceptionInfo[Refused]) -> list[tuple[str, str]]:
    """Return the fields and messages of a 422."""
    assert caught.value.code == 422
    told = caught.value.status["details"]["causes"]
    return [(cause["field"], cause["message"]) for cause in told]
