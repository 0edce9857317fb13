"""Which endpoints a node uses, as kube-proxy's pkg/proxy/topology.go has it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.lab.node.choice import Target, choose, health_checks
from onehop.lab.node.object import (
    AffinityConfig,
    ClientIp,
    Conditions,
    EndpointSlice,
    Ingress,
    LoadBalancer,
    Meta,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SliceEndpoint,
    SlicePort,
)

READY = Conditions(ready=True, serving=True, terminating=False)
ENDING = Conditions(ready=False, serving=True, terminating=True)
DOWN = Conditions(ready=False, serving=False, terminating=False)
GONE = Conditions(ready=False, serving=False, terminating=True)
UNKNOWN = Conditions()

Told = tuple[str, str, Conditions]


def make_slice(*endpoints: Told, family: str = "IPv4") -> EndpointSlice:
    labels = {"kubernetes.io/service-name": "web"}
    return EndpointSlice(
        metadata=Meta(name="web-1", namespace="shop", labels=labels),
        address_type=family,
        endpoints=tuple(
            SliceEndpoint(addresses=(address,), node_name=node, conditions=conditions)
            for address, node, conditions in endpoints
        ),
        ports=(SlicePort(name="http", protocol="TCP", port=8080),),
    )


def make_service(*ingress: Ingress, **spec: Any) -> Service:
    usual = {
        "type": "LoadBalancer",
        "ports": (ServicePort(name="http", port=80, node_port=30080),),
        "cluster_ips": ("10.96.0.10", "fd00:10:96::1"),
    }
    return Service(
        metadata=Meta(name="web", namespace="shop"),
        spec=ServiceSpec(**(usual | spec)),
        status=ServiceStatus(LoadBalancer(ingress)),
    )


def addresses(targets: tuple[Target, ...]) -> list[str]:
    return [target.address for target in targets]


@pytest.mark.parametrize(
    ("endpoints", "everywhere", "here"),
    [
        ([("a", "node1", READY), ("b", "node2", READY)], ["a", "b"], ["a"]),
        ([("a", "node1", ENDING), ("b", "node2", READY)], ["b"], ["a"]),
        ([("a", "node1", ENDING), ("b", "node1", READY)], ["b"], ["b"]),
        ([("a", "node1", ENDING), ("b", "node2", ENDING)], ["a", "b"], ["a"]),
        ([("a", "node1", DOWN), ("b", "node2", GONE)], [], []),
        ([("a", "node1", UNKNOWN)], ["a"], ["a"]),
        ([("a", "node2", READY)], ["a"], []),
    ],
)
def test_ready_endpoints_count_and_else_those_that_serve_to_their_end(
    endpoints: list[Told], everywhere: list[str], here: list[str]
) -> None:
    """The policies judge apart: a node may still have ending endpoints while others are ready."""
    (choice,) = choose([make_service()], [make_slice(*endpoints)], node="node1", family=4)
    assert addresses(choice.cluster) == everywhere
    assert addresses(choice.local) == here


def test_health_checks_count_ready_endpoints_of_this_node_only() -> None:
    """Ending ones do not count, though they get traffic: the balancer shall go elsewhere."""
    service = make_service(external_traffic_policy="Local", health_check_node_port=32000)
    ready, ending = ("10.244.1.1", "node1", READY), ("10.244.1.2", "node1", ENDING)
    slices = [
        make_slice(ready, ending, ("10.244.2.1", "node2", READY)),
        make_slice(("fd00::1", "node2", READY), family="IPv6"),
    ]
    (v4,) = health_checks([service], slices, node="node1", family=4)
    (v6,) = health_checks([service], slices, node="node1", family=6)
    assert (v4.port, v4.local_endpoints, v6.local_endpoints) == (32000, 1, 0)


def test_only_addresses_of_mode_vip_are_taken_in() -> None:
    """What a balancer proxies must reach the balancer, also from inside (KEP-1860)."""
    service = make_service(
        Ingress(ip="203.0.113.1"),
        Ingress(ip="203.0.113.2", ip_mode="Proxy"),
        Ingress(ip="2001:db8::1"),
        external_ips=("198.51.100.1",),
        session_affinity="ClientIP",
        session_affinity_config=AffinityConfig(ClientIp(60)),
    )
    (v4,) = choose([service], [], node="node1", family=4)
    (v6,) = choose([service], [], node="node1", family=6)
    assert v4.vips == ("198.51.100.1", "203.0.113.1")
    assert v4.balancer_vips == ("203.0.113.1",)
    assert (v4.cluster_ip, v6.cluster_ip) == ("10.96.0.10", "fd00:10:96::1")
    assert v6.vips == ("2001:db8::1",)
    assert v4.affinity_s == 60


def test_what_has_no_addresses_is_passed_over() -> None:
    """Headless Services and ExternalNames have nothing to translate."""
    services = [make_service(cluster_ips=("None",)), make_service(type="ExternalName")]
    assert choose(services, [], node="node1", family=4) == ()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "d"]),
            st.sampled_from(["node1", "node2"]),
            st.sampled_from([READY, ENDING, DOWN, GONE, UNKNOWN]),
        )
    ),
    st.randoms(),
)
def test_the_order_of_endpoints_means_nothing(endpoints: list[Told], random: Any) -> None:
    """Also not how they are spread over slices; and the local ones are never more."""
    service = make_service()
    one = choose([service], [make_slice(*endpoints)], node="node1", family=4)
    random.shuffle(endpoints)
    several = [make_slice(each) for each in endpoints]
    assert choose([service], several, node="node1", family=4) == one
    if one[0].local:
        assert one[0].cluster
