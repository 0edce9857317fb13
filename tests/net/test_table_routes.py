"""The bytes of routes and rules, and the difference between two tables: pure, no kernel."""

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.base.nlmsg import Message, Request, errno_of, pack, unpack
from onehop.model.address import Cidr, IpAddr, parse_ip
from onehop.net.own_routes import OwnRoutes, diff_routes
from onehop.net.rtnetlink.neighbor import Entry, put_entry, read_entry
from onehop.net.rtnetlink.route import (
    KernelRoute,
    Rule,
    put_route,
    put_rule,
    read_route,
    read_rule,
    remove_route,
    route_table,
)
from onehop.net.rtnetlink.value import to_address
from onehop.net.table import PROTOCOL, STATIC_METRIC, TABLE

IPV4 = st.ip_addresses(v=4)
IPV6 = st.ip_addresses(v=6)
ANY_TABLE = st.sampled_from([TABLE, 254, 1000])
METRICS = st.sampled_from([0, 32, STATIC_METRIC])
PROTOCOLS = st.sampled_from([4, 12, PROTOCOL])


@st.composite
def routes(
    draw: st.DrawFn,
    *,
    tables: st.SearchStrategy[int] = ANY_TABLE,
    longest: int = 128,
) -> KernelRoute:
    addresses = draw(st.sampled_from([IPV4, IPV6]))
    address = draw(addresses)
    bits = draw(st.integers(0, min(longest, address.max_prefixlen)))
    via, source = draw(st.none() | addresses), draw(st.none() | addresses)
    return KernelRoute(
        prefix=Cidr(str(ipaddress.ip_network((address, bits), strict=False))),
        table=draw(tables),
        protocol=draw(PROTOCOLS),
        metric=draw(METRICS),
        via=IpAddr(str(via)) if via else None,
        device=draw(st.integers(1, 2**31 - 1)),
        source=IpAddr(str(source)) if source else None,
        on_link=draw(st.booleans()),
    )


@given(routes())
def test_a_route_survives_its_bytes(route: KernelRoute) -> None:
    """What we ask the kernel for is what we would read from it."""
    body = put_route(route).body

    assert read_route(body) == route
    assert route_table(body) == route.table


@given(
    st.sampled_from([socket.AF_INET, socket.AF_INET6]),
    st.integers(0, 2**32 - 1),
    st.integers(1, 2**32 - 1),
    st.integers(0, 255),
)
def test_a_rule_survives_its_bytes(family: int, priority: int, table: int, protocol: int) -> None:
    """The same of rules."""
    rule = Rule(family=family, priority=priority, table=table, protocol=protocol)

    assert read_rule(put_rule(rule).body) == rule


