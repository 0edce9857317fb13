"""The audit: who owns an address, and whom the routes lead to."""

import ipaddress
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.model.address import Cidr, IpAddr
from onehop.model.network import Network, Tunnel
from onehop.model.reach import FibRoute, Hop, RouteKind
from onehop.net.bird import Finding, FindingKind, OfferedRoute, audit
from onehop.net.bird.ownership import Nesting, extent, holdings
from tests.net.bird.speakers import BLOCKS, HOPS1, HOPS2, NETWORKS, RANGE4, RANGE6, block

NETWORK: Final = Network(blocks=BLOCKS, ranges=(RANGE4, RANGE6))


def kernel(prefix: str, *hops: str | None, kind: RouteKind = RouteKind.UNICAST) -> FibRoute:
    found = tuple(Hop(device="eth0", address=IpAddr(hop) if hop else None) for hop in hops)
    return FibRoute(prefix=Cidr(prefix), hops=found, kind=kind, origin="bird", table=111)


def offered(prefix: str, hop: str, *, is_accepted: bool = False) -> OfferedRoute:
    return OfferedRoute(
        prefix=Cidr(prefix), next_hop=IpAddr(hop), neighbor="rr", is_accepted=is_accepted
    )


RIGHT: Final = (
    kernel("10.244.1.0/24", HOPS1[0]),
    kernel("10.244.2.0/24", HOPS2[0]),
    kernel("fd00:10:244:1::/64", HOPS1[1]),
    kernel("fd00:10:244:2::/64", HOPS2[1]),
)


def told(findings: tuple[Finding, ...]) -> list[tuple[str, str, str | None]]:
    return [(each.kind.value, each.prefix, each.node) for each in findings]


def test_routes_as_they_should_be_are_nothing_to_tell() -> None:
    """Default routes and routes of others neither."""
    others = (
        kernel("0.0.0.0/0", "192.0.2.254"),
        kernel("198.51.100.0/24", "192.0.2.254"),
        kernel("10.244.9.0/24", kind=RouteKind.REFUSED),
        kernel("10.244.1.9/32", HOPS1[0]),
    )
    assert audit(NETWORK, (*RIGHT, *others), (offered("10.244.1.0/24", HOPS1[0]),)) == ()


def test_a_block_without_a_route_is_missing() -> None:
    """So is one whose only route leads elsewhere, which is hijacked besides."""
    found = audit(NETWORK, (kernel("10.244.1.0/24", "192.0.2.66"), *RIGHT[1:]), ())

    assert told(found) == [
        ("hijacked", "10.244.1.0/24", "node-1"),
        ("missing", "10.244.1.0/24", "node-1"),
    ]
    assert found[0].via == "192.0.2.66"
    assert found[0].message == (
        "the kernel's route to 10.244.1.0/24 leads to 192.0.2.66, "
        "but it belongs to node node-1 (192.0.2.11, 2001:db8::11)"
    )


def test_a_wider_route_by_the_right_node_reaches_a_block() -> None:
    """Unless a closer one leads elsewhere."""
    wide = (kernel("10.244.0.0/23", HOPS1[0]), *RIGHT[1:])
    assert audit(NETWORK, wide, ()) == ()

    closer = kernel("10.244.1.0/24", None)
    assert told(audit(NETWORK, (*wide, closer), ())) == [
        ("hijacked", "10.244.1.0/24", "node-1"),
        ("missing", "10.244.1.0/24", "node-1"),
    ]


@pytest.mark.parametrize(("is_accepted", "fate"), [(True, "was believed"), (False, "was refused")])
def test_an_offer_for_somebody_elses_pods_is_a_hijack(*, is_accepted: bool, fate: str) -> None:
    """Also of a single Pod's address, and also if BIRD refused it: somebody tries."""
    found = audit(NETWORK, RIGHT, (offered("10.244.1.7/32", HOPS2[0], is_accepted=is_accepted),))

    assert told(found) == [("hijacked", "10.244.1.7/32", "node-1")]
    assert fate in found[0].message


