"""The kernel is right: whatever routes and rules there are, `ip route get` says the same."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.model.address import Cidr, IpAddr
from onehop.model.reach import Area, FibRoute, RouteKind
from onehop.net.fib import Fib
from tests.net.fib.iproute import batch, lookups, route_of
from tests.net.namespaces import Machine, machines, running, until

pytestmark = pytest.mark.root

BASE = {4: 10 << 24, 6: 0xFD00 << 112}
SIZE_BITS = 5
"""Of the area that routes are put into: 32 addresses, so that they get in each other's way."""
TABLES = (100, 111, 254)


class Family(msgspec.Struct, frozen=True):
    """How a family spells things."""

    number: int
    flag: str
    bits: int
    gateways: tuple[str, ...]

    @property
    def area(self) -> Cidr:
        return self.prefix(0, self.bits - SIZE_BITS)

    def address(self, offset: int) -> IpAddr:
        number = BASE[self.number] + offset
        if self.number == 4:
            return IpAddr(".".join(map(str, number.to_bytes(4, "big"))))
        return IpAddr(f"fd00::{offset:x}" if offset else "fd00::")

    def prefix(self, offset: int, length: int) -> Cidr:
        return Cidr(f"{self.address(offset)}/{length}")


FAMILIES = (
    Family(4, "-4", 32, ("192.0.2.2", "192.0.2.3", "192.0.2.4")),
    Family(6, "-6", 128, ("2001:db8::2", "2001:db8::3", "2001:db8::4")),
)


@st.composite
def prefixes(draw: st.DrawFn, family: Family) -> str:
    inner = draw(st.integers(0, SIZE_BITS))
    offset = (
        draw(st.integers(0, (1 << SIZE_BITS) - 1)) >> (SIZE_BITS - inner) << (SIZE_BITS - inner)
    )
    return family.prefix(offset, family.bits - SIZE_BITS + inner)


@st.composite
def routes(draw: st.DrawFn, family: Family) -> str:
    prefix = draw(st.one_of(prefixes(family), prefixes(family), st.just("default")))
    table, metric = draw(st.sampled_from(TABLES)), draw(st.sampled_from(("", " metric 20")))
    gateways = st.sampled_from(family.gateways)
    ways = st.one_of(
        gateways.map(lambda gateway: f"{prefix} via {gateway} proto bird"),
        st.just(f"{prefix} dev eth0 proto static"),
        st.lists(gateways, min_size=2, max_size=3, unique=True).map(
            lambda several: f"{prefix} " + " ".join(f"nexthop via {each}" for each in several)
        ),
        st.sampled_from(("blackhole", "unreachable", "prohibit", "throw", "local")).map(
            lambda kind: f"{kind} {prefix}" + (" dev lo" if kind == "local" else "")
        ),
    )
    way = draw(ways)
    verb = draw(st.sampled_from(("add", "add", "replace", "append", "del")))
    before, _, after = way.partition(" nexthop ")
    hops = f" nexthop {after}" if after else ""
    return f"route {verb} {before} table {table}{metric}{hops}"


@st.composite
def rules(draw: st.DrawFn, family: Family) -> str:
    to = draw(st.one_of(st.just(""), prefixes(family).map(lambda prefix: f" to {prefix}")))
    action = draw(
        st.sampled_from(("lookup 100", "lookup 111", "lookup 111", "prohibit", "blackhole"))
        if to
        else st.sampled_from(("lookup 100", "lookup 111", "lookup 111 suppress_prefixlength 27"))
    )
    return f"rule add priority {draw(st.integers(1000, 1009))}{to} {action}"


@st.composite
def commands(draw: st.DrawFn, family: Family) -> list[str]:
    return [
        *draw(st.lists(routes(family), min_size=8, max_size=25)),
        *draw(st.lists(rules(family), min_size=1, max_size=4)),
    ]


def truth(machine: Machine, family: Family) -> list[FibRoute | None]:
    addresses = [family.address(offset) for offset in range(1 << SIZE_BITS)]
    said = lookups(machine, addresses)
    return [told_apart(route_of(each, ipv6=family.number == 6), family) for each in said]


def told_apart(route: FibRoute | None, family: Family) -> FibRoute | None:
    """Return a route without what a lookup cannot say.

    In IPv6, whoever appended a hop is the origin of that hop, and a lookup names the one that it
    has picked for this address.
    """
    if route is None or family.number == 4 or len(route.hops) < 2:
        return route
    return msgspec.structs.replace(route, origin="")


def answers(area: Area, family: Family) -> list[FibRoute | None]:
    """Return the route of each address, refusals as None, for `ip` says no more of them."""
    first = BASE[family.number]
    found = (area.at(first + offset).route for offset in range(1 << SIZE_BITS))
    return [
        None if each and each.kind is RouteKind.REFUSED else told_apart(each, family)
        for each in found
    ]


@pytest.mark.parametrize("family", FAMILIES, ids=["ipv4", "ipv6"])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_each_address_has_the_route_that_the_kernel_would_take(
    family: Family, data: st.DataObject
) -> None:
    """At first, and after anything has changed, whatever tables, rules and metrics there are."""
    first, later = data.draw(commands(family)), data.draw(commands(family))

    async def main(machine: Machine) -> None:
        before = truth(machine, family)
        async with Fib() as fib:
            (area,) = fib.want([family.area])
            assert answers(area, family) == before
            known = {area.prefix: area}

            def changed(areas: tuple[Area, ...]) -> None:
                known.update((area.prefix, area) for area in areas)

            async with running(fib.run(changed)):
                batch(machine, later, family.flag, "-force")
                after = truth(machine, family)
                await until(lambda: answers(known[family.area], family) == after)

    with machines("agrees") as (machine,):
        batch(machine, first, family.flag, "-force")
        machine.run(lambda: main(machine))
