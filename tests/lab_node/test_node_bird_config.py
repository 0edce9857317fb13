"""What BIRD on a node is told, for the objects that confd would read."""

import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onehop.base.errors import ConfigError
from onehop.lab.node.bgp import BgpFacts, Session, make_plan
from onehop.lab.node.birdconf import render
from onehop.lab.node.object import (
    BgpConfigurationSpec,
    BgpPeer,
    BgpPeerSpec,
    BlockAffinity,
    BlockAffinitySpec,
    IpPool,
    IpPoolSpec,
    Meta,
    Node,
    Password,
    Secret,
    SecretKeyRef,
)


def node(number: int, **notes: str) -> Node:
    annotations = {
        "projectcalico.org/IPv4Address": f"10.111.0.1{number}/24",
        "projectcalico.org/IPv6Address": f"fd00:111::1{number}/64",
    }
    extra = {f"projectcalico.org/{key}": value for key, value in notes.items()}
    labels = {"rack": "a" if number < 3 else "b"}
    return Node(metadata=Meta(name=f"node{number}", annotations=annotations | extra, labels=labels))


def peer(name: str = "lb", **spec: Any) -> BgpPeer:
    return BgpPeer(metadata=Meta(name=name), spec=BgpPeerSpec(**spec))


def facts(*peers: BgpPeer, **fields: Any) -> BgpFacts:
    affinities = [("10.244.1.0/26", "node1"), ("fd00:244:1::/122", "node1"), ("10.244.2.0/26", "n")]
    made = BgpFacts(
        name="node1",
        addresses=("10.111.0.11",),
        configuration=BgpConfigurationSpec(),
        nodes=(node(1), node(2)),
        peers=peers,
        affinities=tuple(
            BlockAffinity(metadata=Meta(name=cidr), spec=BlockAffinitySpec(cidr=cidr, node=owner))
            for cidr, owner in affinities
        ),
        pools=(
            IpPool(metadata=Meta(name="4"), spec=IpPoolSpec(cidr="10.244.0.0/16")),
            IpPool(
                metadata=Meta(name="6"),
                spec=IpPoolSpec(cidr="fd00:244::/48", vxlan_mode="Always", disable_bgp_export=True),
            ),
        ),
        secrets=(Secret(metadata=Meta(name="bgp"), data={"key": "c2VjcmV0"}),),
        default_asn=64512,
    )
    return msgspec.structs.replace(made, **fields)


def sessions(given: BgpFacts) -> dict[str, Session]:
    return {session.name: session for session in make_plan(given).sessions}


NO_MESH = BgpConfigurationSpec(node_to_node_mesh_enabled=False)


def test_the_mesh_is_every_other_node_and_one_side_connects() -> None:
    """The lower address connects to the higher one, so that restarts are not disturbed."""
    found = sessions(facts())
    assert list(found) == ["Mesh_10_111_0_12", "Mesh_fd00_111__12"]
    assert all(session.is_passive for session in found.values())
    assert found["Mesh_10_111_0_12"].source == "10.111.0.11"
    assert not any(s.is_passive for s in sessions(facts(name="node2")).values())
    assert sessions(facts(configuration=NO_MESH)) == {}


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({}, {"Global_10_111_0_2"}),
        ({"node": "node1"}, {"Node_10_111_0_2"}),
        ({"node": "node2"}, set()),
        ({"node_selector": "all()"}, {"Node_10_111_0_2"}),
        ({"node_selector": "rack == 'b'"}, set()),
        ({"node_selector": "rack =="}, set()),
        ({"peer_ip": "10.111.0.2:180"}, {"Global_10_111_0_2_port_180"}),
        ({"peer_ip": "[fd00:111::2]:180"}, {"Global_fd00_111__2_port_180"}),
        ({"peer_ip": "fd00:111::2"}, {"Global_fd00_111__2"}),
        ({"peer_ip": "nonsense"}, set()),
        ({"peer_ip": "10.111.0.11"}, set()),
    ],
)
def test_a_bgppeer_is_for_the_nodes_it_means(spec: dict[str, Any], names: set[str]) -> None:
    """Of one node, of selected nodes, of all; never with the node itself."""
    usual: dict[str, Any] = {"peer_ip": "10.111.0.2", "as_number": 64513}
    given = facts(peer(**(usual | spec)))
    found = sessions(msgspec.structs.replace(given, configuration=NO_MESH))
    assert set(found) == names


