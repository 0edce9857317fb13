"""Packets become hops."""

import subprocess

import pytest

from onehop.lab.bench.count import Count, added, node_rules, sender_rules
from onehop.lab.bench.way import DIRECT, LOCAL, NODE, TWO_TIERS, WAYS, Way


def test_straight_to_the_pod_is_one_hop() -> None:
    """Nothing is rewritten, and one link is crossed."""
    count = Count(sent=100, pod_in=100, wire=200)

    assert count.hops(has_edge=False) == 1
    assert count.links(has_edge=False) == 1
    assert count.translations == 0


def test_a_node_port_with_policy_local_is_two_hops() -> None:
    """One rewriting, and no further link: the node is on the way anyhow."""
    count = Count(sent=100, node_port=100, pod_in=100)

    assert count.hops(has_edge=False) == 2
    assert count.links(has_edge=False) == 1
    assert count.translations == 1


def test_a_second_node_is_a_hop_and_a_link_for_those_that_take_it() -> None:
    """Two thirds do with three nodes; source and destination are rewritten."""
    count = Count(sent=300, node_port=300, second=200, masqueraded=300, pod_in=300)

    assert count.hops(has_edge=False) == pytest.approx(2 + 2 / 3)
    assert count.links(has_edge=False) == pytest.approx(1 + 2 / 3)
    assert count.translations == 2


def test_two_tiers_are_up_to_four_hops() -> None:
    """Node port, the proxy's node, the proxy, the Pod; the proxy merges packets as it likes."""
    count = Count(
        sent=300, node_port=300, second=300, edge_in=300, edge_out=150, edge_link=150, pod_in=150
    )

    assert count.hops(has_edge=True) == 4
    assert count.links(has_edge=True) == 3


def test_what_a_waiting_proxy_sends_is_no_hop_of_others() -> None:
    """Two tiers' connections end while another way is counted."""
    count = Count(sent=100, pod_in=100, edge_in=1, edge_out=1)

    assert count.hops(has_edge=False) == 1


def test_nothing_sent_is_no_hop() -> None:
    """Rather than a division by zero."""
    assert Count().hops(has_edge=True) == 0
    assert Count().links(has_edge=False) == 0


def test_counts_add_up() -> None:
    """Each figure with its own."""
    assert added([Count(sent=1, wire=2), Count(sent=3)]) == Count(sent=4, wire=2)


def test_a_second_node_counts_by_the_translated_port() -> None:
    """It sees the Pod's port, or that of the proxy inside the cluster, never the node port."""
    assert DIRECT.ports == DIRECT.entry_ports
    assert set(NODE.ports) == {*NODE.node_ports, *DIRECT.ports}
    assert set(TWO_TIERS.ports) > {*TWO_TIERS.node_ports, *DIRECT.ports}
    assert not set(LOCAL.entry_ports) & set(NODE.entry_ports)


@pytest.mark.root
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_nftables_takes_the_rules(way: Way) -> None:
    """As `nft --check` says; nothing is carried out."""
    for rules in (sender_rules(way.entry_ports), node_rules(way.ports)):
        done = subprocess.run(
            ["nft", "--check", "-f", "-"], input=rules, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
