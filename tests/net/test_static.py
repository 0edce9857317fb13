"""Routes to the Pods of nodes on our link: three nodes, each a network namespace."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from onehop.model.address import Cidr, IpAddr
from onehop.model.network import Block
from onehop.net.static import RouteFault, RouteFaultReason, StaticRoutes
from onehop.net.table import PROTOCOL, STATIC_METRIC, TABLE, RoutingTable
from tests.net.heard import heard
from tests.net.namespaces import Machine, machines, running, soon, source_seen, until

pytestmark = pytest.mark.root

NODES = 3
MANY = 1000


class World:
    """A load balancer and three nodes, whose Pods have the addresses of `pod`."""

    def __init__(self, host: Machine, nodes: list[Machine]) -> None:
        self.host = host
        self.nodes = nodes
        for number, node in enumerate(nodes, start=1):
            node.ip("address", "add", f"{self.pod(number)}/32", "dev", "lo")
            node.ip("address", "add", f"{self.pod(number, ipv6=True)}/128", "dev", "lo", "nodad")
        host.run(RoutingTable().put)

    @staticmethod
    def pod(number: int, *, ipv6: bool = False) -> str:
        return f"fd00:10:{number}::2" if ipv6 else f"10.244.{number}.2"

    @staticmethod
    def hops(number: int) -> tuple[IpAddr, ...]:
        return IpAddr(f"192.0.2.{number + 1}"), IpAddr(f"2001:db8::{number + 1}")

    def blocks(self, *numbers: int) -> tuple[Block, ...]:
        return tuple(
            Block(prefix=Cidr(prefix), node=f"node{number}", hops=self.hops(number))
            for number in numbers
            for prefix in (f"10.244.{number}.0/24", f"fd00:10:{number}::/64")
        )

    def routes(self, family: str = "-4") -> dict[str, dict[str, Any]]:
        shown = self.host.show(family, "route", "show", "table", str(TABLE))
        return {route["dst"]: route for route in shown}

    def keep(self, *blocks: Block) -> tuple[RouteFault, ...]:
        """Run until the blocks are routed, and stop."""

        async def main() -> tuple[RouteFault, ...]:
            static = StaticRoutes()
            static.want(blocks)
            async with running(static.run()):
                _, faults = await soon(static.faults.newer(0))
            return faults

        return self.host.run(main)


@pytest.fixture
def world() -> Iterator[World]:
    with machines("lb", *(f"node{number}" for number in range(1, NODES + 1))) as (host, *nodes):
        yield World(host, nodes)


def test_pods_of_every_node_are_reached_in_both_families(world: World) -> None:
    """A TCP connection to a Pod gets there in one hop, from our own address."""
    assert world.keep(*world.blocks(1, 2, 3)) == ()

    for number, node in enumerate(world.nodes, start=1):
        assert source_seen(node, world.pod(number), world.host) == "192.0.2.1"
        assert source_seen(node, world.pod(number, ipv6=True), world.host) == "2001:db8::1"


def test_routes_carry_our_marks_in_our_table(world: World) -> None:
    """Table, protocol and metric tell them apart; the main table stays as it was."""
    before = world.host.show("route")
    world.keep(*world.blocks(1))

    route = world.routes()["10.244.1.0/24"]
    assert (route["gateway"], route["dev"]) == ("192.0.2.2", "eth0")
    assert (route["protocol"], route["metric"]) == (str(PROTOCOL), STATIC_METRIC)
    assert world.host.show("route") == before


def test_a_restart_finds_its_routes_and_writes_nothing(world: World) -> None:
    """Not one message to the kernel, so not one moment without a route."""
    blocks = world.blocks(1, 2, 3)
    world.keep(*blocks)

    async def main() -> list[int]:
        static = StaticRoutes()
        with heard() as said:
            async with running(static.run()):
                static.want(blocks)
                await soon(static.faults.newer(0))
        return said

    assert world.host.run(main) == []


def test_one_changed_block_is_one_message(world: World) -> None:
    """A node that comes costs one route, and a node that goes another, among a thousand."""
    others = tuple(
        Block(prefix=Cidr(f"10.{60 + n // 256}.{n % 256}.0/24"), node=f"n{n}", hops=world.hops(1))
        for n in range(MANY)
    )

    async def main() -> list[int]:
        static = StaticRoutes()
        static.want(others)
        async with running(static.run()):
            await soon(static.faults.newer(0))
            assert len(world.routes()) == MANY
            with heard() as said:
                static.want((*world.blocks(1)[:1], *others))
                await until(lambda: "10.244.1.0/24" in world.routes())
                static.want(others)
                await until(lambda: "10.244.1.0/24" not in world.routes())
        return said

    assert world.host.run(main) == [24, 25]  # RTM_NEWROUTE, RTM_DELROUTE


def spoil_by_removal(host: Machine) -> None:
    host.ip("route", "del", "10.244.1.0/24", "table", str(TABLE))


def spoil_by_change(host: Machine) -> None:
    host.ip(
        *("route", "replace", "10.244.1.0/24", "via", "192.0.2.3", "table", str(TABLE)),
        *("metric", str(STATIC_METRIC), "proto", str(PROTOCOL)),
    )


def spoil_by_link(host: Machine) -> None:
    """The kernel drops all routes of a link that goes down, and tells nobody."""
    host.ip("link", "set", "eth0", "down")
    host.ip("link", "set", "eth0", "up")


@pytest.mark.parametrize("spoil", [spoil_by_removal, spoil_by_change, spoil_by_link])
def test_what_somebody_spoils_is_put_right(world: World, spoil: Callable[[Machine], None]) -> None:
    """A route removed, changed, or lost with its link is there again at once."""

    async def main() -> None:
        static = StaticRoutes()
        static.want(world.blocks(1))
        async with running(static.run()):
            await soon(static.faults.newer(0))
            right = world.routes()
            await asyncio.to_thread(spoil, world.host)
            await until(lambda: world.routes() == right)

    world.host.run(main)

    assert source_seen(world.nodes[0], world.pod(1), world.host) == "192.0.2.1"


def test_events_that_were_lost_are_made_up_for(world: World) -> None:
    """More changes than the kernel keeps for us, while the event loop was busy elsewhere."""
    blocks = tuple(
        Block(prefix=Cidr(f"10.{60 + n // 256}.{n % 256}.0/24"), node=f"n{n}", hops=world.hops(1))
        for n in range(MANY)
    )
    removals = "".join(f"route del {block.prefix} table {TABLE}\n" for block in blocks)

    async def main() -> None:
        static = StaticRoutes()
        static.want(blocks)
        async with running(static.run()):
            await soon(static.faults.newer(0))
            command = ["ip", "-n", world.host.name, "-batch", "-"]
            subprocess.run(command, input=removals.encode(), check=True)  # noqa: ASYNC221
            assert world.routes() == {}
            await until(lambda: len(world.routes()) == MANY)

    world.host.run(main)


def test_routes_of_others_are_left_and_reported(world: World) -> None:
    """Even one that stands where ours should: it is not replaced, and the block says why."""
    ip, marks = world.host.ip, ("table", str(TABLE), "metric", str(STATIC_METRIC))
    ip("route", "add", "10.244.1.0/24", "via", "192.0.2.4", *marks, "proto", "static")
    ip("route", "add", "10.9.0.0/24", "via", "192.0.2.4", "table", str(TABLE), "proto", "static")
    ip("route", "add", "10.8.0.0/24", "via", "192.0.2.4", "table", str(TABLE), "proto", "bird")

    faults = world.keep(*world.blocks(1))

    assert [(fault.prefix, fault.node, fault.reason) for fault in faults] == [
        ("10.244.1.0/24", "node1", RouteFaultReason.TAKEN),
        ("10.9.0.0/24", "", RouteFaultReason.FOREIGN),
    ]
    routes = world.routes()
    assert routes["10.244.1.0/24"]["gateway"] == "192.0.2.4"
    assert routes.keys() == {"10.244.1.0/24", "10.9.0.0/24", "10.8.0.0/24"}
    assert "fd00:10:1::/64" in world.routes("-6")


def test_a_default_route_in_our_table_is_named_and_harms_while_it_is_there(world: World) -> None:
    """It leads even the nodes' own addresses to a router, as the kernel says when it is asked."""
    where = ("default", "via", "192.0.2.4", "table", str(TABLE), "proto", "static")
    world.host.ip("route", "add", *where)

    async def main() -> None:
        static = StaticRoutes()
        static.want(world.blocks(1)[:1])
        async with running(static.run()):
            _, faults = await soon(static.faults.newer(0))
            assert [(fault.prefix, fault.reason) for fault in faults] == [
                ("0.0.0.0/0", RouteFaultReason.FOREIGN),
                ("10.244.1.0/24", RouteFaultReason.NOT_ON_LINK),
            ]
            await asyncio.to_thread(world.host.ip, "route", "del", *where)
            await until(lambda: world.routes().keys() == {"10.244.1.0/24"})
            await until(lambda: static.faults.peek() == ())

    world.host.run(main)


