"""What tunnels come to on our device, and what the cluster is told of us: pure, no kernel."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from onehop.base.errors import ConfigError
from onehop.model.address import Cidr, IpAddr
from onehop.model.network import Tunnel, vtep_mac
from onehop.net.rtnetlink.neighbor import Entry
from onehop.net.table import PROTOCOL, TABLE, TUNNEL_METRIC
from onehop.net.vxlan.entries import TunnelFaultReason, diff_entries, key_of, want_tunnels
from onehop.net.vxlan.manifest import OverlayKind, node_manifest
from onehop.net.vxlan.vtep import Vtep

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "without-bgp.md"
DEVICE = 7
IPV4 = Vtep(
    vni=1,
    port=8472,
    local=IpAddr("192.0.2.1"),
    inner=IpAddr("10.244.9.0"),
    mac="02:00:00:00:00:09",
)
IPV6 = Vtep(
    vni=1,
    port=8472,
    local=IpAddr("2001:db8::1"),
    inner=IpAddr("fd00:9::"),
    mac="02:00:00:00:06:09",
)


def tunnel(number: int, **changes: Any) -> Tunnel:
    made = Tunnel(
        node=f"node{number}",
        vni=1,
        port=8472,
        outer=IpAddr(f"192.0.2.{number}"),
        inner=IpAddr(f"10.244.{number}.0"),
        mac=f"02:00:00:00:00:{number:02x}",
        prefixes=(Cidr(f"10.244.{number}.0/24"),),
    )
    return msgspec.structs.replace(made, **changes)


def test_a_node_is_one_entry_one_neighbour_and_a_route_a_block() -> None:
    """As `bridge fdb`, `ip neigh` and `ip route ... onlink` would have it."""
    prefixes = (Cidr("10.244.2.0/24"), Cidr("10.250.0.0/24"))
    wanted = want_tunnels([tunnel(2, prefixes=prefixes)], IPV4, DEVICE)

    mac, outer, inner = "02:00:00:00:00:02", IpAddr("192.0.2.2"), IpAddr("10.244.2.0")
    assert list(wanted.entries.values()) == [Entry(True, mac, outer), Entry(False, mac, inner)]
    assert wanted.routes.keys() == set(prefixes)
    for route in wanted.routes.values():
        assert (route.via, route.device, route.on_link) == (inner, DEVICE, True)
        assert (route.table, route.protocol, route.metric) == (TABLE, PROTOCOL, TUNNEL_METRIC)
        assert route.source == IPV4.inner
    assert wanted.faults == ()


@pytest.mark.parametrize(
    "changes", [{"outer": IPV4.local}, {"inner": IPV4.inner, "outer": "192.0.2.77"}]
)
def test_our_own_node_object_is_no_node(changes: dict[str, Any]) -> None:
    """A tunnel to ourselves is neither made nor reported, even if we moved and it did not yet."""
    wanted = want_tunnels([tunnel(9, **changes)], IPV4, DEVICE)

    assert (wanted.entries, wanted.routes, wanted.faults) == ({}, {}, ())


@pytest.mark.parametrize(
    "changes", [{"vni": 2}, {"port": 4789}, {"outer": "2001:db8::2", "inner": "fd00:2::"}]
)
def test_a_tunnel_of_another_overlay_is_not_ours(changes: dict[str, Any]) -> None:
    """Another VNI, port or family cannot be reached from our device."""
    wanted = want_tunnels([tunnel(2, **changes)], IPV4, DEVICE)

    assert wanted.entries == {}
    assert [fault.reason for fault in wanted.faults] == [TunnelFaultReason.OTHER_OVERLAY]


def test_the_other_family_of_a_node_is_no_fault() -> None:
    """It is the other overlay's affair, where a node has an end in each."""
    other = tunnel(2, outer=IpAddr("2001:db8::2"), inner=IpAddr("fd00:2::"), prefixes=())

    assert want_tunnels([tunnel(2), other], IPV4, DEVICE).faults == ()


@pytest.mark.parametrize(
    "field",
    [{"mac": "02:00:00:00:00:02"}, {"inner": "10.244.2.0"}, {"prefixes": ("10.244.2.0/24",)}],
)
def test_a_node_that_claims_what_another_has_is_left_out(field: dict[str, Any]) -> None:
    """Half of a node would lead its packets to the other one."""
    wanted = want_tunnels([tunnel(2), tunnel(3, **field)], IPV4, DEVICE)

    assert wanted.routes.keys() == {"10.244.2.0/24"}
    (fault,) = wanted.faults
    assert (fault.node, fault.reason) == ("node3", TunnelFaultReason.CLAIMED_TWICE)
    assert "'node2'" in fault.detail


ENTRIES = st.builds(
    Entry,
    st.booleans(),
    st.sampled_from(["02:00:00:00:00:01", "02:00:00:00:00:02"]),
    st.sampled_from([IpAddr("10.0.0.1"), IpAddr("10.0.0.2"), IpAddr("192.0.2.1")]),
)
TABLES = st.lists(ENTRIES, unique_by=key_of).map(lambda es: {key_of(e): e for e in es})


