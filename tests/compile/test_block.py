"""Which node a prefix belongs to, by which kind of object, and at what price."""

from collections.abc import Callable
from typing import Any

import pytest

from onehop.cluster import ClusterObject, ref_of
from onehop.compile.block import BLOCKS, NODE_HOPS
from onehop.compile.options import AllocationSource, Options, TunnelKind
from onehop.compile.sheet import Cell, Derived, Reader
from onehop.model.address import Cidr
from onehop.model.network import Block
from onehop.model.problem import Reason
from tests.compile.plugins import affinity, cilium_node, compiled, node

EVERY_KIND: tuple[ClusterObject, ...] = (
    node("n1", "192.168.0.1", cidrs=("10.1.0.0/24",)),
    cilium_node("n1", "10.2.0.0/24"),
    affinity("10.3.0.0/26", "n1"),
)


def blocks(*items: ClusterObject, options: Options | None = None) -> dict[str, tuple[str, ...]]:
    """Return node and hops by prefix."""
    network = compiled(options or Options(), *items).network()
    return {block.prefix: (block.node, *block.hops) for block in network.blocks}


@pytest.mark.parametrize(
    ("allocation", "prefix"),
    [
        (AllocationSource.AUTO, "10.3.0.0/26"),
        (AllocationSource.CALICO, "10.3.0.0/26"),
        (AllocationSource.CILIUM, "10.2.0.0/24"),
        (AllocationSource.NODES, "10.1.0.0/24"),
    ],
)
def test_one_kind_counts(allocation: AllocationSource, prefix: str) -> None:
    """Many clusters fill in podCIDRs and do not use them, so kinds are never mixed."""
    assert blocks(*EVERY_KIND, options=Options(allocation=allocation)) == {
        prefix: ("n1", "192.168.0.1")
    }


def test_auto_goes_down_the_kinds_as_they_go() -> None:
    """Calico's blocks if there are any, else Cilium's nodes, else the nodes' podCIDRs."""
    compiler = compiled(Options(), *EVERY_KIND)
    seen = [compiler.network().blocks[0].prefix]
    for item in EVERY_KIND[:0:-1]:
        compiler.remove(ref_of(item))
        assert compiler.settle_endpoints().network
        seen += [block.prefix for block in compiler.network().blocks]

    assert seen == ["10.3.0.0/26", "10.2.0.0/24", "10.1.0.0/24"]


@pytest.mark.parametrize(
    "unconfirmed",
    [
        affinity("10.0.0.0/26", "n1", state="pending"),
        affinity("10.0.0.0/26", "n1", state="pendingDeletion"),
        affinity("10.0.0.0/26", "n1", deleted="true"),
        affinity("10.0.0.0/26", "n1", deleted=True),
        affinity("10.0.0.0/26", "load-balancer", type="virtual"),
        affinity("nonsense", "n1"),
    ],
    ids=repr,
)
def test_only_confirmed_blocks_of_nodes_are_blocks(unconfirmed: ClusterObject) -> None:
    """What is on its way in or out, or no node's, says nothing of where addresses are."""
    assert blocks(unconfirmed, options=Options(allocation=AllocationSource.CALICO)) == {}


def test_a_dual_stack_node_is_reached_by_the_block_s_family() -> None:
    """A next hop of the other family proves nothing about a block."""
    found = blocks(
        node("n1", "192.168.0.1", "fd00:1::1", "bad", cidrs=("10.0.0.0/24", "fd00::/64", "x"))
    )

    assert found == {"10.0.0.0/24": ("n1", "192.168.0.1"), "fd00::/64": ("n1", "fd00:1::1")}


def test_calico_s_own_address_of_a_node_is_a_hop_as_well() -> None:
    """BIRD on a node with two networks may speak on the other one."""
    found = blocks(
        node("n1", "192.168.0.1", IPv4Address="172.16.0.1/24"), affinity("10.0.0.0/26", "n1")
    )

    assert found == {"10.0.0.0/26": ("n1", "192.168.0.1", "172.16.0.1")}


