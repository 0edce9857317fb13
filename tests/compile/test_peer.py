"""What the cluster's speakers have to be told, and when they have been."""

from typing import Any

import pytest

from onehop.compile.options import BgpOptions, NeighborSource
from onehop.compile.peer import (
    Host,
    PeerObject,
    calico_peers,
    cilium_peers,
    says,
    with_other_hosts,
)
from onehop.model.address import IpAddr
from onehop.model.certificate import SecretText
from onehop.model.network import Neighbor, NeighborRole

HOST = Host(name="lb1", addresses=(IpAddr("192.0.2.9"), IpAddr("192.0.2.10"), IpAddr("fd00::9")))
CALICO = BgpOptions(asn=64900, source=NeighborSource.CALICO)
CILIUM = BgpOptions(asn=64900, source=NeighborSource.CILIUM)


def neighbor(name: str, role: NeighborRole, asn: int = 64512) -> Neighbor:
    """Return a neighbour."""
    return Neighbor(name=name, role=role, address=IpAddr("192.168.0.1"), asn=asn)


def by_name(objects: tuple[PeerObject, ...]) -> dict[str, Any]:
    """Return the specs by name."""
    return {item.name: dict(item.spec) for item in objects}


def test_every_node_of_a_mesh_is_told_of_every_address() -> None:
    """The node does not know which of our addresses a session comes from."""
    found = by_name(calico_peers(HOST, CALICO, [neighbor("n1", NeighborRole.NODE)]))

    assert found == {
        name: {
            "peerIP": address,
            "asNumber": 64900,
            "nodeSelector": "all()",
            "keepOriginalNextHop": True,  # the nodes pass on what the mesh tells them
        }
        for name, address in (
            ("onehop-lb1", "192.0.2.9"),
            ("onehop-lb1-2", "192.0.2.10"),
            ("onehop-lb1-ipv6", "fd00::9"),
        )
    }


@pytest.mark.parametrize(("asn", "keeps"), [(64512, True), (64900, None)])
def test_of_reflectors_only_those_are_told(asn: int, keeps: bool | None) -> None:  # noqa: FBT001  a parameter of the table above
    """One of another AS is asked not to make itself the next hop; within an AS it does not."""
    reflectors = [neighbor(name, NeighborRole.REFLECTOR, asn) for name in ("n2", "n1", "n1/ipv6")]
    spec = by_name(calico_peers(HOST, CALICO, reflectors))["onehop-lb1"]

    assert spec["nodeSelector"] == "kubernetes.io/hostname in { 'n1', 'n2' }"
    assert spec.get("keepOriginalNextHop") == keeps


def test_a_password_is_named_and_never_written() -> None:
    """It belongs into a Secret beside the plugin's agents."""
    bgp = BgpOptions(asn=64900, node_password=SecretText("s3cret"))
    peers = [*calico_peers(HOST, bgp, []), *cilium_peers(HOST, bgp)]

    assert "s3cret" not in str([item.manifest("v1") for item in peers])
    assert peers[0].spec["password"] == {"secretKeyRef": {"name": "onehop-bgp", "key": "password"}}
    assert by_name(cilium_peers(HOST, bgp))["onehop"] is not None
    assert [item.spec.get("authSecretRef") for item in peers if "Peer" in item.kind][-1]


def test_cilium_is_told_with_whom_how_and_what() -> None:
    """The three refer to each other by name and by label."""
    what, how, whom = cilium_peers(HOST, CILIUM)
    (instance,) = whom.spec["bgpInstances"]

    assert [what.kind, how.kind, whom.kind] == [
        "CiliumBGPAdvertisement",
        "CiliumBGPPeerConfig",
        "CiliumBGPClusterConfig",
    ]
    assert instance["localASN"] == 64900
    assert {peer["peerConfigRef"]["name"] for peer in instance["peers"]} == {how.name}
    assert [(peer["peerAddress"], peer["peerASN"]) for peer in instance["peers"]] == [
        ("192.0.2.9", 64900),
        ("192.0.2.10", 64900),
        ("fd00::9", 64900),
    ]
    for family in how.spec["families"]:
        labels = what.manifest("cilium.io/v2")["metadata"]["labels"]
        assert family["advertisements"]["matchLabels"].items() <= labels.items()


def test_hosts_share_the_one_configuration_that_a_node_takes() -> None:
    """Ours is replaced, the others' stay, and a stale one with our address goes."""
    whom = cilium_peers(Host(name="lb1", addresses=(IpAddr("192.0.2.9"),)), CILIUM)[2]
    theirs = {"name": "onehop-lb0", "peerAddress": "192.0.2.8"}
    old = {"name": "onehop-lb1", "peerAddress": "192.0.2.7"}
    stale = {"name": "onehop-former", "peerAddress": "192.0.2.9"}
    present = {
        "bgpInstances": [
            {"name": "onehop", "peers": [old, theirs, stale]},
            {"name": "other", "peers": [{"name": "x"}]},
            {"name": "onehop"},
        ]
    }
    merged = with_other_hosts(whom.spec, present)

    assert [peer["name"] for peer in merged["bgpInstances"][0]["peers"]] == [
        "onehop-lb0",
        "onehop-lb1",
    ]
    assert with_other_hosts(whom.spec, {}) == whom.spec


@pytest.mark.parametrize(
    ("present", "wanted", "verdict"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": [{"b": 1, "default": 2}]}, {"a": [{"b": 1}]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": None}, {"a": {}}, False),
        ("x", "x", True),
    ],
)
def test_a_server_may_say_more_but_nothing_else(
    present: object,
    wanted: object,
    verdict: bool,  # noqa: FBT001  a parameter of the table above
) -> None:
    """Defaults that the server fills in are no difference."""
    assert says(present, wanted) is verdict