def test_a_node_behind_a_router_is_refused(world: World) -> None:
    """The kernel would not take the route; the others are not harmed."""
    world.host.ip("route", "add", "default", "via", "192.0.2.4")
    far = Block(prefix=Cidr("10.244.7.0/24"), node="far", hops=(IpAddr("198.51.100.7"),))
    own = Block(prefix=Cidr("10.244.8.0/24"), node="lb", hops=(IpAddr("192.0.2.1"),))

    faults = world.keep(*world.blocks(1), far, own)

    assert faults == (
        RouteFault(
            far.prefix,
            "far",
            RouteFaultReason.NOT_ON_LINK,
            "198.51.100.7 is behind 192.0.2.4",
        ),
        RouteFault(
            own.prefix,
            "lb",
            RouteFaultReason.OURSELVES,
            "192.0.2.1 is an address of this host",
        ),
    )
    assert world.routes().keys() == {"10.244.1.0/24"}


def test_a_node_that_comes_onto_our_link_is_reached(world: World) -> None:
    """Nobody has to say so: the kernel tells of the new address."""
    far = Block(prefix=Cidr("10.244.7.0/24"), node="far", hops=(IpAddr("198.51.100.7"),))

    async def main() -> None:
        static = StaticRoutes()
        static.want([far])
        async with running(static.run()):
            _, faults = await soon(static.faults.newer(0))
            assert [fault.reason for fault in faults] == [RouteFaultReason.NOT_ON_LINK]
            await asyncio.to_thread(
                world.host.ip, "address", "add", "198.51.100.1/24", "dev", "eth0"
            )
            await until(lambda: "10.244.7.0/24" in world.routes())
            await asyncio.to_thread(
                world.host.ip, "address", "del", "198.51.100.1/24", "dev", "eth0"
            )
            await until(lambda: "10.244.7.0/24" not in world.routes())

    world.host.run(main)


