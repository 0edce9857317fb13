"""Sessions, ranges and tunnels: what a cluster and the operator ask of this host's network."""

import pytest

from onehop.cluster import ClusterObject, ref_of
from onehop.compile.options import BgpOptions, NeighborSource, Options, TunnelKind
from onehop.compile.session import LOAD_BALANCER_TAINT, parse_asn
from onehop.compile.tunnel import (
    FLANNEL_ADDRESS,
    FLANNEL_DATA,
    FLANNEL_TYPE,
    FLANNEL_V6_ADDRESS,
    FLANNEL_V6_DATA,
)
from onehop.model.address import IpAddr
from onehop.model.certificate import SecretText
from onehop.model.network import Neighbor, NeighborRole, Network, Tunnel
from onehop.model.problem import Problem, Reason
from tests.compile.plugins import (
    affinity,
    bgp_configuration,
    cilium_node,
    compiled,
    ip_pool,
    node,
    noted,
)

CALICO = Options(bgp=BgpOptions(asn=64900, source=NeighborSource.CALICO))
CILIUM = Options(bgp=BgpOptions(asn=64900, source=NeighborSource.CILIUM))
UPSTREAM = Neighbor(
    name="tor",
    role=NeighborRole.UPSTREAM,
    address=IpAddr("192.0.2.1"),
    asn=64999,
    hears_vips=True,
)
N1 = node("n1", "192.168.0.1")
N2 = node("n2", "192.168.0.2")


def network(options: Options, *items: ClusterObject) -> Network:
    """Return the network of a cluster."""
    return compiled(options, *items).network()


def sessions(options: Options, *items: ClusterObject) -> list[tuple[str, str, str, int, int]]:
    """Return name, role, address, AS number and port of every neighbour."""
    return [
        (n.name, n.role.value, n.address, n.asn, n.port) for n in network(options, *items).neighbors
    ]


# Sessions.


def test_without_bgp_there_is_no_speaker() -> None:
    """Blocks are known all the same: static routes and the ladder need them."""
    found = network(Options(), N1, affinity("10.0.0.0/26", "n1"))

    assert (found.asn, found.neighbors) == (None, ())
    assert [block.prefix for block in found.blocks] == ["10.0.0.0/26"]


def test_a_mesh_is_spoken_with_node_by_node() -> None:
    """Calico's defaults: everybody with everybody, AS 64512."""
    found = network(CALICO, N1, N2)

    assert found.asn == 64900
    assert sessions(CALICO, N1, N2) == [
        ("n1", "node", "192.168.0.1", 64512, 179),
        ("n2", "node", "192.168.0.2", 64512, 179),
    ]


def test_calico_says_which_as_port_and_addresses() -> None:
    """A node's own AS number goes before the cluster's."""
    found = sessions(
        CALICO,
        bgp_configuration(asn=64700, port=1179),
        node("n1", "192.168.0.1", IPv4Address="172.16.0.1/24", IPv6Address="fd00:1::1/64"),
        node("n2", "192.168.0.2", "fd00:1::2", "not-an-address", ASNumber="1.10"),
    )

    assert found == [
        ("n1", "node", "172.16.0.1", 64700, 1179),
        ("n1/ipv6", "node", "fd00:1::1", 64700, 1179),
        ("n2", "node", "192.168.0.2", 65546, 1179),
        ("n2/ipv6", "node", "fd00:1::2", 65546, 1179),
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("64512", 64512),
        ("4294967295", 4294967295),
        ("65535.65535", 4294967295),
        ("0", None),
        ("4294967296", None),
        ("1.65536", None),
        ("65536.1", None),
        ("1.2.3", None),
        ("-1", None),
        ("", None),
        ("\u0661", None),
    ],
)
def test_as_numbers_are_read_in_both_forms(text: str, number: int | None) -> None:
    """RFC 5396."""
    assert parse_asn(text) == number


def test_a_wrong_as_number_costs_that_node_its_session() -> None:
    """Its Pods are served by its NodePort; the other nodes' are not concerned."""
    bad = node("n1", "192.168.0.1", ASNumber="\n")
    compiler = compiled(CALICO, bad, N2)

    (problem,) = compiler.problems()
    assert problem.subject == ref_of(bad)
    assert problem.reason is Reason.INVALID_ANNOTATION
    assert [n.name for n in compiler.network().neighbors] == ["n2"]


REFLECTOR = node("n1", "192.168.0.1", RouteReflectorClusterID="244.0.0.1")