@given(TABLES, TABLES)
def test_changes_lead_from_any_entries_to_any_other(
    have: dict[str, Entry], want: dict[str, Entry]
) -> None:
    """What stays is never removed, and a MAC is findable for as long as a neighbour names it."""
    changes = diff_entries(list(have.values()), want)

    seen = dict(have)
    for entry in changes.put:
        assert seen.get(key_of(entry)) != entry
        seen[key_of(entry)] = entry
    for entry in changes.remove:
        assert key_of(entry) not in want
        assert seen.pop(key_of(entry)) == entry
    assert seen == want
    assert [entry.is_forwarding for entry in changes.put] == sorted(
        (entry.is_forwarding for entry in changes.put), reverse=True
    )
    assert [entry.is_forwarding for entry in changes.remove] == sorted(
        entry.is_forwarding for entry in changes.remove
    )


def test_a_device_name_fits_whatever_the_vni() -> None:
    """IFNAMSIZ is 16, with the final zero; the two families have a name each."""
    last = (1 << 24) - 1
    names = {msgspec.structs.replace(vtep, vni=last).device for vtep in (IPV4, IPV6)}

    assert names == {"onehop.16777215", "oh6.16777215"}
    assert all(len(name) <= 15 for name in names)


def test_the_mac_of_a_node_is_the_one_calico_computes() -> None:
    """`printf node1 | sha1sum`, and the letter f before it: a unicast MAC of our own making."""
    assert vtep_mac("node1") == "66:f9:37:c3:7e:94"
    assert vtep_mac("node1", ipv6=True) != vtep_mac("node1")


def test_flannel_is_told_of_us_by_a_node_object() -> None:
    """All that flanneld turns into a lease, and nothing that would bring Pods or traffic to it."""
    cidrs = [Cidr("10.244.9.0/24"), Cidr("fd00:9::/64")]
    text = node_manifest("lb1", [IPV4, IPV6], kind=OverlayKind.FLANNEL, pod_cidrs=cidrs)

    node = yaml.safe_load(text)
    assert node["metadata"]["annotations"] == {
        "flannel.alpha.coreos.com/kube-subnet-manager": "true",
        "flannel.alpha.coreos.com/backend-type": "vxlan",
        "flannel.alpha.coreos.com/backend-data": '{"VNI":1,"VtepMAC":"02:00:00:00:00:09"}',
        "flannel.alpha.coreos.com/public-ip": "192.0.2.1",
        "flannel.alpha.coreos.com/backend-v6-data": '{"VNI":1,"VtepMAC":"02:00:00:00:06:09"}',
        "flannel.alpha.coreos.com/public-ipv6": "2001:db8::1",
    }
    assert node["spec"]["podCIDR"] == cidrs[0]
    assert node["spec"]["podCIDRs"] == cidrs
    assert node["spec"]["unschedulable"] is True
    assert [taint["effect"] for taint in node["spec"]["taints"]] == ["NoSchedule"]
    assert "node.kubernetes.io/exclude-from-external-load-balancers" in node["metadata"]["labels"]


def test_calico_is_told_of_us_by_a_node_object() -> None:
    """Of Calico the block is its IPAM's business, so the object has no podCIDR."""
    node = yaml.safe_load(node_manifest("lb1", [IPV4, IPV6], kind=OverlayKind.CALICO))

    assert node["metadata"]["annotations"] == {
        "projectcalico.org/IPv4Address": "192.0.2.1/32",
        "projectcalico.org/IPv4VXLANTunnelAddr": "10.244.9.0",
        "projectcalico.org/VXLANTunnelMACAddr": "02:00:00:00:00:09",
        "projectcalico.org/IPv6Address": "2001:db8::1/128",
        "projectcalico.org/IPv6VXLANTunnelAddr": "fd00:9::",
        "projectcalico.org/VXLANTunnelMACAddrV6": "02:00:00:00:06:09",
    }
    assert "podCIDR" not in node["spec"]


def test_the_guide_prints_what_we_would() -> None:
    """Whoever copies a Node object from it gets what the tests have tried."""
    text = GUIDE.read_text(encoding="utf-8")
    printed = [yaml.safe_load(part.partition("END\n")[0]) for part in text.split("<<'END'\n")[1:]]
    flannel = msgspec.structs.replace(IPV4, local=IpAddr("192.0.2.10"))
    calico = msgspec.structs.replace(flannel, inner=IpAddr("10.244.200.1"))
    cidrs = [Cidr("10.244.9.0/24")]

    assert printed == [
        yaml.safe_load(text)
        for text in (
            node_manifest("onehop-lb1", [flannel], kind=OverlayKind.FLANNEL, pod_cidrs=cidrs),
            node_manifest("onehop-lb1", [calico], kind=OverlayKind.CALICO),
        )
    ]


@pytest.mark.parametrize(
    ("cidrs", "message"),
    [((), "name one"), ((Cidr("10.244.8.0/24"),), "sends answers to 10.244.8.0")],
)
def test_flannel_must_send_answers_to_our_inner_address(
    cidrs: tuple[Cidr, ...], message: str
) -> None:
    """It takes the first address of the podCIDR, whatever we would like."""
    with pytest.raises(ConfigError, match=message):
        node_manifest("lb1", [IPV4], kind=OverlayKind.FLANNEL, pod_cidrs=cidrs)