def test_tunnel_ends_are_hops_only_where_an_overlay_was_joined() -> None:
    """Else a route by somebody's tunnel device leads nowhere from here."""
    items = (node("n1", "192.168.0.1", cidrs=("10.0.0.0/24",), IPv4VXLANTunnelAddr="10.9.0.1"),)
    hops = {
        kind: blocks(*items, options=Options(tunnel=kind))["10.0.0.0/24"][1:] for kind in TunnelKind
    }

    assert hops == {
        TunnelKind.NONE: ("192.168.0.1",),
        TunnelKind.FLANNEL: ("192.168.0.1", "10.0.0.0"),
        TunnelKind.CALICO: ("192.168.0.1", "10.9.0.1"),
    }


def test_a_block_outlives_its_node_without_a_way_to_it() -> None:
    """Nothing proves a way to a node that nobody knows."""
    assert blocks(affinity("10.0.0.0/26", "gone")) == {"10.0.0.0/26": ("gone",)}


def test_a_node_that_takes_no_traffic_has_its_blocks() -> None:
    """Its Pods' addresses are where they are."""
    taint = "ToBeDeletedByClusterAutoscaler"

    assert blocks(node("n1", "192.168.0.1", cidrs=("10.0.0.0/24",), taint=taint)) == {
        "10.0.0.0/24": ("n1", "192.168.0.1")
    }


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_owners_the_older_one_counts_and_the_other_hears_of_it(
    order: tuple[int, int],
) -> None:
    """Traffic for a prefix cannot go to two nodes; whatever order the API lists them in."""
    pair = (
        affinity("10.0.0.0/26", "n1", created="2024-01-02T00:00:00Z"),
        affinity("10.0.0.0/26", "n2", created="2024-01-01T00:00:00Z"),
    )
    compiler = compiled(Options(), *(pair[index] for index in order))
    (problem,) = compiler.problems()

    assert [block.node for block in compiler.network().blocks] == ["n2"]
    assert problem.subject == ref_of(pair[0])
    assert problem.reason is Reason.CONFLICT
    assert "n2's already by BlockAffinity/n2-10-0-0-0-26" in problem.message


@pytest.mark.parametrize("source", ["nodes", "cilium"])
def test_every_kind_can_contradict_itself(source: str) -> None:
    """Two nodes with one podCIDR: a cluster restored from two backups."""
    pair: tuple[ClusterObject, ...] = (
        (node("n1", cidrs=("10.0.0.0/24",)), node("n2", cidrs=("10.0.0.0/24",)))
        if source == "nodes"
        else (cilium_node("n1", "10.0.0.0/24"), cilium_node("n2", pooled=("10.0.0.0/24",)))
    )
    compiler = compiled(Options(), *pair)

    assert [problem.subject.name for problem in compiler.problems()] == ["n2"]


def test_two_claims_of_the_same_node_are_no_conflict() -> None:
    """Calico may leave an old name of the same affinity behind."""
    compiler = compiled(
        Options(), affinity("10.0.0.0/26", "n1"), affinity("10.0.0.0/26", "n1", name="old")
    )

    assert compiler.problems() == ()
    assert compiler.network().blocks == (Block(prefix=Cidr("10.0.0.0/26"), node="n1"),)


def test_one_more_block_or_label_recomputes_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Clusters have thousands of blocks and nodes, and both change all day."""
    items = [node(f"n{n}", f"192.168.0.{n}") for n in range(1, 5)]
    held = [affinity(f"10.0.0.{64 * n}/26", f"n{n + 1}") for n in range(4)]
    compiler = compiled(Options(), *items, *held)
    computed = [*_watched(monkeypatch, BLOCKS), *_watched(monkeypatch, NODE_HOPS)]

    compiler.put(affinity("10.0.1.0/26", "n1"))
    compiler.settle()
    first = [list(keys) for keys in computed]
    compiler.put(node("n1", "192.168.0.1", Whatever="new"))
    outcome = compiler.settle()

    assert first == [["10.0.1.0/26"], []]
    assert [list(map(str, keys)) for keys in computed] == [["10.0.1.0/26"], ["Node/n1"]]
    assert not outcome.network


def _watched(monkeypatch: pytest.MonkeyPatch, table: Derived[Any, Any]) -> list[list[Any]]:
    """Write down which cells of a table are computed from now on."""
    keys: list[Any] = []
    compute: Callable[[Reader, Any], Cell[Any]] = table.compute

    def noting(reader: Reader, key: Any) -> Cell[Any]:
        keys.append(key)
        return compute(reader, key)

    monkeypatch.setattr(table, "compute", noting)
    return [keys]