@given(st.booleans(), st.binary(min_size=6, max_size=6), IPV4 | IPV6)
def test_an_entry_survives_its_bytes(
    is_forwarding: bool,  # noqa: FBT001  drawn
    mac: bytes,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """The same of neighbours and forwarding entries."""
    entry = Entry(is_forwarding=is_forwarding, mac=mac.hex(":"), address=IpAddr(str(address)))

    assert read_entry(put_entry(entry, 7).body) == entry


@given(st.lists(st.binary(max_size=40).map(lambda b: b + bytes(-len(b) % 4)), max_size=5))
def test_messages_of_one_datagram_come_out_in_order(bodies: list[bytes]) -> None:
    """However many there are, and whatever they hold."""
    data = b"".join(pack(Request(24, 0, body), n) for n, body in enumerate(bodies))

    assert [(m.sequence, m.payload) for m in unpack(data)] == list(enumerate(bodies))


@pytest.mark.parametrize("text", ["::", "::1", "1::", "::102:304", "2001:db8:0:1:1:1:1:1"])
def test_an_address_is_spelled_as_everywhere_else(text: str) -> None:
    """Else it would differ from the same one of the API, and its route be written for ever."""
    assert to_address(ipaddress.IPv6Address(text).packed) == text == parse_ip(text)


def test_an_acknowledgement_is_errno_0() -> None:
    """And a refusal the errno, which netlink sends negative."""
    assert errno_of(Message(2, 0, 1, (0).to_bytes(4, "little"))) == 0
    assert errno_of(Message(2, 0, 1, b"\xff\xff\xff\xff")) == 1


TABLES = st.dictionaries(
    st.sampled_from([Cidr(f"10.{n}.0.0/16") for n in range(6)]),
    st.sampled_from([IpAddr("192.0.2.2"), IpAddr("192.0.2.3")]),
).map(
    lambda hops: {
        prefix: KernelRoute(
            prefix=prefix, table=TABLE, protocol=PROTOCOL, metric=STATIC_METRIC, via=via, device=2
        )
        for prefix, via in hops.items()
    }
)


@given(TABLES, TABLES, st.sets(st.sampled_from([Cidr(f"10.{n}.0.0/16") for n in range(6)])))
def test_changes_lead_from_any_table_to_any_other(
    have: dict[Cidr, KernelRoute], want: dict[Cidr, KernelRoute], taken: set[Cidr]
) -> None:
    """Nothing that stays is ever removed, nothing equal is written, nothing foreign replaced."""
    changes = diff_routes(have, want, taken=taken)

    seen = dict(have)
    for route in changes.put:
        assert seen.get(route.prefix) != route
        assert route.prefix not in taken
        seen[route.prefix] = route
    for route in changes.remove:
        assert route.prefix not in want
        assert seen.pop(route.prefix) == route
    assert {p: r for p, r in seen.items() if p not in taken} == {
        p: r for p, r in want.items() if p not in taken
    }
    assert diff_routes(seen, want, taken=taken).requests() == []


@given(st.lists(st.tuples(st.booleans(), routes(tables=st.just(TABLE), longest=1))))
def test_the_mirror_holds_what_the_kernel_told_last(
    told: list[tuple[bool, KernelRoute]],
) -> None:
    """Ours and foreign routes are kept apart; a route of another metric is not ours to touch."""
    mirror = OwnRoutes(STATIC_METRIC)
    expected: dict[tuple[Cidr, int], KernelRoute] = {}
    for is_new, route in told:
        key = (route.prefix, route.metric)
        if not is_new and key not in expected:
            continue  # the kernel tells of no removal of what was not there
        there = route if is_new else expected[key]
        kind, flags, body = put_route(there) if is_new else remove_route(there)
        assert mirror.hear(Message(kind, flags, 0, body))
        if is_new:
            expected[key] = there
        else:
            del expected[key]

    assert mirror.present == {
        prefix: route
        for (prefix, metric), route in expected.items()
        if metric == STATIC_METRIC and route.protocol == PROTOCOL
    }
    assert mirror.foreign == {key: route for key, route in expected.items() if route.protocol == 4}


def test_a_route_of_another_table_is_not_heard() -> None:
    """A full table of the internet passes by without being read."""
    route = KernelRoute(prefix=Cidr("10.0.0.0/8"), table=254, protocol=PROTOCOL, metric=0)
    kind, flags, body = put_route(route)

    assert not OwnRoutes(STATIC_METRIC).hear(Message(kind, flags, 0, body))


async def test_what_changes_while_the_table_is_read_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A route listed before it was removed is gone all the same, and one that came is there."""
    listed, late = (
        KernelRoute(
            prefix=Cidr(prefix), table=TABLE, protocol=PROTOCOL, metric=STATIC_METRIC, device=2
        )
        for prefix in ("10.1.0.0/16", "10.2.0.0/16")
    )
    mirror = OwnRoutes(STATIC_METRIC)

    async def list_all(request: Request) -> list[bytes]:
        if request.body[0] == socket.AF_INET6:
            return []
        for kind, flags, body in (remove_route(listed), put_route(late)):
            assert mirror.hear(Message(kind, flags, 0, body))
        return [put_route(listed).body]

    monkeypatch.setattr("onehop.net.own_routes.list_all", list_all)
    await mirror.read()

    assert mirror.present == {late.prefix: late}
