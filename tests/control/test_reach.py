"""Pods change rungs as routes come and go, and whoever wants to know is told."""

from collections.abc import Iterable
from typing import Final

import msgspec

from onehop.cluster import EndpointSlice, Node, Service
from onehop.cluster.meta import Meta
from onehop.cluster.node import NodeAddress, NodeSpec, NodeStatus
from onehop.cluster.slice import SliceEndpoint
from onehop.model.address import Cidr
from onehop.model.endpoint import Path, PoolEndpoints
from onehop.model.ident import ObjectRef
from onehop.model.reach import Area
from tests.control.world import ONEHOP_CLASS, World, ingress, running, service, slices
from tests.routing import PaperRoute, PaperTable

WEB: Final = ObjectRef("Service", "shop", "web")


class Table:
    """A routing table that answers at once, from paper."""

    def __init__(self, *routes: PaperRoute) -> None:
        self.paper = PaperTable(routes)
        self.wanted: set[Cidr] = set()
        self.asked: list[Cidr] = []

    def want(self, areas: Iterable[Cidr]) -> tuple[Area, ...]:
        """Answer for what is new."""
        areas = set(areas)
        new = sorted(areas - self.wanted)
        self.asked += new
        self.wanted = areas
        return tuple(self.paper.area(prefix) for prefix in new)

    def become(self, world: World, *routes: PaperRoute) -> None:
        """Change, and say so."""
        self.paper = PaperTable(routes)
        world.pipeline.routes_changed([self.paper.area(prefix) for prefix in sorted(self.wanted)])


def node(name: str, number: int) -> Node:
    """Return a node with a /24 of Pods."""
    return Node(
        metadata=Meta(name=name),
        spec=NodeSpec(pod_cidrs=(f"10.244.{number}.0/24",)),
        status=NodeStatus((NodeAddress("InternalIP", f"192.168.0.{number}"),)),
    )


def route(number: int, *, via: int | None = None) -> PaperRoute:
    """Return a route to a node's Pods, by that node unless another one is named."""
    return PaperRoute(f"10.244.{number}.0/24", via=(f"192.168.0.{via or number}",))


def web() -> Service:
    """Return a Service with a NodePort."""
    plain = service()
    (port,) = plain.spec.ports or ()
    port = msgspec.structs.replace(port, node_port=30080)
    return msgspec.structs.replace(plain, spec=msgspec.structs.replace(plain.spec, ports=(port,)))


def pods() -> EndpointSlice:
    """Return a Pod on each of two nodes."""
    return msgspec.structs.replace(
        slices(),
        endpoints=tuple(
            SliceEndpoint(addresses=(f"10.244.{number}.5",), node_name=f"n{number}")
            for number in (1, 2)
        ),
    )


OBJECTS: Final = (ONEHOP_CLASS, node("n1", 1), node("n2", 2), web(), pods(), ingress("a.test"))


def members(world: World) -> dict[str, Path]:
    """Return what the one pool holds."""
    (rows,) = (row for row in world.served.rows() if isinstance(row, PoolEndpoints))
    return {f"{item.address}:{item.port}": item.path for item in rows.endpoints}


async def test_the_first_pools_are_right_at_once() -> None:
    """Nobody sees a pool that was made before the routing table was looked at."""
    table = Table(route(1))

    async with running(World(table=table), *OBJECTS) as world:
        assert members(world) == {"10.244.1.5:8080": Path.POD, "192.168.0.2:30080": Path.NODE}
        assert sorted(table.asked) == ["10.244.1.0/24", "10.244.2.0/24"]
        assert world.driver.endpoint_changes == []


async def test_a_pod_moves_before_the_news_has_been_taken_in() -> None:
    """That a route is gone reaches the data plane in the same turn of the loop."""
    table = Table(route(1), route(2))
    async with running(World(table=table), *OBJECTS) as world:
        table.become(world, route(1))

        assert members(world) == {"10.244.1.5:8080": Path.POD, "192.168.0.2:30080": Path.NODE}
        assert len(world.driver.endpoint_changes) == 1


async def test_each_move_is_counted_and_the_way_back_is_told() -> None:
    """Down is a Problem while it lasts, and so an event; up is an event of its own."""
    table = Table(route(1), route(2))
    async with running(World(table=table), *OBJECTS) as world:
        table.become(world, route(1), route(2, via=1))
        (problem,) = world.compiler.problems_of(WEB)
        table.become(world, route(1), route(2))

        assert "10.244.2.0/24 via 192.168.0.1 dev eth0" in problem.message
        assert world.compiler.problems_of(WEB) == ()
        assert world.write_back.told == [(WEB, "Direct", "Pods on n2 are reached directly again")]
        counted = world.metrics.render().decode()
        assert 'onehop_path_moves_total{to="node"} 1.0' in counted
        assert 'onehop_path_moves_total{to="pod"} 1.0' in counted


async def test_a_new_node_asks_for_its_own_routes_only() -> None:
    """What is known is not asked again, and what nobody needs is forgotten."""
    table = Table(route(1), route(2))
    async with running(World(table=table), *OBJECTS) as world:
        world.say(node("n3", 3))
        assert table.asked[2:] == ["10.244.3.0/24"]

        world.say(msgspec.structs.replace(node("n3", 3), spec=NodeSpec()))
        world.say(service("other"))

        assert table.wanted == {Cidr("10.244.1.0/24"), Cidr("10.244.2.0/24")}
