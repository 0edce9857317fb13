"""Which EndpointSlices the controller writes."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.lab.controller.object import (
    Condition,
    Container,
    ContainerPort,
    Meta,
    Node,
    Pod,
    PodIp,
    PodSpec,
    PodStatus,
    Service,
    ServicePort,
    ServiceSpec,
    Slice,
)
from onehop.lab.controller.slices import (
    MOST_ENDPOINTS,
    Create,
    Delete,
    Replace,
    Write,
    is_ours,
    writes_for,
)

NODES = {
    "node1": Node(metadata=Meta(name="node1", labels={"topology.kubernetes.io/zone": "zone1"}))
}


def make_service(**spec: Any) -> Service:
    usual = {
        "selector": {"app": "web"},
        "ip_families": ("IPv4",),
        "ports": (ServicePort(name="http", port=80, target_port="http"),),
    }
    return Service(
        metadata=Meta(name="web", namespace="shop", uid="1"), spec=ServiceSpec(**(usual | spec))
    )


def make_pod(number: int, *, port: int = 8080, is_ready: bool = True, ends: bool = False) -> Pod:
    ips = (PodIp(f"10.244.{number // 200}.{number % 200 + 1}"), PodIp(f"fd00:244::{number + 1}"))
    return Pod(
        metadata=Meta(
            name=f"web-{number}",
            namespace="shop",
            uid=f"pod-{number}",
            labels={"app": "web", "also": "this"},
            deletion_timestamp="2026-01-01T00:00:00Z" if ends else None,
        ),
        spec=PodSpec(
            node_name="node1",
            containers=(Container(ports=(ContainerPort(container_port=port, name="http"),)),),
        ),
        status=PodStatus(
            phase="Running",
            pod_ips=ips,
            conditions=(Condition("Ready", "True" if is_ready else "False"),),
        ),
    )


class Kept:
    """The slices of an API that does as it is told."""

    def __init__(self) -> None:
        self.slices: dict[str, Slice] = {}

    def take(self, writes: tuple[Write, ...]) -> None:
        for write in writes:
            match write:
                case Create(_, body):
                    made = msgspec.convert(body, Slice)
                    assert made.metadata.name not in self.slices
                    self.slices[made.metadata.name] = made
                case Replace(_, name, _, patch):
                    self.slices[name] = msgspec.structs.replace(self.slices[name], **patch)
                case Delete(_, name):
                    del self.slices[name]

    def reconcile(self, service: Service | None, *pods: Pod) -> tuple[Write, ...]:
        writes = writes_for(service, pods, NODES, list(self.slices.values()))
        self.take(writes)
        return writes

    def endpoints(self) -> list[dict[str, Any]]:
        return [each for kept in self.slices.values() for each in kept.endpoints or ()]


def test_an_endpoint_says_what_the_pod_and_its_node_are() -> None:
    """With the port that the container gives the name to."""
    kept = Kept()
    kept.reconcile(make_service(), make_pod(1))
    (made,) = kept.slices.values()
    assert is_ours(made)
    assert made.ports == [{"name": "http", "protocol": "TCP", "port": 8080}]
    assert made.endpoints == [
        {
            "addresses": ["10.244.0.2"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "name": "web-1", "namespace": "shop", "uid": "pod-1"},
            "nodeName": "node1",
            "zone": "zone1",
        }
    ]


def test_a_pod_that_ends_serves_for_as_long_as_it_is_ready() -> None:
    """KEP-1672; `publishNotReadyAddresses` makes everything ready."""
    kept = Kept()
    pods = (make_pod(1, ends=True), make_pod(2, ends=True, is_ready=False))
    kept.reconcile(make_service(), *pods)
    conditions = [each["conditions"] for each in kept.endpoints()]
    assert conditions == [
        {"ready": False, "serving": True, "terminating": True},
        {"ready": False, "serving": False, "terminating": True},
    ]
    kept.reconcile(make_service(publish_not_ready=True), *pods)
    assert all(each["conditions"]["ready"] for each in kept.endpoints())


def test_the_last_pod_leaves_an_empty_slice_behind() -> None:
    """The same one, emptied: readers see a change, not a deletion."""
    kept = Kept()
    kept.reconcile(make_service(), make_pod(1))
    (name,) = kept.slices

    (write,) = kept.reconcile(make_service())

    assert isinstance(write, Replace)
    assert list(kept.slices) == [name]
    assert kept.endpoints() == []
    assert kept.reconcile(make_service()) == ()
    kept.reconcile(make_service(), make_pod(2))
    assert (list(kept.slices), len(kept.endpoints())) == ([name], 1)


def test_families_and_different_ports_have_slices_of_their_own() -> None:
    """A rolling update may give the same name to another number."""
    kept = Kept()
    dual = make_service(ip_families=("IPv4", "IPv6"))
    kept.reconcile(dual, make_pod(1), make_pod(2, port=9090))
    kinds = {(s.address_type, (s.ports or [{}])[0]["port"]) for s in kept.slices.values()}
    assert kinds == {("IPv4", 8080), ("IPv4", 9090), ("IPv6", 8080), ("IPv6", 9090)}


def test_endpoints_stay_in_their_slices() -> None:
    """When one of many goes, one slice is written, and the others are left alone."""
    kept = Kept()
    pods = [make_pod(number) for number in range(3 * MOST_ENDPOINTS)]
    kept.reconcile(make_service(), *pods)
    assert [len(each.endpoints or ()) for each in kept.slices.values()] == [MOST_ENDPOINTS] * 3

    writes = kept.reconcile(make_service(), *pods[:50], *pods[51:])
    assert [type(write) for write in writes] == [Replace]
    writes = kept.reconcile(make_service(), *pods)
    assert [type(write) for write in writes] == [Replace]


def test_slices_go_with_their_service() -> None:
    """And with its selector: then somebody else writes them."""
    for after in (None, make_service(selector=None)):
        kept = Kept()
        kept.reconcile(make_service(), make_pod(1))
        kept.reconcile(after, make_pod(1))
        assert kept.slices == {}


@given(
    st.lists(
        st.dictionaries(
            st.integers(0, 120),
            st.tuples(st.booleans(), st.booleans(), st.sampled_from([8080, 9090])),
            max_size=120,
        ),
        max_size=4,
    )
)
@settings(max_examples=40, deadline=None)
def test_from_any_pods_to_any_others(steps: list[dict[int, tuple[bool, bool, int]]]) -> None:
    """Every Pod is in just once, slices are never too long, and nothing is left to do."""
    kept = Kept()
    service = make_service()
    for step in steps:
        pods = [
            make_pod(number, is_ready=ready, ends=ends, port=port)
            for number, (ready, ends, port) in step.items()
        ]
        kept.reconcile(service, *pods)
        names = [each["targetRef"]["name"] for each in kept.endpoints()]
        assert sorted(names) == sorted(pod.metadata.name for pod in pods)
        assert all(len(each.endpoints or ()) <= MOST_ENDPOINTS for each in kept.slices.values())
        assert kept.slices
        assert kept.reconcile(service, *pods) == ()
