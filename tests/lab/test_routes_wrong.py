"""Days on which routes lead elsewhere; requests go on all the time."""

import pytest

from onehop.lab.world import fault
from tests.lab.clients import clients
from tests.lab.view import View

pytestmark = [pytest.mark.root, pytest.mark.envoy, pytest.mark.slow]


async def test_a_node_that_announces_anothers_block_is_not_believed(one: View) -> None:
    """The filter refuses the route, the audit names the thief, and no Pod moves."""
    async with clients(one.world) as requests:
        await fault.break_(one.world, "hijack", "node1")
        told = await one.problem("RouteHijacked")
        refused = {each.name: each.refused for each in (await one.snapshot()).network.sessions}
        await fault.mend(one.world, "hijack", "node1")
        await one.until_direct()

    assert requests.failed == []
    assert requests.saw() == {one.address}
    assert one.moves() == set()
    assert "10.244.2.0/27" in told.message
    assert "node1" in told.message
    assert refused["node1"] == 1


async def test_a_route_by_hand_that_leads_to_another_node_is_not_walked(one: View) -> None:
    """It hides BIRD's, and the Pods of the block go down, until a hand takes it away again."""
    block, wrong = "10.244.1.0/26", one.node_address("node2")
    by_hand = (block, "via", wrong, "table", "111")
    async with clients(one.world) as requests:
        await one.world.exec(one.lb, "ip", "route", "replace", *by_hand)
        await one.until_rungs("pod", "local", "node")
        event = await one.event("NotDirect", f"{block} via {wrong} dev eth0 proto boot does not")
        audited = await one.problem("RouteHijacked", block)
        await one.world.exec(one.lb, "ip", "route", "del", *by_hand)
        await one.until_direct()

    assert requests.failed == []
    assert one.moves() == {("node1", to) for to in ("node", "local", "pod")}
    assert "does not lead to the node of 10.244.1.0/26" in event["message"]
    assert wrong in audited.message


async def test_a_wrong_route_to_a_single_pod_moves_that_one_only(one: View) -> None:
    """The other Pod of the same block is still reached directly."""
    astray, _ = (pod for pod in one.world.plan.pods if pod.node == "node2")
    wrong = one.node_address("node3")
    by_hand = (f"{astray.addresses[0]}/32", "via", wrong, "table", "111")
    async with clients(one.world) as requests:
        await one.world.exec(one.lb, "ip", "route", "add", *by_hand)
        rungs = await one.until_rungs("pod", "local", "node")
        await one.problem("NotDirect", f"{astray.addresses[0]}/32 via {wrong}")
        await one.world.exec(one.lb, "ip", "route", "del", *by_hand)
        await one.until_direct()

    assert requests.failed == []
    # Six pools of six Pods each lose one: two Services' pools of three go `local`.
    assert rungs == {"pod": 30, "local": 2, "node": 4}
