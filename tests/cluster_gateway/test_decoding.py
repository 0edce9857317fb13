"""Gateway API's kinds as structs: nothing that is asked for is lost, and defaults are the CRDs'."""

import copy
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from msgspec import inspect

from onehop.cluster import GATEWAY_KINDS, KINDS, Gateway, GatewayClass, HTTPRoute, Kind, ref_of
from onehop.cluster.gateway import SupportedFeature
from onehop.cluster.gateway_http import HttpRouteMatch, PathMatch
from onehop.cluster.gateway_ref import BackendRef
from onehop.lab.api import Refused
from onehop.lab.api.kind.gateway_crd import RELEASE_1_6, gateway_definitions
from tests.cluster_gateway.objects import (
    BY_KIND,
    EVERYTHING,
    Json,
    decoded,
    served,
    store_with,
)


def fields_of_schema(schema: Json, path: str = "") -> Iterator[str]:
    """Yield the path of each field that a CRD knows."""
    below = schema.get("items", schema).get("properties", {})
    for name, each in below.items():
        yield f"{path}.{name}"
        yield from fields_of_schema(each, f"{path}.{name}")


def fields_of_struct(kind: inspect.Type, path: str = "") -> Iterator[str]:
    """Yield the path of each field that is decoded."""
    match kind:
        case inspect.StructType(cls=struct):
            info = inspect.type_info(struct)
            assert isinstance(info, inspect.StructType)
            for field in info.fields:
                yield f"{path}.{field.encode_name}"
                yield from fields_of_struct(field.type, f"{path}.{field.encode_name}")
        case inspect.UnionType(types=members):
            for member in members:
                yield from fields_of_struct(member, path)
        case inspect.VarTupleType(item_type=item):
            yield from fields_of_struct(item, path)
        case _:
            pass


def test_every_kind_of_the_release_has_a_struct_and_an_example() -> None:
    """What the lab defines, what onehop decodes and what is tried here are the same ten kinds."""
    assert set(BY_KIND) == set(RELEASE_1_6.served) == {str(kind) for kind in GATEWAY_KINDS}
    assert {
        kind: tuple(version.rpartition("/")[2] for version in (each.api_version, *each.older))
        for kind, each in GATEWAY_KINDS.items()
        if each.older
    } == {
        Kind.GATEWAY_CLASS: ("v1", "v1beta1"),
        Kind.GATEWAY: ("v1", "v1beta1"),
        Kind.HTTP_ROUTE: ("v1", "v1beta1"),
        Kind.TLS_ROUTE: ("v1", "v1alpha3", "v1alpha2"),
        Kind.TCP_ROUTE: ("v1", "v1alpha2"),
        Kind.UDP_ROUTE: ("v1", "v1alpha2"),
        Kind.REFERENCE_GRANT: ("v1", "v1beta1"),
    }


@pytest.mark.parametrize(
    "definition", gateway_definitions(), ids=lambda each: each["metadata"]["name"]
)
def test_every_field_of_the_crds_is_decoded_and_no_other(definition: Json) -> None:
    """Names and nesting are those of the release, of statuses, too: others' entries live there."""
    kind = Kind(definition["spec"]["names"]["kind"])
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    decoded_fields = set(fields_of_struct(inspect.type_info(KINDS[kind].struct)))

    assert {each for each in decoded_fields if not each.startswith(".metadata")} == set(
        fields_of_schema(schema)
    )


@pytest.mark.parametrize("manifest", EVERYTHING, ids=lambda each: each["kind"])
def test_what_the_api_fills_in_is_what_we_assume(manifest: Json) -> None:
    """An object reads the same from a file, without defaults, as from an API that fills them in."""
    from_api = served(store_with(), manifest)

    assert decoded(from_api).spec == decoded(manifest).spec  # type: ignore[union-attr]  # all ten have one
    assert ref_of(decoded(from_api)) == ref_of(decoded(manifest))