def test_a_block_that_moves_never_loses_its_route(world: World) -> None:
    """The route is replaced, not removed and added: no event says that it was gone."""
    (block, _) = world.blocks(1)
    moved = Block(prefix=block.prefix, node="node2", hops=world.hops(2))

    async def main() -> list[int]:
        static = StaticRoutes()
        static.want([block])
        async with running(static.run()):
            await soon(static.faults.newer(0))
            with heard() as said:
                static.want([moved])
                await until(lambda: world.routes()[block.prefix]["gateway"] == "192.0.2.3")
        return said

    assert world.host.run(main) == [24]


def test_before_anything_is_wanted_nothing_is_touched(world: World) -> None:
    """A restart whose lists are not complete yet removes no route."""
    world.keep(*world.blocks(1, 2))
    before = world.routes()

    async def main() -> None:
        static = StaticRoutes()
        async with running(static.run()):
            await asyncio.to_thread(spoil_by_removal, world.host)
            await until(lambda: world.routes().keys() == {"10.244.2.0/24"})
            static.want(world.blocks(1, 2))
            await until(lambda: world.routes() == before)

    world.host.run(main)


def test_clean_up_takes_ours_only(world: World) -> None:
    """After `withdraw` the table is as if onehop had never been."""
    world.host.ip("route", "add", "10.9.0.0/24", "via", "192.0.2.4", "table", str(TABLE))
    world.keep(*world.blocks(1, 2, 3))

    assert world.host.run(RoutingTable().withdraw) == 2 * NODES

    assert world.routes().keys() == {"10.9.0.0/24"}
    assert world.routes("-6") == {}
