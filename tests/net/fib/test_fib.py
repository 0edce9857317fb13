"""Areas follow the kernel's routes, on a machine of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from onehop.model.address import Cidr, IpAddr, ip_number
from onehop.model.reach import Area, FibRoute, Hop, RouteKind, Stretch
from tests.net.fib.following import following
from tests.net.fib.iproute import batch
from tests.net.namespaces import Machine, machines

pytestmark = pytest.mark.root

BLOCK = "10.1.0.0/26"
OTHER = "10.1.0.64/26"
BLOCK6 = "fd00:10::/122"
A, B = "192.0.2.2", "192.0.2.3"


@pytest.fixture
def machine() -> Iterator[Machine]:
    with machines("fib") as (machine,):
        yield machine


def number(address: str) -> int:
    return ip_number(IpAddr(address))


def bird(prefix: str, gateway: str, *, table: int = 254) -> FibRoute:
    hop = Hop("eth0", IpAddr(gateway))
    return FibRoute(prefix=Cidr(prefix), hops=(hop,), table=table, origin="bird")


def test_areas_that_are_wanted_anew_are_answered_at_once(machine: Machine) -> None:
    """What is there at the beginning is steady; what was wanted already is not said again."""
    batch(machine, [f"route add {BLOCK} via {A} proto bird"])

    async def main() -> None:
        async with following() as followed:
            assert followed.want(BLOCK) == (
                Area(
                    prefix=Cidr(BLOCK),
                    stretches=(
                        Stretch(
                            first=number("10.1.0.0"),
                            last=number("10.1.0.63"),
                            route=bird(BLOCK, A),
                        ),
                    ),
                ),
            )
            assert [area.prefix for area in followed.want(BLOCK, OTHER)] == [OTHER]
            assert followed.want(OTHER) == ()
            assert [area.prefix for area in followed.want(OTHER, BLOCK)] == [BLOCK]

    machine.run(main)


def test_a_single_pod_elsewhere_is_a_stretch_of_its_own(machine: Machine) -> None:
    """Calico leaves a /32 behind when a Pod keeps its address and changes its node."""
    batch(
        machine,
        [f"route add {BLOCK} via {A} proto bird", f"route add 10.1.0.5/32 via {B} proto bird"],
    )

    async def main() -> None:
        async with following(BLOCK) as followed:
            found = [(s.first, s.last, s.route) for s in followed.area(BLOCK).stretches]
            assert found == [
                (number("10.1.0.0"), number("10.1.0.4"), bird(BLOCK, A)),
                (number("10.1.0.5"), number("10.1.0.5"), bird("10.1.0.5/32", B)),
                (number("10.1.0.6"), number("10.1.0.63"), bird(BLOCK, A)),
            ]

    machine.run(main)


@pytest.mark.parametrize(
    ("block", "gateway"), [(BLOCK, A), (BLOCK6, "2001:db8::2")], ids=["ipv4", "ipv6"]
)
def test_a_lost_route_is_told_and_one_that_comes_back_must_stand(
    machine: Machine, block: str, gateway: str
) -> None:
    """Down at once, up in two steps: it is there, and it is steady."""
    batch(machine, [f"route add {block} via {gateway} proto bird"])

    async def main() -> None:
        async with following(block) as followed:
            machine.ip("route", "del", block)
            await followed.until(lambda: followed.gateways(block) == [])
            assert followed.fib.age_s(Cidr(block), followed.area(block).stretches[0].first) is None

            machine.ip("route", "add", block, "via", gateway, "proto", "bird")
            await followed.until(lambda: followed.gateways(block) == [gateway])
            (stretch,) = followed.area(block).stretches
            assert not stretch.is_steady

            await followed.until(lambda: followed.area(block).stretches[0].is_steady)
            age_s = followed.fib.age_s(Cidr(block), stretch.first)
            assert age_s is not None
            assert age_s >= 0.2

    machine.run(main)


def test_an_exception_that_comes_concerns_no_other_address(machine: Machine) -> None:
    """The rest of the block stays steady, and becomes one again when the exception goes."""
    batch(machine, [f"route add {BLOCK} via {A} proto bird"])

    async def main() -> None:
        async with following(BLOCK) as followed:
            machine.ip("route", "add", "10.1.0.5/32", "via", B)
            await followed.until(lambda: len(followed.area(BLOCK).stretches) == 3)
            assert [s.is_steady for s in followed.area(BLOCK).stretches] == [True, False, True]

            machine.ip("route", "del", "10.1.0.5/32")
            await followed.until(lambda: len(followed.area(BLOCK).stretches) == 1)
            assert followed.gateways(BLOCK) == [A]

    machine.run(main)


def test_an_equal_route_moves_nothing(machine: Machine) -> None:
    """A replacement that leads the same way is not even told of."""
    batch(machine, [f"route add {each} via {A} proto bird" for each in (BLOCK, OTHER)])

    async def main() -> None:
        async with following(BLOCK, OTHER) as followed:
            machine.ip("route", "replace", BLOCK, "via", A, "proto", "bird")
            machine.ip("route", "del", OTHER)
            await followed.until(lambda: followed.gateways(OTHER) == [])

            assert [area.prefix for call in followed.calls for area in call] == [OTHER]

    machine.run(main)


def test_a_route_that_came_just_before_it_was_wanted_must_stand_as_well(machine: Machine) -> None:
    """A node joins: its route may be there a moment before its block is known, or after."""

    async def main() -> None:
        async with following(OTHER, stable_s=2.0) as followed:
            batch(machine, [f"route add {each} via {A} proto bird" for each in (BLOCK, OTHER)])
            await followed.until(lambda: followed.gateways(OTHER) == [A])
            (area,) = followed.want(BLOCK, OTHER)
            assert not area.stretches[0].is_steady

            await followed.until(lambda: followed.area(BLOCK).stretches[0].is_steady)

    machine.run(main)


@pytest.mark.parametrize("place", ["here", "at the other end"])
def test_a_link_that_goes_down_takes_its_routes_along(machine: Machine, place: str) -> None:
    """IPv4 routes vanish without an event of their own; without a carrier they even stay."""
    switch = Machine(machine.name.removesuffix("fib") + "switch")
    batch(machine, [f"route add {BLOCK} via {A} proto bird"])

    async def main() -> None:
        async with following(BLOCK) as followed:
            if place == "here":
                machine.ip("link", "set", "eth0", "down")
            else:
                switch.ip("link", "set", "p1", "down")
            await followed.until(lambda: followed.gateways(BLOCK) == [])

            if place == "here":
                machine.ip("link", "set", "eth0", "up")
                machine.ip("route", "add", BLOCK, "via", A)
            else:
                switch.ip("link", "set", "p1", "up")
            await followed.until(lambda: followed.gateways(BLOCK) == [A])

    machine.run(main)


def test_a_dead_hop_of_several_is_left_out(machine: Machine) -> None:
    """What is left is steady, for it has stood all the time."""
    batch(
        machine,
        [
            "link add v0 type veth peer name v1",
            "link set v0 up",
            "link set v1 up",
            "address add 198.51.100.1/24 dev v0",
            f"route add {BLOCK} nexthop via {A} nexthop via 198.51.100.2",
        ],
    )

    async def main() -> None:
        async with following(BLOCK) as followed:
            assert followed.gateways(BLOCK) == [A, "198.51.100.2"]
            machine.ip("link", "set", "v1", "down")
            await followed.until(lambda: followed.gateways(BLOCK) == [A])
            assert followed.area(BLOCK).stretches[0].is_steady

    machine.run(main)


def test_routes_that_go_with_their_source_address_are_noticed(machine: Machine) -> None:
    """The kernel tells of the address only."""
    machine.ip("address", "add", "192.0.2.99/24", "dev", "eth0")
    batch(machine, [f"route add {BLOCK} via {A} src 192.0.2.99"])

    async def main() -> None:
        async with following(BLOCK) as followed:
            machine.ip("address", "del", "192.0.2.99/24", "dev", "eth0")
            await followed.until(lambda: followed.gateways(BLOCK) == [])

    machine.run(main)


def test_a_rule_may_send_an_area_to_another_table(machine: Machine) -> None:
    """The kernel's answer counts, not the longest prefix of all tables."""
    batch(
        machine,
        [f"route add {BLOCK} via {A} proto bird", f"route add default via {B} table 100"],
    )

    async def main() -> None:
        async with following(BLOCK) as followed:
            machine.ip("rule", "add", "priority", "1000", "to", BLOCK, "lookup", "100")
            await followed.until(lambda: followed.gateways(BLOCK) == [B])
            (stretch,) = followed.area(BLOCK).stretches
            assert stretch.route is not None
            assert (stretch.route.prefix, stretch.route.table) == ("0.0.0.0/0", 100)

    machine.run(main)


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit"])
@pytest.mark.parametrize(("block", "pool"), [(BLOCK, "10.1.0.0/16"), (BLOCK6, "fd00:10::/64")])
def test_a_refusal_names_the_route_that_refuses(
    machine: Machine, kind: str, block: str, pool: str
) -> None:
    """Calico's nodes have a blackhole for each of their own blocks."""
    family = "-6" if ":" in pool else "-4"
    batch(machine, [f"route add {kind} {pool} proto bird"], family)

    async def main() -> None:
        async with following(block) as followed:
            (stretch,) = followed.area(block).stretches
            assert stretch.route == FibRoute(
                prefix=Cidr(pool), kind=RouteKind.REFUSED, origin="bird"
            )

    machine.run(main)