def test_without_a_mesh_the_reflectors_speak_for_everybody() -> None:
    """A route reflector (RFC 4456) tells everybody's blocks."""
    assert sessions(CALICO, bgp_configuration(mesh=False), REFLECTOR, N2) == [
        ("n1", "reflector", "192.168.0.1", 64512, 179)
    ]


@pytest.mark.parametrize(("mesh", "first"), [(True, REFLECTOR), (None, REFLECTOR), (False, N1)])
def test_otherwise_every_node_speaks_for_itself(mesh: bool | None, first: ClusterObject) -> None:  # noqa: FBT001  a parameter of the table above
    """A mesh with a reflector in it is a mesh, and without reflectors nobody speaks for others."""
    found = sessions(CALICO, bgp_configuration(mesh=mesh), first, N2)

    assert [(name, role) for name, role, *_ in found] == [("n1", "node"), ("n2", "node")]


def test_other_load_balancers_in_the_overlay_are_no_neighbours() -> None:
    """They are Node objects only so that the overlay lets them in."""
    assert sessions(CALICO, node("lb2", "192.168.0.9", taint=LOAD_BALANCER_TAINT)) == []


def test_cilium_s_nodes_have_our_as_number_or_the_operator_s() -> None:
    """No object of Cilium's that is read says it; Calico's annotations mean nothing there."""
    other = Options(
        bgp=BgpOptions(
            asn=64900, source=NeighborSource.CILIUM, node_asn=64800, announces_return=True
        )
    )
    noisy = node("n1", "192.168.0.1", IPv4Address="172.16.0.1/24", ASNumber="64512")

    assert sessions(CILIUM, noisy) == [("n1", "node", "192.168.0.1", 64900, 179)]
    assert sessions(other, noisy) == [("n1", "node", "192.168.0.1", 64800, 179)]
    assert all(neighbor.hears_return for neighbor in network(other, noisy).neighbors)


def test_a_node_without_an_address_is_no_neighbour() -> None:
    """There is nothing to connect to yet."""
    assert sessions(CILIUM, node("n1")) == []


def test_the_operator_s_neighbours_stand_beside_the_nodes() -> None:
    """A node that has the name of a router gets another one; names are unique."""
    bgp = BgpOptions(
        asn=64900,
        source=NeighborSource.CALICO,
        upstream=(UPSTREAM,),
        node_password=SecretText("secret"),
    )
    found = network(Options(bgp=bgp), N1, node("tor", "192.168.0.7")).neighbors

    assert [neighbor.name for neighbor in found] == ["n1", "tor", "tor/node"]
    assert [neighbor.password is None for neighbor in found] == [False, True, False]
    assert [neighbor.hears_vips for neighbor in found] == [False, True, False]


def test_a_list_of_neighbours_is_all_there_is() -> None:
    """The nodes are left alone."""
    reflector = Neighbor(
        name="rr", role=NeighborRole.REFLECTOR, address=IpAddr("192.0.2.2"), asn=64512
    )
    options = Options(bgp=BgpOptions(asn=64900, listed=(reflector,)))

    assert network(options, N1).neighbors == (reflector,)


def test_only_what_moves_something_is_told() -> None:
    """Whoever carries the network out is not woken for a BGPConfiguration that says the same."""
    compiler = compiled(CALICO, N1)
    told = []
    for item in (bgp_configuration(), bgp_configuration(asn=64512), bgp_configuration(asn=64513)):
        compiler.put(item)
        told.append(compiler.settle().network)

    assert told == [False, False, True]


# Ranges.


def test_calico_s_ranges_are_its_pools() -> None:
    """A block that a node gets tomorrow is inside of them; other routes are no Pod's."""
    found = network(
        CALICO, ip_pool("10.0.0.0/16"), ip_pool("nonsense", "other"), affinity("10.0.0.0/26", "n1")
    )

    assert found.ranges == ("10.0.0.0/16",)


@pytest.mark.parametrize(
    "items",
    [
        (affinity("10.0.0.0/26", "n1"),),
        (affinity("10.0.0.0/26", "n1"), ip_pool("nonsense")),
        (cilium_node("n1", "10.0.0.0/26"), ip_pool("10.0.0.0/8")),
    ],
    ids=["no-pool", "no-readable-pool", "another-plugin"],
)
def test_where_nobody_says_the_ranges_they_are_the_blocks(items: tuple[ClusterObject, ...]) -> None:
    """Then a block has to be known before a route to it is taken."""
    assert network(CALICO, *items).ranges == ("10.0.0.0/26",)


# Tunnels.

