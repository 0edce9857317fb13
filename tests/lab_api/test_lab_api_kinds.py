"""Defaults and refusals of the other built-in kinds."""

from typing import Any

import pytest

from onehop.lab.api import Refused, Store, put, read
from tests.lab_api.objects import (
    Json,
    causes,
    endpoint_slice,
    ingress,
    make_store,
)

# --- EndpointSlice ---


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"addressType": ""}, "addressType"),
        ({"addressType": "IPX"}, "addressType"),
        ({"endpoints": [{"addresses": []}]}, "endpoints[0].addresses"),
        ({"endpoints": [{"addresses": ["10.0.0.999"]}]}, "endpoints[0].addresses[0]"),
        ({"endpoints": [{"addresses": ["2001:db8::1"]}]}, "endpoints[0].addresses[0]"),
        ({"endpoints": [{"addresses": ["10.0.0.1"] * 101}]}, "endpoints[0].addresses"),
        ({"endpoints": [{"addresses": ["10.0.0.1"]}] * 1001}, "endpoints"),
        ({"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]}, "ports"),
        ({"ports": [{"name": "a", "port": 1, "protocol": "HTTP"}]}, "ports[0].protocol"),
    ],
)
def test_a_wrong_field_of_an_endpointslice_is_named(part: Json, field: str) -> None:
    """422, with the path of the field."""
    with pytest.raises(Refused) as caught:
        put(make_store(), endpoint_slice() | part)

    assert field in [named for named, _ in causes(caught)]


def test_the_family_of_an_endpointslice_may_not_change(store: Store) -> None:
    """AddressType is immutable."""
    put(store, endpoint_slice())

    with pytest.raises(Refused) as caught:
        put(store, endpoint_slice() | {"addressType": "FQDN"})

    assert causes(caught) == [("addressType", 'Invalid value: "FQDN": field is immutable')]


# --- Ingress ---


def ingress_with(path: Json | None = None, **spec: Any) -> Json:
    obj = ingress()
    obj["spec"] |= spec
    if path is not None:
        obj["spec"]["rules"][0]["http"]["paths"][0] |= path
    return obj


@pytest.mark.parametrize(
    ("obj", "field", "message"),
    [
        (
            ingress_with({"pathType": None}),
            "spec.rules[0].http.paths[0].pathType",
            "Required value: pathType must be specified",
        ),
        (
            ingress_with({"path": "api"}),
            "spec.rules[0].http.paths[0].path",
            'Invalid value: "api": must be an absolute path',
        ),
        (
            ingress_with({"path": "/a//b"}),
            "spec.rules[0].http.paths[0].path",
            "Invalid value: \"/a//b\": must not contain '//'",
        ),
        (
            ingress_with({"pathType": "Regex"}),
            "spec.rules[0].http.paths[0].pathType",
            (
                'Unsupported value: "Regex": supported values: "Exact", "ImplementationSpecific", '
                '"Prefix"'
            ),
        ),
        (
            ingress_with({"backend": {}}),
            "spec.rules[0].http.paths[0].backend",
            "Required value",
        ),
        (
            ingress_with({"backend": {"service": {"name": "web"}}}),
            "spec.rules[0].http.paths[0].backend",
            "Required value: port name or number is required",
        ),
        (
            ingress_with(rules=[{"host": "10.0.0.1"}]),
            "spec.rules[0].host",
            'Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
        ),
        (
            ingress_with(rules=[{"host": "*"}]),
            "spec.rules[0].host",
            "Invalid value: \"*\": a wildcard DNS-1123 subdomain must start with '*.'",
        ),
        (
            ingress_with(rules=[{"http": {"paths": []}}]),
            "spec.rules[0].http.paths",
            "Required value",
        ),
        (
            ingress_with(rules=[]),
            "spec",
            "Invalid value: {}: either `defaultBackend` or `rules` must be specified",
        ),
    ],
)
def test_a_wrong_field_of_an_ingress_is_named(obj: Json, field: str, message: str) -> None:
    """422, with the real server's words."""
    with pytest.raises(Refused) as caught:
        put(make_store(), obj)

    assert (field, message) in causes(caught)


