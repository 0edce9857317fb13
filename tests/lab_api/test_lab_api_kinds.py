"""Defaults, allocation and refusals, kind by kind."""

import random
from typing import Any

import pytest

from onehop.lab.api import PatchType, Refused, Store, WriteOptions, put, read, remove
from onehop.lab.api.allocation import NODE_PORTS, Allocation
from tests.lab_api.objects import (
    Json,
    endpoint_slice,
    gateway,
    gateway_definition,
    ingress,
    make_store,
    service,
)


def causes(caught: pytest.ExceptionInfo[Refused]) -> list[tuple[str, str]]:
    """Return the fields and messages of a 422."""
    assert caught.value.code == 422
    told = caught.value.status["details"]["causes"]
    return [(cause["field"], cause["message"]) for cause in told]


def spec_of(store: Store, name: str = "web") -> Json:
    spec: Json = read(store, "services", "shop", name)["spec"]
    return spec


def change(store: Store, spec: Json) -> Json:
    """Merge into the spec of Service web, and return what it is then."""
    resource = store.registry.named("services")
    store.patch(resource, ("shop", "web"), PatchType.MERGE, {"spec": spec})
    return spec_of(store)


# --- Service ---


def test_a_load_balancer_gets_node_ports_unless_it_wants_none(store: Store) -> None:
    """KEP-1864: allocateLoadBalancerNodePorts."""
    put(store, service("with", type="LoadBalancer"))
    put(store, service("without", type="LoadBalancer", allocateLoadBalancerNodePorts=False))

    assert spec_of(store, "with")["ports"][0]["nodePort"] in NODE_PORTS
    assert "nodePort" not in spec_of(store, "without")["ports"][0]


def test_node_ports_stay_through_updates_that_do_not_name_them(store: Store) -> None:
    """A PUT or apply without them keeps what was allocated."""
    put(store, service(type="NodePort"))
    before = spec_of(store)
    put(store, service(type="NodePort", selector={"app": "new"}))

    after = spec_of(store)
    assert after["ports"] == before["ports"]
    assert after["clusterIP"] == before["clusterIP"]
    assert after["selector"] == {"app": "new"}


def test_a_type_change_takes_away_what_the_new_type_cannot_have(store: Store) -> None:
    """Node ports, policy, class and the health check port go with the type."""
    put(
        store,
        service(
            type="LoadBalancer", externalTrafficPolicy="Local", loadBalancerClass="onehop.dev/lb"
        ),
    )
    assert spec_of(store)["healthCheckNodePort"] in NODE_PORTS

    spec = change(store, {"type": "ClusterIP"})

    gone = {
        "externalTrafficPolicy",
        "healthCheckNodePort",
        "loadBalancerClass",
        "allocateLoadBalancerNodePorts",
    }
    assert not gone & set(spec)
    assert "nodePort" not in spec["ports"][0]


def test_dual_stack_gets_an_address_of_each_family(store: Store) -> None:
    """IpFamilyPolicy RequireDualStack."""
    put(store, service(ipFamilyPolicy="RequireDualStack"))
    spec = spec_of(store)

    assert spec["ipFamilies"] == ["IPv4", "IPv6"]
    assert [":" in each for each in spec["clusterIPs"]] == [False, True]


def test_an_external_name_has_no_address(store: Store) -> None:
    """It is a DNS alias and nothing else."""
    put(store, service(type="ExternalName", externalName="example.com", ports=[]))

    assert not {"clusterIP", "ipFamilies", "internalTrafficPolicy"} & set(spec_of(store))


def test_an_address_without_a_mode_is_a_vip(store: Store) -> None:
    """KEP-1860: ipMode defaults to VIP where there is an ip."""
    put(store, service(type="LoadBalancer"))
    status = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"hostname": "lb.example"}]}}

    stored = store.patch(
        store.registry.named("services"),
        ("shop", "web"),
        PatchType.MERGE,
        {"status": status},
        WriteOptions(subresource="status"),
    )

    ingress_points = stored.decode()["status"]["loadBalancer"]["ingress"]
    assert ingress_points == [{"ip": "203.0.113.1", "ipMode": "VIP"}, {"hostname": "lb.example"}]


def test_a_node_port_comes_back_when_its_service_is_deleted(store: Store) -> None:
    """Until then nobody else gets it."""
    port = {"port": 80, "nodePort": 30080}
    put(store, service("one", type="NodePort", ports=[port]))

    with pytest.raises(Refused) as caught:
        put(store, service("two", type="NodePort", ports=[port]))
    remove(store, "services", "shop", "one")
    put(store, service("two", type="NodePort", ports=[port]))

    message = "Invalid value: 30080: provided port is already allocated"
    assert causes(caught) == [("spec.ports[0].nodePort", message)]


