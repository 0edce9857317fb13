"""Days on which routes lead elsewhere; requests go on all the time."""

import pytest

from onehop.lab.world import fault
from tests.lab.clients import Requests, clients, now, usual_flows
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
        began = now()
        await one.world.exec(one.lb, "ip", "route", "replace", *by_hand)
        await one.until_rungs("pod", "local", "node")
        moved = now()
        event = await one.event("NotDirect", f"{block} via {wrong} dev eth0 proto boot does not")
        audited = await one.problem("RouteHijacked", block)
        await one.world.exec(one.lb, "ip", "route", "del", *by_hand)
        await one.until_direct()

    _none_failed_but_astray(requests, began, moved)
    assert one.moves() == {("node1", to) for to in ("node", "local", "pod")}
    assert "does not lead to the node of 10.244.1.0/26" in event["message"]
    assert wrong in audited.message


async def test_a_wrong_route_to_a_single_pod_moves_that_one_only(one: View) -> None:
    """The other Pod of the same block is still reached directly."""
    astray, _ = (pod for pod in one.world.plan.pods if pod.node == "node2")
    wrong = one.node_address("node3")
    by_hand = (f"{astray.addresses[0]}/32", "via", wrong, "table", "111")
    async with clients(one.world) as requests:
        began = now()
        await one.world.exec(one.lb, "ip", "route", "add", *by_hand)
        rungs = await one.until_rungs("pod", "local", "node")
        moved = now()
        await one.problem("NotDirect", f"{astray.addresses[0]}/32 via {wrong}")
        await one.world.exec(one.lb, "ip", "route", "del", *by_hand)
        await one.until_direct()

    _none_failed_but_astray(requests, began, moved)
    # Six pools of six Pods each lose one: two Services' pools of three go `local`.
    assert rungs == {"pod": 30, "local": 2, "node": 4}


def _none_failed_but_astray(requests: Requests, began: float, moved: float) -> None:
    """Check that no request failed, but for those whose connection opened while the way was wrong.

    The wrong node forwards the first packet, the Pod answers past it, and what follows is invalid
    to the node's connection tracking and dropped, as kube-proxy has it. To the load balancer such
    a connection is open. That is a matter of the milliseconds until the Pods have moved, in which
    each client has one request under way.
    """
    failed = [each for each in requests.log if each.error]
    assert {each.error for each in failed} <= {"TimeoutError"}, requests.failed
    assert len(failed) <= sum(flow.clients for flow in usual_flows()), requests.failed
    assert all(each.at <= moved and each.at + each.took_s >= began for each in failed)