MINIMAL: list[Json] = [
    {"kind": "HTTPRoute", "spec": {"rules": [{}]}},
    {"kind": "HTTPRoute", "spec": {}},
    {"kind": "HTTPRoute", "spec": {"rules": [{"matches": [{}]}]}},
    {"kind": "HTTPRoute", "spec": {"rules": [{"matches": [{"path": {"value": "/a"}}]}]}},
    {"kind": "HTTPRoute", "spec": {"rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}},
    {
        "kind": "HTTPRoute",
        "spec": {"rules": [{"filters": [{"type": "CORS", "cors": {}}], "sessionPersistence": {}}]},
    },
    {
        "kind": "HTTPRoute",
        "spec": {"rules": [{"filters": [{"type": "RequestRedirect", "requestRedirect": {}}]}]},
    },
    {"kind": "GRPCRoute", "spec": {"rules": [{"matches": [{"method": {"service": "a"}}]}]}},
    {
        "kind": "Gateway",
        "spec": {
            "gatewayClassName": "a",
            "addresses": [{"value": "10.0.0.1"}],
            "allowedListeners": {},
            "listeners": [
                {"name": "a", "port": 443, "protocol": "HTTPS", "tls": {}, "allowedRoutes": {}}
            ],
        },
    },
]


@pytest.mark.parametrize("manifest", MINIMAL, ids=str)
def test_the_shortest_objects_mean_what_the_api_makes_of_them(manifest: Json) -> None:
    """Defaults of the structs and of the CRDs are the same, at every level."""
    whole = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "metadata": {"name": "x", "namespace": "shop"},
        **copy.deepcopy(manifest),
    }

    from_api = served(store_with(), whole)

    assert decoded(from_api).spec == decoded(whole).spec  # type: ignore[union-attr]  # all ten have one


def test_a_rule_without_matches_matches_everything() -> None:
    """`matches` defaults to the prefix `/`, and a backend's weight to 1."""
    route = decoded(
        {
            "kind": "HTTPRoute",
            "metadata": {"name": "x"},
            "spec": {"rules": [{"backendRefs": [{"name": "web", "port": 80}]}]},
        }
    )
    assert isinstance(route, HTTPRoute)
    (rule,) = route.spec.rules

    assert rule.matches == (HttpRouteMatch(path=PathMatch(type="PathPrefix", value="/")),)
    assert isinstance(rule.backend_refs[0], BackendRef)
    assert rule.backend_refs[0].weight == 1


def test_supported_features_of_before_1_3_can_still_be_read() -> None:
    """They were texts; one that another controller left must not hide the class."""
    old = {**BY_KIND["GatewayClass"], "status": {"supportedFeatures": ["Gateway", {"name": "X"}]}}

    item = decoded(old)

    assert isinstance(item, GatewayClass)
    assert item.status.supported_features == ("Gateway", SupportedFeature("X"))


def test_a_value_that_a_later_release_adds_does_not_hide_the_object() -> None:
    """Enumerations are text: the compiler answers with UnsupportedValue, not the decoder."""
    manifest = copy.deepcopy(BY_KIND["Gateway"])
    manifest["spec"]["listeners"][0] |= {"protocol": "QUIC", "tls": {"mode": "Somehow"}}

    item = decoded(manifest)

    assert isinstance(item, Gateway)
    assert item.spec.listeners[0].protocol == "QUIC"


@pytest.mark.parametrize(
    ("kind", "path", "value", "field"),
    [
        ("Gateway", ("listeners", 0, "port"), 70000, "spec.listeners[0].port"),
        ("Gateway", ("listeners", 0, "hostname"), "10.*", "spec.listeners[0].hostname"),
        ("Gateway", ("listeners", 0, "tls", "mode"), "Maybe", "spec.listeners[0].tls.mode"),
        ("Gateway", ("listeners",), [], "spec.listeners"),
        ("HTTPRoute", ("rules", 0, "timeouts", "request"), "10", "spec.rules[0].timeouts.request"),
        ("HTTPRoute", ("rules", 0, "retry", "codes"), [200], "spec.rules[0].retry.codes[0]"),
        ("HTTPRoute", ("rules", 0, "filters", 0, "type"), "Magic", "spec.rules[0].filters[0].type"),
        (
            "HTTPRoute",
            ("rules", 1, "filters", 0, "requestRedirect", "statusCode"),
            418,
            "spec.rules[1].filters[0].requestRedirect.statusCode",
        ),
        ("TCPRoute", ("rules", 0, "backendRefs"), [], "spec.rules[0].backendRefs"),
        ("ReferenceGrant", ("from",), [], "spec.from"),
        ("BackendTLSPolicy", ("validation",), {}, "spec.validation.hostname"),
        ("ListenerSet", ("parentRef",), {}, "spec.parentRef.name"),
    ],
)
def test_the_lab_refuses_what_the_crds_refuse(
    kind: str, path: tuple[str | int, ...], value: object, field: str
) -> None:
    """Types, bounds, patterns and enumerations, with the path of the field."""
    manifest = copy.deepcopy(BY_KIND[kind])
    *way, last = path
    place = manifest["spec"]
    for step in way:
        place = place[step]
    place[last] = value

    with pytest.raises(Refused) as refused:
        served(store_with(), manifest)

    assert field in str(refused.value)


def test_the_status_of_a_new_gateway_waits_for_a_controller() -> None:
    """`Accepted` and `Programmed` are Unknown until somebody says something."""
    status = served(store_with(), BY_KIND["Gateway"]).get("status", {})

    assert [(each["type"], each["status"]) for each in status["conditions"]] == [
        ("Accepted", "Unknown"),
        ("Programmed", "Unknown"),
    ]


def test_structs_are_named_like_their_kinds() -> None:
    """Input tables are found by the name of the struct."""
    assert [each.struct.__name__ for each in KINDS.values()] == [str(kind) for kind in KINDS]


def test_kubectl_shows_what_the_crds_say() -> None:
    """Columns of the definitions: hostnames as JSON, as kubectl shows lists."""
    store = store_with()
    served(store, BY_KIND["HTTPRoute"])
    served(store, BY_KIND["Gateway"])

    def cells(kind: str) -> list[object]:
        resource = store.registry.named(f"{KINDS[Kind(kind)].plural}.gateway.networking.k8s.io")
        manifest = BY_KIND[kind]["metadata"]
        obj = store.get(resource, (manifest["namespace"], manifest["name"])).object(resource)
        return [column.cell(obj, datetime.now(UTC)) for column in resource.columns][:-1]

    assert cells("HTTPRoute") == ["web", '["shop.example.com"]']
    assert cells("Gateway") == ["edge", "onehop", None, "Unknown"]
