"""The plan of a lab is a pure function of its spec, and its addresses never collide."""

import ipaddress
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.lab.world import plan as plans
from onehop.lab.world.link import wirings
from onehop.lab.world.plan import NODE_NET, POD_NET, Plan, make_plan
from onehop.lab.world.spec import MOST_LBS, MOST_PODS_OF_A_NODE, Spec, Underlay
from onehop.model.address import IpAddr, is_ipv6


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Return any spec, of a size that can be planned in no time."""
    nodes = draw(st.integers(1, 40))
    return Spec(
        nodes=nodes,
        pods=draw(st.integers(0, min(nodes * MOST_PODS_OF_A_NODE, 80))),
        lbs=draw(st.integers(1, MOST_LBS)),
        ipv6=draw(st.booleans()),
        network=draw(st.sampled_from(Underlay)),
    )


@given(specs())
def test_no_two_have_the_same_address_or_name(spec: Spec) -> None:
    """Neither hosts nor Pods."""
    plan = make_plan(spec)
    addresses = list(_addresses(plan))

    assert len(set(addresses)) == len(addresses)
    assert len(set(plan.everybody())) == len(plan.everybody())


@given(specs())
def test_a_pod_has_addresses_of_its_nodes_blocks_and_the_blocks_are_apart(spec: Spec) -> None:
    """So a route to a block is a route to the Pods of one node."""
    plan = make_plan(spec)
    blocks = {node.name: [ipaddress.ip_network(b) for b in node.blocks] for node in plan.nodes}

    for pod in plan.pods:
        for address, block in zip(pod.addresses, blocks[pod.node], strict=True):
            assert ipaddress.ip_address(address) in block
    every = [block for of_node in blocks.values() for block in of_node]
    assert not any(a.version == b.version and a.overlaps(b) for a, b in combinations(every, 2))


@given(specs())
def test_everything_lies_in_the_network_it_is_of(spec: Spec) -> None:
    """Hosts in the nodes' network, podCIDRs in the Pod network, blocks in podCIDRs."""
    plan = make_plan(spec)
    for host in (plan.router, plan.api, *plan.lbs, *(node.host for node in plan.nodes)):
        for address in host.addresses:
            assert ipaddress.ip_address(address) in ipaddress.ip_network(NODE_NET[is_ipv6(address)])
    for node in plan.nodes:
        for cidr, block in zip(node.pod_cidrs, node.blocks, strict=True):
            assert _lies_in(block, cidr)
            assert _lies_in(cidr, POD_NET[":" in cidr])


@given(specs())
def test_pods_are_spread_evenly(spec: Spec) -> None:
    """No node has two Pods more than another."""
    plan = make_plan(spec)
    counts = [sum(pod.node == node.name for pod in plan.pods) for node in plan.nodes]

    assert max(counts) - min(counts) <= 1


@given(specs())
def test_every_network_is_wired_once_and_nothing_else_is(spec: Spec) -> None:
    """Each namespace is wired in some stage, and none that is not of the lab."""
    plan = make_plan(spec)
    wired = {wiring.who for stage in wirings(plan) for wiring in stage}

    assert wired == set(plan.everybody())


@given(specs(), st.data())
def test_a_node_that_comes_after_another_has_gone_takes_its_place(
    spec: Spec, data: st.DataObject
) -> None:
    """Names and addresses stay apart whatever comes and goes."""
    plan = make_plan(spec)
    gone = data.draw(st.sampled_from(plan.nodes)).name

    later = plans.with_node(plans.without_node(plan, gone))

    assert {node.name for node in later.nodes} == {node.name for node in plan.nodes}
    assert not any(pod.node == gone for pod in later.pods)
    addresses = list(_addresses(plans.with_pod(later)))
    assert len(set(addresses)) == len(addresses)


@pytest.mark.parametrize(
    "wrong",
    [{"nodes": 0}, {"lbs": 4}, {"pods": 181}, {"name": "has-dash"}, {"name": "UPPER"}, {"asn": 0}],
)
def test_a_lab_of_an_impossible_size_is_refused(wrong: dict[str, Any]) -> None:
    """With a message that says what may be."""
    with pytest.raises(ValueError, match=r"allowed is|a letter"):
        Spec(**wrong)


def _addresses(plan: Plan) -> Iterator[IpAddr]:
    for host in (plan.client, plan.router, plan.api, *plan.lbs, *(n.host for n in plan.nodes)):
        yield from host.addresses
    for pod in plan.pods:
        yield from pod.addresses


def _lies_in(inner: str, outer: str) -> bool:
    small, large = ipaddress.ip_network(inner), ipaddress.ip_network(outer)
    return small.version == large.version and small[0] in large and small[-1] in large