def test_the_class_of_a_load_balancer_may_not_change(store: Store) -> None:
    """KEP-1959."""
    put(store, service(type="LoadBalancer", loadBalancerClass="onehop.dev/lb"))

    with pytest.raises(Refused) as caught:
        change(store, {"loadBalancerClass": "other.dev/lb"})

    field, message = causes(caught)[0]
    assert field == "spec.loadBalancerClass"
    assert message == 'Invalid value: "other.dev/lb": may not change once set'


def test_an_invalid_service_is_told_as_the_real_server_tells_it(store: Store) -> None:
    """One fault in a sentence, several in brackets, each as a cause."""
    with pytest.raises(Refused) as one:
        put(store, service(ports=[]))
    with pytest.raises(Refused) as two:
        put(store, service(ports=[{"port": 0}], sessionAffinity="Sticky"))

    assert str(one.value) == 'Service "web" is invalid: spec.ports: Required value'
    assert str(two.value) == (
        'Service "web" is invalid: [spec.ports[0].port: Invalid value: 0: must be between 1 and '
        '65535, inclusive, spec.sessionAffinity: Unsupported value: "Sticky": supported values: '
        '"ClientIP", "None"]'
    )


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"type": "Magic"}, "spec.type"),
        ({"ports": [{"port": 80, "protocol": "HTTP"}]}, "spec.ports[0].protocol"),
        ({"ports": [{"port": 80, "targetPort": "9"}]}, "spec.ports[0].targetPort"),
        ({"ports": [{"port": 80, "targetPort": "x" * 16}]}, "spec.ports[0].targetPort"),
        ({"ports": [{"port": 80, "targetPort": 70000}]}, "spec.ports[0].targetPort"),
        ({"ports": [{"port": 80}, {"port": 81}]}, "spec.ports[0].name"),
        ({"ports": [{"port": 80, "name": "A"}]}, "spec.ports[0].name"),
        (
            {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]},
            "spec.ports[1].name",
        ),
        ({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}, "spec.ports[1]"),
        ({"ports": [{"port": 80, "nodePort": 30001}]}, "spec.ports[0].nodePort"),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
            "spec.ports[0].nodePort",
        ),
        ({"externalTrafficPolicy": "Local"}, "spec.externalTrafficPolicy"),
        ({"type": "NodePort", "externalTrafficPolicy": "Far"}, "spec.externalTrafficPolicy"),
        ({"internalTrafficPolicy": "Far"}, "spec.internalTrafficPolicy"),
        ({"loadBalancerClass": "a/b"}, "spec.loadBalancerClass"),
        ({"allocateLoadBalancerNodePorts": False}, "spec.allocateLoadBalancerNodePorts"),
        ({"loadBalancerSourceRanges": ["10.0.0.0/8"]}, "spec.loadBalancerSourceRanges"),
        (
            {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/99"]},
            "spec.loadBalancerSourceRanges[0]",
        ),
        ({"type": "NodePort", "healthCheckNodePort": 31000}, "spec.healthCheckNodePort"),
        ({"externalIPs": ["not-an-ip"]}, "spec.externalIPs[0]"),
        ({"clusterIP": "10.96.0.300"}, "spec.clusterIPs[0]"),
        ({"ipFamilies": ["IPv5"]}, "spec.ipFamilies[0]"),
        ({"type": "ExternalName"}, "spec.externalName"),
        (
            {
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 99999}},
            },
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
        ),
    ],
)
def test_a_wrong_field_of_a_service_is_named(spec: Json, field: str) -> None:
    """422, with the path of the field."""
    with pytest.raises(Refused) as caught:
        put(make_store(), service(**spec))

    assert field in [named for named, _ in causes(caught)]


def test_a_cluster_address_may_not_change(store: Store) -> None:
    """spec.clusterIP is immutable."""
    put(store, service())

    with pytest.raises(Refused) as caught:
        change(store, {"clusterIP": "10.96.1.1", "clusterIPs": ["10.96.1.1"]})

    assert causes(caught)[0][0] == "spec.clusterIPs[0]"


def test_a_full_range_of_node_ports_is_said() -> None:
    """The last free port is found; after it there is none."""
    allocation = Allocation()
    rng = random.Random(1)  # noqa: S311  chance that is always the same
    all_but_one = frozenset(NODE_PORTS) - {31234}
    allocation.hold(("shop", "greedy"), all_but_one, frozenset())

    assert allocation.free_port(rng, besides=frozenset()) == 31234
    assert allocation.free_port(rng, besides=frozenset({31234})) is None


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


# --- custom resources ---


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
