"""Which Pods stand for an area, and what is said of the way to it."""

from typing import Final

from onehop.cluster import EndpointSlice, Node
from onehop.cluster.meta import Meta
from onehop.cluster.node import NodeAddress, NodeSpec, NodeStatus
from onehop.cluster.slice import (
    SERVICE_NAME,
    EndpointConditions,
    SliceEndpoint,
    SliceMeta,
    SlicePort,
)
from onehop.compile.compiler import Compiler
from onehop.compile.options import Options
from onehop.model.address import Cidr

BLOCK: Final = Cidr("10.244.1.0/24")
STRAY: Final = Cidr("10.9.0.0/24")
V6: Final = Cidr("fd00:9::/120")


def pods(name: str, *endpoints: SliceEndpoint, port: int | None = 8080) -> EndpointSlice:
    return EndpointSlice(
        metadata=SliceMeta(name=name, namespace="shop", labels={SERVICE_NAME: "web"}),
        ports=(SlicePort(name="http", port=port, protocol="TCP"),),
        endpoints=endpoints,
    )


def compiler() -> Compiler:
    """Return a cluster of one node whose ways have been looked up."""
    made = Compiler(Options(proves_reach=True))
    made.put(
        Node(
            metadata=Meta(name="n1"),
            spec=NodeSpec(pod_cidrs=(BLOCK,)),
            status=NodeStatus((NodeAddress("InternalIP", "192.168.0.1"),)),
        )
    )
    made.settle_ways()
    return made


def test_a_ready_pod_stands_for_its_area() -> None:
    """By the block of its node, or by its neighbourhood; one for each, whatever came first."""
    cluster = compiler()
    cluster.put(
        pods(
            "web-1",
            SliceEndpoint(addresses=()),
            SliceEndpoint(addresses=("nonsense",)),
            SliceEndpoint(
                addresses=("10.244.1.4",),
                node_name="n1",
                conditions=EndpointConditions(ready=False),
            ),
            SliceEndpoint(addresses=("10.244.1.5",), node_name="n1"),
            SliceEndpoint(addresses=("10.9.0.7",), node_name="n2"),
            SliceEndpoint(addresses=("fd00:9::8",)),
        )
    )

    assert cluster.pods_in({BLOCK, STRAY, V6}) == {
        BLOCK: ("10.244.1.5", 8080),
        STRAY: ("10.9.0.7", 8080),
        V6: ("fd00:9::8", 8080),
    }


def test_areas_are_known_before_anything_asks_for_them() -> None:
    """So that the first pools are computed once."""
    cluster = compiler()
    cluster.put(
        pods(
            "web-1",
            SliceEndpoint(addresses=("10.244.1.5",), node_name="n1"),
            SliceEndpoint(addresses=("10.9.0.7",), node_name="n2"),
            SliceEndpoint(addresses=()),
            SliceEndpoint(addresses=("nonsense",)),
        )
    )

    assert cluster.likely_areas() == {BLOCK, STRAY}
    assert cluster.wanted_areas() == {BLOCK}


def test_an_area_without_a_ready_pod_has_nobody() -> None:
    """Nor has one whose Pods have no port that could be asked."""
    cluster = compiler()
    cluster.put(pods("web-1", SliceEndpoint(addresses=("10.244.1.5",), node_name="n1"), port=None))

    assert cluster.pods_in({BLOCK, STRAY}) == {}


def test_looking_ends_with_the_last_area_found() -> None:
    """However many slices there are beyond."""
    cluster = compiler()
    for number in range(3):
        cluster.put(
            pods(
                f"web-{number}",
                SliceEndpoint(addresses=(f"10.244.1.{number}",), node_name="n1"),
            )
        )

    assert set(cluster.pods_in({BLOCK})) == {BLOCK}