FLANNEL = {
    FLANNEL_TYPE: "vxlan",
    FLANNEL_DATA: '{"VNI":7,"VtepMAC":"12:C6:65:89:B4:E3"}',
    FLANNEL_ADDRESS: "192.168.0.1",
}
FLANNEL_V6 = {
    FLANNEL_V6_DATA: '{"VtepMAC":"12:c6:65:89:b4:e4"}',
    FLANNEL_V6_ADDRESS: "fd00:1::1",
}
CIDRS = ("10.0.0.0/24", "fd00::/64")


def test_flannel_s_ends_are_read_from_its_annotations() -> None:
    """The gateway of a node's Pods is the first address of its podCIDR, on its tunnel device."""
    found = network(Options(tunnel=TunnelKind.FLANNEL), noted("n1", CIDRS, FLANNEL | FLANNEL_V6))

    assert found.tunnels == (
        Tunnel(
            node="n1",
            vni=1,
            port=8472,
            outer=IpAddr("fd00:1::1"),
            inner=IpAddr("fd00::"),
            mac="12:c6:65:89:b4:e4",
            prefixes=(found.blocks[1].prefix,),
        ),
        Tunnel(
            node="n1",
            vni=7,
            port=8472,
            outer=IpAddr("192.168.0.1"),
            inner=IpAddr("10.0.0.0"),
            mac="12:c6:65:89:b4:e3",
            prefixes=(found.blocks[0].prefix,),
        ),
    )


@pytest.mark.parametrize(
    "notes",
    [{}, {FLANNEL_TYPE: "host-gw", FLANNEL_DATA: "null"}, FLANNEL | {FLANNEL_DATA: "null"}],
    ids=["none", "host-gw", "ipv6-only"],
)
def test_a_node_without_flannel_s_vxlan_has_no_end(notes: dict[str, str]) -> None:
    """It may run another backend, or none yet: that is no fault."""
    compiler = compiled(Options(tunnel=TunnelKind.FLANNEL), noted("n1", CIDRS, notes))

    assert compiler.network().tunnels == ()
    assert compiler.problems() == ()


@pytest.mark.parametrize(
    ("options", "notes"),
    [
        (TunnelKind.FLANNEL, FLANNEL | {FLANNEL_DATA: "junk"}),
        (TunnelKind.FLANNEL, FLANNEL | {FLANNEL_DATA: '{"VtepMAC":"12:c6"}'}),
        (TunnelKind.FLANNEL, FLANNEL | {FLANNEL_DATA: '{"VNI":0,"VtepMAC":"12:c6:65:89:b4:e3"}'}),
        (TunnelKind.FLANNEL, FLANNEL | {FLANNEL_ADDRESS: "nowhere"}),
        (TunnelKind.CALICO, {"projectcalico.org/IPv4VXLANTunnelAddr": "10.0.0.1"}),
    ],
    ids=["junk", "mac", "vni", "address", "calico"],
)
def test_an_end_that_makes_no_sense_is_told(options: TunnelKind, notes: dict[str, str]) -> None:
    """Its Pods are then reached by NodePort; nothing of it reaches the kernel."""
    compiler = compiled(Options(tunnel=options), noted("n1", CIDRS, notes))
    problems: tuple[Problem, ...] = compiler.problems()

    assert compiler.network().tunnels == ()
    assert [problem.reason for problem in problems] == [Reason.INVALID_ANNOTATION]


def test_calico_s_ends_are_read_from_its_annotations() -> None:
    """One of each family; VNI and port are Felix's defaults."""
    item = node(
        "n1",
        "192.168.0.1",
        IPv4Address="192.168.0.1/24",
        IPv4VXLANTunnelAddr="10.0.0.1",
        VXLANTunnelMACAddr="66:11:22:33:44:55",
        IPv6Address="fd00:1::1/64",
        IPv6VXLANTunnelAddr="fd00::1",
        VXLANTunnelMACAddrV6="66:11:22:33:44:56",
    )
    found = network(Options(tunnel=TunnelKind.CALICO), item, affinity("10.0.0.0/26", "n1")).tunnels

    assert [(t.vni, t.port, t.outer, t.inner, t.mac, t.prefixes) for t in found] == [
        (4096, 4789, "192.168.0.1", "10.0.0.1", "66:11:22:33:44:55", ("10.0.0.0/26",)),
        (4096, 4789, "fd00:1::1", "fd00::1", "66:11:22:33:44:56", ()),
    ]


def test_without_an_overlay_nobody_s_tunnels_are_ours() -> None:
    """Annotations of flannel's stay behind when a cluster moves to another plugin."""
    assert network(Options(), noted("n1", CIDRS, FLANNEL)).tunnels == ()
