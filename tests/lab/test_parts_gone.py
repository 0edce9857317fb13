"""Days on which programs and machines end; requests go on all the time."""

from datetime import datetime
from itertools import pairwise

import pytest

from onehop.control.config import ReachConfig
from onehop.lab.world import fault, growth, life
from tests.e2e.waiting import until
from tests.lab.clients import clients, now
from tests.lab.view import MOVE_S, View

pytestmark = [pytest.mark.root, pytest.mark.envoy, pytest.mark.slow]

_FLAPS = 10
_HOLD_S = 9.0
"""A neighbour that says nothing is given up after so long."""


async def test_a_killed_bird_comes_back_and_nobody_notices(one: View) -> None:
    """Its routes stay in the kernel, the router keeps our VIPs, and no Pod moves."""
    async with clients(one.world) as requests:
        await life.kill(one.world, one.lb, "bird")
        await until(lambda: any(one.said("bird_started")), "BIRD is back", timeout_s=MOVE_S)
        await one.until_direct()

    assert requests.failed == []
    assert requests.again == 0
    assert requests.saw() == {one.address}
    assert one.moves() == set()
    assert any(one.said("bird_died"))


async def test_the_ladder_needs_no_api(one: View) -> None:
    """A route is lost and comes back while the API is away; log and status tell of it."""
    async with clients(one.world) as requests:
        await fault.break_(one.world, "api")
        await fault.break_(one.world, "bgp", "node3")
        await one.until_rungs("pod", "local", "node")
        await one.problem("NotDirect", "10.244.3.0/26")
        await fault.mend(one.world, "bgp", "node3")
        await one.until_direct()
        assert one.world.record.faults != ()
        await fault.mend(one.world, "api")

    assert requests.failed == []
    assert one.moves() == {("node3", to) for to in ("node", "local", "pod")}
    why = {line["why"] for line in one.said("path_moved") if line["to"] == "node"}
    assert "only a default route leads to 10.244.3.0/26" in str(why)


async def test_a_node_joins_flaps_ten_times_and_leaves(one: View) -> None:
    """Its Pod is served directly once its route stands; the more it flaps, the later."""
    world = one.world
    async with clients(world) as requests:
        node = await growth.add_node(world)
        pod = await growth.add_pod(world, node)
        rung = f"Pods on {node} are reached by NodePort"
        await until(lambda: _has_moved(one, node), f"{pod.name} is served", timeout_s=MOVE_S)
        await one.until_direct()
        await _answers_directly(one, pod.name)
        for _ in range(_FLAPS):
            await fault.break_(world, "route", node)
            await _route(one, node, is_there=False)
            await fault.mend(world, "route", node)
            await _route(one, node, is_there=True)
        told = await one.problem("NotDirect", "has not been there for long enough")
        await growth.remove_node(world, node)
        await one.until_direct()

    assert requests.failed == []
    # When the Node ends before its Pod, the NodePorts of others stand in for that Pod.
    down = [line for line in one.said("path_moved") if line["to"] != "pod"]
    assert node in {line["node"] for line in down}
    assert [line for line in down if line["node"] != node and node not in line["why"]] == []
    assert rung in told.message
    ups = _promotions(one, node)
    for losses, (before, after) in enumerate(pairwise(ups), start=1):
        waited_s = (after - before).total_seconds()
        assert waited_s > ReachConfig().stable_s * 2 ** (losses - 1) / 2  # it is told a bit late
    assert pod.name not in {each.pod for each in requests.log[-50:]}


async def test_a_machine_that_dies_takes_no_more_along_than_what_it_was_sent(one: View) -> None:
    """Nobody says goodbye: what was sent to it is lost, all else is tried again elsewhere.

    Tried once, as is the default: where the second try meets another Pod of the dead machine, the
    client is told so by a 503. That is one in five of the few that it is tried for.
    """
    async with clients(one.world) as requests:
        await fault.break_(one.world, "link", "node2")
        died = now()
        down = await one.problem("BgpSessionDown", one.node_address("node2"))
        left = now()
        await fault.mend(one.world, "link", "node2")
        await one.until_direct()

    failed = [each for each in requests.log if each.error]
    told = [each for each in failed if "retried" in each.error]
    assert {each.error for each in failed if each not in told} <= {"TimeoutError"}
    assert len(failed) - len(told) <= 16
    assert len(told) <= 4
    assert not [each for each in failed if each.at > left]
    assert left - died < _HOLD_S + MOVE_S
    assert down.subject.name == "node2"


async def _route(one: View, node: str, *, is_there: bool) -> None:
    """Wait until the kernel has a route to a node's block, or has none."""
    block = one.world.plan.node(node).blocks[0]

    async def look() -> bool:
        table = await one.world.exec(one.lb, "ip", "route", "show", "table", "111")
        return (block in table.out) is is_there

    await until(look, f"{block} in the kernel: {is_there}", timeout_s=MOVE_S)


async def _answers_directly(one: View, pod: str) -> None:
    """Wait until a client is answered by a Pod, and the Pod has seen us and no node."""

    async def look() -> bool:
        url = "http://203.0.113.10/"
        done = await one.world.exec(
            "client", "curl", "-s", "--max-time", "2", "-H", "Host: lab", url
        )
        said = (f'"pod":"{pod}"', f'"saw":"{one.address}"')
        return all(part in done.out for part in said)

    await until(look, f"{pod} answers directly", timeout_s=MOVE_S)


def _promotions(one: View, node: str) -> list[datetime]:
    """Return when a node's Pods were reached directly, for the first time and after each loss."""
    lines = [line for line in one.said("path_moved") if line["node"] == node]
    befores = ({"to": ""}, *lines)
    return [
        datetime.fromisoformat(line["timestamp"])
        for before, line in zip(befores, lines, strict=False)
        if line["to"] == "pod" != before["to"]  # the Pods of one node may be told of in turn
    ]


def _has_moved(one: View, node: str) -> bool:
    return (node, "pod") in one.moves()
