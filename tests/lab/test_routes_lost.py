"""Days on which routes to Pods are lost; requests go on all the time."""

import asyncio

import pytest

from onehop.lab.world import fault
from tests.lab.clients import clients
from tests.lab.view import View

pytestmark = [pytest.mark.root, pytest.mark.envoy, pytest.mark.slow]

_DOWN_AND_UP = ("node", "local", "pod")
"""The sample has Services of both traffic policies, so Pods go down to both lower rungs."""


def _moved(*nodes: str) -> set[tuple[str, str]]:
    return {(node, to) for node in nodes for to in _DOWN_AND_UP}


async def test_a_cut_session_moves_the_pods_of_its_node_and_no_request_fails(one: View) -> None:
    """Down at once with the cause told, up again once the route has stood for a while."""
    async with clients(one.world) as requests:
        await fault.break_(one.world, "bgp", "node1")
        await one.until_rungs("pod", "local", "node")
        told = await one.problem("NotDirect", "only a default route leads to 10.244.1.0/26")
        down = await one.problem("BgpSessionDown")
        event = await one.event("NotDirect", "only a default route leads to 10.244.1.0/26")
        await fault.mend(one.world, "bgp", "node1")
        await one.until_direct()

    assert requests.failed == []
    assert requests.again == 0
    assert one.moves() == _moved("node1")
    assert requests.saw() == {one.address, one.node_address("node1")}
    assert told.subject.namespace == "shop"
    assert down.subject.name == "node1"
    assert event["type"] == "Warning"
    await one.event("Direct", "Pods on node1 are reached directly again")


async def test_a_withdrawn_block_is_left_though_the_session_stands(one: View) -> None:
    """One /26 less: the Pods of that block go down, and all sessions stay up."""
    async with clients(one.world) as requests:
        await fault.break_(one.world, "route", "node2")
        await one.until_rungs("pod", "local", "node")
        missing = await one.problem("RouteMissing", "10.244.2.0/26")
        sessions = (await one.snapshot()).network.sessions
        await fault.mend(one.world, "route", "node2")
        await one.until_direct()

    assert requests.failed == []
    assert one.moves() == _moved("node2")
    assert {each.state for each in sessions} == {"established"}
    assert missing.subject.name == "node2"


async def test_a_route_that_a_hand_removes_comes_back_and_no_request_fails(one: View) -> None:
    """BIRD finds it missing when it compares; until then its Pods are behind the NodePort."""
    async with clients(one.world) as requests:
        await fault.break_(one.world, "kernel-route", "node3")
        await one.until_rungs("pod", "local", "node")
        await one.event("NotDirect", "only a default route leads to 10.244.3.0/26")
        await one.until_direct()

    assert requests.failed == []
    assert one.moves() == _moved("node3")


async def test_where_bgp_and_nodeport_are_gone_other_nodes_serve(one: View) -> None:
    """The node's NodePort is asked before anything is sent there, and it does not answer."""
    async with clients(one.world) as requests:
        await fault.break_(one.world, "nodeport", "node1")
        await fault.break_(one.world, "bgp", "node1")
        await one.until_rungs("pod", "local", "node")
        await asyncio.sleep(2)
        await fault.mend_all(one.world)
        await one.until_direct()

    assert requests.failed == []
    assert one.moves() == _moved("node1")
