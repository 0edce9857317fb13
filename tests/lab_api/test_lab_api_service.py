"""Services: defaults, allocation and refusals."""

import random

import pytest

from onehop.lab.api import PatchType, Refused, Store, WriteOptions, put, read, remove
from onehop.lab.api.allocation import NODE_PORTS, Allocation
from tests.lab_api.objects import (
    Json,
    causes,
    make_store,
    service,
)


def spec_of(store: Store, name: str = "web") -> Json:
    spec: Json = read(store, "services", "shop", name)["spec"]
    return spec


def change(store: Store, spec: Json) -> Json:
    """Merge into the spec of Service web, and return what it is then."""
    resource = store.registry.named("services")
    store.patch(resource, ("shop", "web"), PatchType.MERGE, {"spec": spec})
    return spec_of(store)


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