def test_a_rule_that_refuses_has_no_table(machine: Machine) -> None:
    """It is no route at all."""
    machine.ip("rule", "add", "priority", "1000", "to", BLOCK, "prohibit")

    async def main() -> None:
        async with following(BLOCK) as followed:
            (stretch,) = followed.area(BLOCK).stretches
            assert stretch.route == FibRoute(
                prefix=Cidr(BLOCK), kind=RouteKind.REFUSED, table=0, origin="rule"
            )

    machine.run(main)


@pytest.mark.parametrize("compatible", ["1", "0"])
def test_nexthop_objects_are_followed(machine: Machine, compatible: str) -> None:
    """Alone or in groups, whether or not the kernel spells them out with each route."""
    mode = Path("/proc/sys/net/ipv4/nexthop_compat_mode")
    machine.do(lambda: mode.write_text(compatible))
    batch(
        machine,
        [
            f"nexthop add id 1 via {A} dev eth0",
            f"nexthop add id 2 via {B} dev eth0",
            "nexthop add id 3 group 1/2",
            f"route add {BLOCK} nhid 3",
            f"route add {OTHER} nhid 1",
        ],
    )

    async def main() -> None:
        async with following(BLOCK, OTHER) as followed:
            assert followed.gateways(BLOCK) == [A, B]
            assert followed.gateways(OTHER) == [A]

            machine.ip("nexthop", "replace", "id", "1", "via", "192.0.2.4", "dev", "eth0")
            await followed.until(lambda: followed.gateways(OTHER) == ["192.0.2.4"])
            await followed.until(lambda: followed.gateways(BLOCK) == [B, "192.0.2.4"])

            machine.ip("nexthop", "del", "id", "1")
            await followed.until(lambda: followed.gateways(OTHER) == [])
            await followed.until(lambda: followed.gateways(BLOCK) == [B])

    machine.run(main)