def test_an_ingress_without_a_class_gets_the_default_one(store: Store) -> None:
    """The admission plugin DefaultIngressClass."""
    put(
        store,
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {
                "name": "onehop",
                "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"},
            },
            "spec": {"controller": "onehop.dev/ingress"},
        },
    )
    plain = ingress()
    del plain["spec"]["ingressClassName"]
    put(store, plain)

    assert read(store, "ingresses", "shop", "shop")["spec"]["ingressClassName"] == "onehop"


def test_the_controller_of_an_ingressclass_is_needed_and_stays(store: Store) -> None:
    """Required at first, immutable then."""
    obj = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": "onehop"},
    }
    with pytest.raises(Refused) as missing:
        put(store, obj)
    put(store, obj | {"spec": {"controller": "onehop.dev/ingress"}})
    with pytest.raises(Refused) as changed:
        put(store, obj | {"spec": {"controller": "other.dev/ingress"}})

    assert causes(missing)[0][0] == causes(changed)[0][0] == "spec.controller"


# --- Secret, Namespace, Lease ---


def test_a_secret_takes_text_and_stores_base64(store: Store) -> None:
    """StringData is write-only."""
    put(
        store,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": "shop"},
            "stringData": {"a": "b"},
        },
    )

    secret = read(store, "secrets", "shop", "s")
    assert (secret["type"], secret["data"]) == ("Opaque", {"a": "Yg=="})
    assert "stringData" not in secret


def test_a_secret_holds_no_more_than_a_mebibyte(store: Store) -> None:
    """422; the values count as they are, not as base64."""
    metadata = {"name": "s", "namespace": "shop"}
    text = "x" * 524_288
    secret = {"kind": "Secret", "apiVersion": "v1", "metadata": metadata}
    put(store, secret | {"stringData": {"a": text, "b": text}})

    with pytest.raises(Refused) as caught:
        put(store, secret | {"stringData": {"a": text, "b": text, "c": "x"}})

    assert causes(caught) == [("data", "Too long: may not be more than 1048576 bytes")]


def test_a_tls_secret_must_hold_certificate_and_key(store: Store) -> None:
    """And what it holds must be base64."""
    with pytest.raises(Refused) as caught:
        store.create(
            store.registry.named("secrets"),
            "shop",
            {
                "metadata": {"name": "s"},
                "type": "kubernetes.io/tls",
                "data": {"tls.crt": "not base64!"},
            },
        )

    assert [field for field, _ in causes(caught)] == ["data[tls.crt]", "data[tls.key]"]


def test_a_namespace_is_labelled_with_its_name(store: Store) -> None:
    """KEP-2161."""
    labels = read(store, "namespaces", "", "shop")["metadata"]["labels"]

    assert labels == {"kubernetes.io/metadata.name": "shop"}


def test_a_lease_lasts_some_time(store: Store) -> None:
    """LeaseDurationSeconds must be positive, leaseTransitions not negative."""
    with pytest.raises(Refused) as caught:
        store.create(
            store.registry.named("leases"),
            "shop",
            {
                "metadata": {"name": "l"},
                "spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1},
            },
        )

    fields = [field for field, _ in causes(caught)]
    assert fields == ["spec.leaseDurationSeconds", "spec.leaseTransitions"]


def test_a_node_keeps_the_status_it_registers_with(store: Store) -> None:
    """As a kubelet does; other kinds begin without status."""
    addresses = [{"type": "InternalIP", "address": "172.30.0.11"}]
    store.create(
        store.registry.named("nodes"),
        "",
        {"metadata": {"name": "node1"}, "status": {"addresses": addresses}},
    )

    assert read(store, "nodes", "", "node1")["status"]["addresses"] == addresses
