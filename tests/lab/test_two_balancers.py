"""Two load balancers behind one router, IPv4 and IPv6; requests go on all the time."""

import asyncio
import errno
import math
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Iterable
from pathlib import Path

import pytest

from onehop.lab.world import fault, life
from onehop.lab.world.bird import announcers
from tests.e2e.waiting import until
from tests.lab.clients import Requests, clients, usual_flows
from tests.lab.traffic import Flow, Seen
from tests.lab.view import MOVE_S, View

pytestmark = [pytest.mark.root, pytest.mark.envoy, pytest.mark.slow]

_SPREAD_S = 1.0
"""The router learns of each address by itself."""
_BOTH = frozenset(("lb1", "lb2"))
_SERVICE = "/api/v1/namespaces/shop/services/echo-local"


def _flows() -> tuple[Flow, ...]:
    """Return clients of both families."""
    return (
        *usual_flows(),
        Flow(kind="fresh", address="2001:db8:113::a"),
        Flow(kind="keep-alive", address="2001:db8:113::a"),
    )


async def _announced(view: View, address: str, by: frozenset[str]) -> None:
    async def look() -> bool:
        return await announcers(view.world, address) == by

    await until(look, f"{address} is announced by {set(by)}", timeout_s=MOVE_S)


async def test_clients_are_spread_and_a_restart_costs_no_request(two: tuple[View, View]) -> None:
    """It withdraws its VIPs, serves on for a moment, and ends; then it is there again."""
    first, second = two
    async with clients(first.world, _flows()) as requests:
        await _announced(first, "203.0.113.10", _BOTH)
        await life.stop(first.world, "lb1")
        assert await announcers(first.world, "203.0.113.10") == {"lb2"}
        await life.start(first.world, "lb1")
        await _announced(first, "203.0.113.10", _BOTH)
        await first.until_direct()

    _none_failed_but_moved(requests, changes=2)
    assert {first.address, second.address} <= requests.saw()
    # Whoever kept a connection to the one that went has had to make another, once.
    assert requests.again <= sum(flow.clients for flow in _flows() if flow.kind == "keep-alive")


async def test_a_drained_host_keeps_serving_and_announces_nothing(two: tuple[View, View]) -> None:
    """`onehop drain` before maintenance, `onehop drain --undo` after it."""
    first, second = two
    config = str(first.world.state.home("lb1") / "onehop.yaml")
    async with clients(first.world, _flows()) as requests:
        await _onehop("drain", "-c", config)
        for address in ("203.0.113.10", "203.0.113.11", "2001:db8:113::a"):
            await _announced(first, address, frozenset(("lb2",)))
        network = (await first.snapshot()).network
        await _onehop("drain", "--undo", "-c", config)
        await _announced(first, "203.0.113.10", _BOTH)

    _none_failed_but_moved(requests, changes=2)
    assert network.is_draining
    assert network.announced == ()
    assert {first.address, second.address} <= requests.saw()


async def test_an_address_with_nothing_behind_it_is_withdrawn(two: tuple[View, View]) -> None:
    """Only that one; it is announced again as soon as a Pod is ready."""
    first, _ = two
    async with clients(first.world) as requests, first.world.cluster() as cluster:
        await _announced(first, "203.0.113.12", _BOTH)
        await cluster.patch(_SERVICE, {"spec": {"selector": {"app": "nobody"}}})
        await _announced(first, "203.0.113.12", frozenset())
        assert await announcers(first.world, "203.0.113.11") == _BOTH
        await cluster.patch(_SERVICE, {"spec": {"selector": {"app": "echo"}}})
        await _announced(first, "203.0.113.12", _BOTH)

    assert requests.failed == []


async def test_where_only_the_default_route_is_left_all_pods_are_behind_nodeports(
    two: tuple[View, View],
) -> None:
    """All at once: NodePorts that nobody has asked yet are better than none."""
    first, second = two
    async with clients(first.world, _flows()) as requests:
        for node in ("node1", "node2"):
            await fault.break_(first.world, "bgp", node)
        for view in two:
            await view.until_rungs("local", "node")
        told = await first.problem("NotDirect", "only a default route leads to 10.244.")
        for node in ("node1", "node2"):
            await fault.mend(first.world, "bgp", node)
        for view in two:
            await view.until_direct()

    assert requests.failed == []
    assert "node1, node2" in told.message
    for view in (first, second):
        assert view.moves() == {
            (node, to) for node in ("node1", "node2") for to in ("node", "local", "pod")
        }


def _none_failed_but_moved(requests: Requests, *, changes: int) -> None:
    """Check that no request failed, but for those which the router gave to another host half-way.

    A router that forwards by a hash of the packet alone moves connections whenever its set of next
    hops changes (RFC 2992, section 2), and the host that they come to knows nothing of them. A load
    balancer can do nothing about it: whoever is under way at that moment is lost, and nobody else.
    """
    failed = [each for each in requests.log if each.error]
    assert all(str(errno.ECONNRESET) in each.error for each in failed), requests.failed
    assert _moments(failed) <= changes, requests.failed
    assert len(failed) <= changes * sum(flow.clients for flow in _flows()), requests.failed


def _moments(failed: Iterable[Seen]) -> int:
    """Return how many moments it takes at least that each of these was under way at one of them."""
    count, last = 0, -math.inf
    for each in sorted(failed, key=lambda each: each.at + each.took_s):
        if each.at > last + _SPREAD_S:
            last = each.at + each.took_s
            count += 1
    return count


async def _onehop(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("onehop"), *argv, stdout=DEVNULL
    )
    assert await process.wait() == 0