def test_an_ipv4_route_may_have_an_ipv6_gateway(machine: Machine) -> None:
    """RFC 5549, as BGP over link-local addresses makes them."""
    batch(machine, [f"route add {BLOCK} via inet6 2001:db8::2 dev eth0"])

    async def main() -> None:
        async with following(BLOCK) as followed:
            assert followed.gateways(BLOCK) == ["2001:db8::2"]

    machine.run(main)


def test_areas_may_lie_within_one_another(machine: Machine) -> None:
    """Each is told of what concerns it."""
    pool = "10.1.0.0/16"
    batch(machine, [f"route add {BLOCK} via {A} proto bird"])

    async def main() -> None:
        async with following(pool, BLOCK, OTHER) as followed:
            machine.ip("route", "replace", BLOCK, "via", B)
            await followed.until(lambda: followed.gateways(BLOCK) == [B])

            told = {area.prefix for call in followed.calls for area in call}
            assert told == {pool, BLOCK}
            assert followed.at(pool, "10.1.0.1").route == followed.at(BLOCK, "10.1.0.1").route

    machine.run(main)


def test_the_routes_of_a_prefix_are_those_that_packets_take(machine: Machine) -> None:
    """For the audit: what is hidden, wider or elsewhere is left out, what is ours is seen."""
    batch(
        machine,
        [
            "route add default via 192.0.2.1",
            f"route add {BLOCK} via {A} proto bird",
            f"route add {OTHER} via {A} proto bird",
            f"route add {OTHER} via {B} proto bird metric 5",
            f"route add 10.1.0.5/32 via {B} proto bird table 111",
            "route add 10.2.0.0/26 via 192.0.2.4",
            "rule add priority 32000 lookup 111",
        ],
    )

    async def main() -> None:
        async with following() as followed:
            assert followed.fib.routes(Cidr("10.1.0.0/16")) == (
                bird(BLOCK, A),
                bird("10.1.0.5/32", B, table=111),
                bird(OTHER, A),
            )
            assert followed.fib.routes(Cidr("10.1.0.0/27")) == (bird("10.1.0.5/32", B, table=111),)
            assert followed.fib.route_to(IpAddr("10.1.0.6")) == bird(BLOCK, A)
            default = followed.fib.route_to(IpAddr("203.0.113.1"))
            assert default is not None
            assert default.prefix == "0.0.0.0/0"
            assert followed.fib.age_s(Cidr(BLOCK), number("10.1.0.1")) is None

    machine.run(main)
