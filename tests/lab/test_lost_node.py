"""A node dies without a word: nobody says goodbye, nothing is refused, frames just vanish."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pytest

from onehop.lab.world import World, fault
from tests.e2e.waiting import until
from tests.lab.clients import clients, now, usual_flows
from tests.lab.held import Held
from tests.lab.view import View

pytestmark = [pytest.mark.root, pytest.mark.envoy, pytest.mark.slow]

_PROGRAM: Final = Path(__file__).with_name("held.py")
_END_S: Final = 10.0
_HOLD_S: Final = 9.0
_SILENT_HTTP_S: Final = 15.0
_SILENT_TCP_S: Final = 30.0
_LONGEST: Final = 1.5
"""So many times these, where ARP notices too: `render_silence` of Envoy's driver says why."""
_NODE_GRACE_S: Final = 40.0
_LATE_S: Final = 3.0
"""Timers of the kernel run late, and a machine may be busy."""


class Sessions:
    """Those that are held; `all` is there once they were let go."""

    def __init__(self) -> None:
        self.all: Sequence[Held] = ()

    def with_any(self, pods: set[str]) -> list[Held]:
        """Return those with these Pods."""
        return [each for each in self.all if each.pod in pods]


@contextlib.asynccontextmanager
async def held(world: World, *, every_s: float) -> AsyncGenerator[Sessions]:
    """Hold two dozen sessions with the sample's Service for TCP while the context lasts."""
    sessions = Sessions()
    argv = ("203.0.113.11", "5000", "24", str(every_s))
    process = await asyncio.create_subprocess_exec(
        *world.inside("client", sys.executable, str(_PROGRAM), *argv), stdin=PIPE, stdout=PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_END_S):
            assert await process.stdout.readline() == b"open\n"
        yield sessions
        async with asyncio.timeout(_END_S):
            said, _ = await process.communicate(b"")
        sessions.all = msgspec.json.decode(said, type=list[Held])
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _pods(world: World, node: str) -> set[str]:
    return {pod.name for pod in world.plan.pods if pod.node == node}


async def test_what_was_under_way_to_a_dead_node_ends_and_the_rest_goes_on(one: View) -> None:
    """Requests end after 15 s and sessions after 30 s; after BGP's hold time nobody waits."""
    flows = [
        msgspec.structs.replace(flow, patience_s=60.0)
        for flow in usual_flows()
        if flow.kind != "tcp"
    ]
    async with (
        clients(one.world, flows) as requests,
        held(one.world, every_s=0.5) as busy,
        held(one.world, every_s=0.0) as idle,
    ):
        began = now()
        await fault.break_(one.world, "link", "node2")
        broken = now()
        await one.until_rungs("pod", "local", "node")
        moved = now()
        await _unready(one, began + _NODE_GRACE_S + 2 * _LATE_S)
        # Kubernetes may be faster than sessions end; what ends too late shall say when.
        await asyncio.sleep(broken + 2 * _SILENT_TCP_S - now())

    slow = [each for each in requests.log if each.took_s > 1]
    failed = [each for each in slow if each.error]
    assert moved - began <= _HOLD_S + _LATE_S
    assert {each.error[:3] for each in failed} <= {"503"}
    assert len(requests.failed) == len(failed) <= sum(flow.clients for flow in flows)
    assert max(each.at for each in slow) <= moved
    assert requests.slowest_s <= _LONGEST * _SILENT_HTTP_S + _LATE_S
    lost = _pods(one.world, "node2")
    for sessions in (busy, idle):
        assert sessions.with_any(lost)
        for each in sessions.all:
            assert (each.ended_at is not None) == (each.pod in lost)
            assert (each.ended_at or 0) <= broken + _LONGEST * _SILENT_TCP_S + _LATE_S


async def _unready(view: View, deadline: float) -> None:
    """Wait until Kubernetes has given the node up too, and its Pods are in no pool."""

    async def look() -> bool:
        return (await view.rungs()).keys() == {"pod"}

    await until(look, "the Pods of the node are gone", timeout_s=deadline - now())


async def test_sessions_survive_when_only_bgp_is_lost(one: View) -> None:
    """New work leaves the rung, but nobody closes what still works."""
    async with held(one.world, every_s=0.5) as busy, held(one.world, every_s=0.0) as idle:
        await fault.break_(one.world, "bgp", "node2")
        await one.until_rungs("pod", "local", "node")
        await fault.mend(one.world, "bgp", "node2")
        await one.until_direct()

    assert busy.with_any(_pods(one.world, "node2"))
    assert [each for each in (*busy.all, *idle.all) if each.ended_at] == []