def test_route_reflectors_have_clients_and_no_mesh() -> None:
    """Both ends of a peerSelector speak, also the one that is only selected."""
    nodes = (node(1), node(2), node(3, RouteReflectorClusterID="244.0.0.1"))
    selected = peer(node_selector="rack == 'a'", peer_selector="rack == 'b'")

    client = sessions(facts(selected, nodes=nodes, configuration=NO_MESH))
    reflector = sessions(facts(selected, nodes=nodes, name="node3", configuration=NO_MESH))

    assert list(client) == ["Node_10_111_0_13", "Node_fd00_111__13"]
    assert not any(session.client_of for session in client.values())
    assert {session.client_of for session in reflector.values()} == {"244.0.0.1"}
    assert len(reflector) == 4
    in_mesh = sessions(facts(nodes=nodes))
    assert "Mesh_10_111_0_13" not in in_mesh
    assert "Mesh_10_111_0_12" in in_mesh


def test_the_asn_of_a_node_goes_before_that_of_the_cluster() -> None:
    """An annotation, then the BGPConfiguration, then the flag."""
    nodes = (node(1), node(2, ASNumber="65001"))
    configuration = BgpConfigurationSpec(as_number=65000)
    given = facts(nodes=nodes, configuration=configuration)
    assert make_plan(given).asn == 65000
    assert sessions(given)["Mesh_10_111_0_12"].asn == 65001
    assert make_plan(facts()).asn == 64512
    with pytest.raises(ConfigError, match="node1"):
        make_plan(facts(nodes=(node(1, ASNumber="many"),)))


@pytest.mark.parametrize("changes", [{}, {"addresses": ("fd00:111::11",), "nodes": ()}])
def test_bird_reads_what_is_rendered(tmp_path: Path, changes: dict[str, Any]) -> None:
    """With everything that a session can have, and for a node of one family."""
    full = peer(
        peer_ip="10.111.0.2",
        as_number=64513,
        password=Password(SecretKeyRef("bgp", "key")),
        failure_detection="BFDIfDirectlyConnected",
        max_restart_time="2m",
        keep_next_hop=True,
    )
    far = peer("far", peer_ip="192.0.2.1:1790", as_number=64512, source_address="None")
    nodes = (node(1, RouteReflectorClusterID="244.0.0.1"), node(2))
    text = render(make_plan(facts(full, far, **({"nodes": nodes} | changes))))
    file = tmp_path / "bird.conf"
    file.write_text(text)
    subprocess.run(["bird", "-p", "-c", str(file)], check=True)
    if not changes:
        for line in (
            'password "secret";',
            "bfd on;",
            "graceful restart time 120;",
            "next hop keep;",
            "rr cluster id 244.0.0.1;",
            "route 10.244.1.0/26 blackhole;",
            "if ( net ~ 10.244.0.0/16 ) then accept;",
            "if ( net ~ fd00:244::/48 ) then reject;",
        ):
            assert line in text
        assert "10.244.2.0/26" not in text


def test_a_password_that_bird_cannot_write_is_left_out() -> None:
    """Nothing of a Secret becomes configuration."""
    evil = Secret(metadata=Meta(name="bgp"), data={"key": "IjsKcHJvdG9jb2w="})
    with_password = peer(peer_ip="10.111.0.2", password=Password(SecretKeyRef("bgp", "key")))
    found = sessions(facts(with_password, secrets=(evil,)))
    assert found["Global_10_111_0_2"].password == ""
