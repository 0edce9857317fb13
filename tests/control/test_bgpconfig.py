"""The `bgp` section: what it means, what is wrong with it, and what is read because of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from onehop.base.errors import ConfigError
from onehop.cluster import Kind
from onehop.compile.options import BgpOptions, NeighborSource, TunnelKind
from onehop.control.configfile import compile_options, parse_config
from onehop.control.sources import custom_kinds
from onehop.model.network import NeighborRole
from onehop.source.custom import CustomKinds

ROUTER = {"address": "192.0.2.1", "asn": 64999}


def bgp(**section: Any) -> BgpOptions | None:
    """Return what a section means."""
    text = json.dumps({"bgp": section})
    return compile_options(parse_config(text, name="onehop.yaml")).bgp


def test_without_an_as_number_there_is_no_speaker() -> None:
    """The default: a host that speaks no BGP."""
    assert bgp() is None


def test_a_section_names_plugin_and_routers(tmp_path: Path) -> None:
    """Routers upstream hear the VIPs; the nodes are read from the cluster."""
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    found = bgp(
        asn=64512,
        neighbors="cilium",
        nodeAsn=64600,
        nodePasswordFile=str(password),
        upstream=[{**ROUTER, "name": "tor", "bfd": True, "multihop": 2, "source": "192.0.2.9"}],
        routerId="192.0.2.9",
    )

    assert found is not None
    assert (found.asn, found.source, found.node_asn) == (64512, NeighborSource.CILIUM, 64600)
    assert found.node_password is not None
    assert found.node_password.reveal == "s3cret"
    (tor,) = found.upstream
    assert (tor.name, tor.role, tor.source) == ("tor", NeighborRole.UPSTREAM, "192.0.2.9")
    assert (tor.bfd, tor.multihop, tor.hears_vips) == (True, 2, True)


def test_listed_neighbours_tell_blocks_and_hear_of_transparent_clients() -> None:
    """A name is the address where none is given."""
    text = json.dumps(
        {"bgp": {"asn": 64512, "neighbors": [ROUTER]}, "transparent": {"announce": True}}
    )
    found = compile_options(parse_config(text, name="onehop.yaml")).bgp

    assert found is not None
    assert found.source is NeighborSource.LISTED
    (neighbor,) = found.listed
    assert (neighbor.name, neighbor.role) == ("192.0.2.1", NeighborRole.REFLECTOR)
    assert (neighbor.hears_vips, neighbor.hears_return) == (False, True)


def test_the_tunnel_is_an_option_of_compiling() -> None:
    """Tunnel ends are next hops only where the overlay was joined."""
    config = parse_config("reach: {tunnel: flannel}", name="onehop.yaml")

    assert compile_options(config).tunnel is TunnelKind.FLANNEL


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"neighbors": "calico"}, "bgp.asn: missing; bgp.neighbors needs"),
        ({"upstream": [ROUTER]}, "bgp.asn: missing; bgp.upstream needs"),
        ({"asn": 0}, "bgp.asn: "),
        ({"asn": 1, "nodeAsn": 2}, "bgp.nodeAsn: only with `neighbors: cilium`"),
        ({"asn": 1, "neighbors": "calico", "nodeAsn": 2}, "bgp.nodeAsn: only with"),
        ({"asn": 1, "nodePasswordFile": "x"}, "bgp.nodePasswordFile: only with"),
        ({"asn": 1, "routerId": "one"}, "bgp.routerId: 'one'; allowed is the form of an IPv4"),
        ({"asn": 1, "routerId": "::1"}, "bgp.routerId: '::1'"),
        ({"asn": 1, "bird": {"socket": "/run/bird.ctl"}}, "bgp.bird: socket and include belong"),
        (
            {"asn": 1, "neighbors": [{**ROUTER, "address": "router"}]},
            "bgp.neighbors[0].address: 'router'; allowed is the IP address of a router",
        ),
        (
            {"asn": 1, "upstream": [ROUTER, {**ROUTER, "address": "224.0.0.1"}]},
            "bgp.upstream[1].address: '224.0.0.1'",
        ),
        (
            {"asn": 1, "upstream": [{**ROUTER, "source": "fd00::1"}]},
            "bgp.upstream[0].source: fd00::1 is not of the family of 192.0.2.1",
        ),
        ({"asn": 1, "upstream": [{**ROUTER, "name": "a b"}]}, "bgp.upstream[0].name: 'a b'"),
        (
            {"asn": 1, "upstream": [{**ROUTER, "passwordFile": "/no/such"}]},
            "bgp.upstream[0].passwordFile: /no/such cannot be read",
        ),
        (
            {"asn": 1, "neighbors": [ROUTER], "upstream": [{**ROUTER, "name": "b"}]},
            "bgp: 192.0.2.1 is named twice",
        ),
        (
            {
                "asn": 1,
                "upstream": [
                    {**ROUTER, "name": "a"},
                    {"address": "192.0.2.2", "asn": 1, "name": "a"},
                ],
            },
            "bgp: two neighbours are called 'a'",
        ),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else "",
)
def test_a_fault_names_its_key(section: dict[str, Any], said: str) -> None:
    """And says what may stand there."""
    with pytest.raises(ConfigError) as caught:
        bgp(**section)

    assert str(caught.value).startswith(f"onehop.yaml: {said}")


@pytest.mark.parametrize("text", ["", "two words", "new\nline", 'quo"te', "back\\slash", "x" * 81])
def test_a_password_is_one_word_and_is_not_repeated(tmp_path: Path, text: str) -> None:
    """It stands in a configuration of BIRD's and in the kernel's TCP_MD5SIG, and nowhere else."""
    path = tmp_path / "password"
    path.write_text(text)
    with pytest.raises(ConfigError, match="1 to 80 printable ASCII characters") as caught:
        bgp(asn=1, neighbors="calico", nodePasswordFile=str(path))

    assert text == "" or text not in str(caught.value)


def test_telling_nodes_of_clients_needs_a_speaker() -> None:
    """Nobody would announce anything."""
    with pytest.raises(ConfigError, match=r"transparent\.announce: only with bgp\.asn"):
        parse_config("transparent: {announce: true}", name="onehop.yaml")


AFFINITY, POOL = Kind.BLOCK_AFFINITY, Kind.IP_POOL
CONFIGURATION, CILIUM = Kind.BGP_CONFIGURATION, Kind.CILIUM_NODE


@pytest.mark.parametrize(
    ("text", "needed", "welcome"),
    [
        ("{}", (), (AFFINITY, CILIUM)),
        ("bgp: {asn: 1}", (), (AFFINITY, CILIUM, POOL)),
        ("reach: {allocation: nodes}", (), ()),
        ("reach: {allocation: cilium}", (CILIUM,), ()),
        ("reach: {allocation: calico}", (AFFINITY,), ()),
        (
            "{reach: {allocation: calico}, bgp: {asn: 1, neighbors: calico}}",
            (AFFINITY, POOL, CONFIGURATION),
            (),
        ),
        ("bgp: {asn: 1, neighbors: calico}", (CONFIGURATION,), (AFFINITY, CILIUM, POOL)),
        ("{reach: {allocation: nodes}, bgp: {asn: 1, neighbors: cilium}}", (), ()),
    ],
)
def test_no_more_is_read_than_is_used(
    text: str, needed: tuple[Kind, ...], welcome: tuple[Kind, ...]
) -> None:
    """So that no right is asked for which nothing needs."""
    assert custom_kinds(parse_config(text, name="onehop.yaml")) == CustomKinds(
        needed=frozenset(needed), welcome=frozenset(welcome)
    )