def test_one_wrong_hop_of_several_is_a_hijack() -> None:
    """A part of the connections would go astray."""
    found = audit(NETWORK, (*RIGHT, kernel("10.244.1.128/25", HOPS1[0], HOPS2[0])), ())

    assert told(found) == [("hijacked", "10.244.1.128/25", "node-1")]


def test_a_route_that_no_block_covers_is_stale() -> None:
    """In the kernel or believed; what was refused is not followed, and what is wider is a way."""
    found = audit(
        NETWORK,
        (*RIGHT, kernel("10.244.7.0/24", HOPS1[0]), kernel("10.244.0.0/16", "192.0.2.254")),
        (
            offered("10.244.8.0/24", HOPS1[0], is_accepted=True),
            offered("10.244.9.0/24", HOPS1[0]),
        ),
    )

    assert told(found) == [("stale", "10.244.7.0/24", None), ("stale", "10.244.8.0/24", None)]


def test_the_innermost_block_says_who_owns_an_address() -> None:
    """A block within another node's block is a node's own."""
    network = Network(
        blocks=(
            block("10.244.1.0/24", "node-1", *HOPS1),
            block("10.244.1.64/26", "node-2", *HOPS2),
        ),
        ranges=(RANGE4,),
    )
    right = (kernel("10.244.1.0/24", HOPS1[0]), kernel("10.244.1.64/26", HOPS2[0]))

    assert audit(network, right, ()) == ()
    assert told(audit(network, right, (offered("10.244.1.65/32", HOPS1[0]),))) == [
        ("hijacked", "10.244.1.65/32", "node-2")
    ]


def test_a_tunnels_inner_address_is_the_nodes() -> None:
    """Routes into an overlay lead there."""
    tunnel = Tunnel(
        node="node-1",
        vni=1,
        port=8472,
        outer=IpAddr(HOPS1[0]),
        inner=IpAddr("10.244.1.0"),
        mac="02:00:00:00:00:01",
    )
    network = Network(blocks=BLOCKS[:1], ranges=(RANGE4,), tunnels=(tunnel,))

    assert audit(network, (kernel("10.244.1.0/24", "10.244.1.0"),), ()) == ()


_PREFIX: Final = st.builds(
    lambda number, length: Cidr(str(ipaddress.ip_network((number << 24, length), strict=False))),
    st.integers(0, 15),
    st.integers(4, 8),
)


@given(prefixes=st.sets(_PREFIX), asked=_PREFIX)
def test_nesting_agrees_with_looking_at_every_prefix(prefixes: set[Cidr], asked: Cidr) -> None:
    """The quick way and the plain way give the same."""
    nesting = Nesting({extent(each): each for each in prefixes})
    network = ipaddress.IPv4Network(asked)
    known = {each: ipaddress.IPv4Network(each) for each in prefixes}
    around = [each for each, its in known.items() if network.subnet_of(its)]

    found = list(nesting.around(extent(asked)))

    assert found == sorted(around, key=lambda each: -known[each].prefixlen)
    assert nesting.innermost(extent(asked)) == (found[0] if found else None)
    assert nesting.has_within(extent(asked)) == any(
        its.subnet_of(network) for its in known.values()
    )


@given(network=NETWORKS)
def test_every_address_has_one_owner(network: Network) -> None:
    """Whatever blocks there are: of the holdings that claim an address, exactly one is right."""
    for ipv6 in (False, True):
        held = holdings(network.blocks, ipv6=ipv6)
        for holding in held:
            address = holding.block.prefix.partition("/")[0]
            first = extent(Cidr(f"{address}/{128 if ipv6 else 32}"))
            claiming = {
                other.block.node
                for other in held
                if extent(other.block.prefix).covers(first)
                and not any(extent(each).covers(first) for each in other.except_for)
            }
            assert len(claiming) == 1


@given(network=NETWORKS)
def test_without_routes_every_block_is_missing(network: Network) -> None:
    """Once, and nothing else is wrong."""
    found = audit(network, (), ())

    assert {each.kind for each in found} <= {FindingKind.MISSING}
    distinct = {each.prefix for each in network.blocks}
    assert len(found) == len(distinct)
