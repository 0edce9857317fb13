"""HAProxy, or onehop itself, is killed at each step of an edit; what comes after it serves."""

import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from onehop.base import child
from onehop.driver.haproxy.process import children_of
from onehop.driver.haproxy.runtime import Runtime
from onehop.model.model import key_of
from tests.driver_envoy.world import (
    backend,
    forward,
    free_port,
    host,
    listener,
    members,
    route,
    until,
)
from tests.driver_haproxy.world import LONG_S, WEB, World, offered, serves, shop, world_with

pytestmark = pytest.mark.haproxy


@pytest.mark.parametrize("victim", ["master", "worker"])
@pytest.mark.parametrize("step", [1, 4])
async def test_a_death_at_any_step_of_an_apply_is_survived(
    victim: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a command of the runtime API, and while a reload is waited for."""
    port, more = free_port(), free_port()
    async with world_with(port, watch_s=60.0) as (world, one), backend("two") as two:
        for rows, where in (
            ((members(WEB, two.endpoint), host("b", route(forward(WEB)))), port),
            ((members(WEB, one.endpoint), listener(more)), more),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(Runtime, "ask", killing(world, victim, [step]))
                await offered(world, *{key_of(r): r for r in (*shop(port, one), *rows)}.values())
            name = "two" if where == port else "one"
            await until(partial(serves, where, name, "b" if where == port else "a"), LONG_S)
            await until(partial(serves, port, name), LONG_S)


@pytest.mark.parametrize("victim", ["master", "worker"])
async def test_a_death_at_each_command_of_an_edit_is_survived(
    victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after another, until an edit takes fewer; edits of servers and hosts, there and back."""
    monkeypatch.setattr(child, "_LONGEST_BACKOFF_S", 0.1)
    port, deaths, left = free_port(), 0, [0]
    dying: list[int] = []
    async with world_with(port, watch_s=60.0) as (world, one), backend("two") as two:
        there = (listener(port), WEB, members(WEB, two.endpoint), host("b", route(forward(WEB))))
        while left[0] <= 0:
            is_there, left = deaths % 2 == 0, [deaths + 1]
            with monkeypatch.context() as patch:
                patch.setattr(Runtime, "ask", killing(world, victim, left, dying))
                await offered(world, *(there if is_there else shop(port, one)))
            deaths += left[0] <= 0
            await until(partial(has_restarted, world, deaths), LONG_S)
            await until(partial(are_gone, dying), LONG_S)
            name, hostname = ("two", "b") if is_there else ("one", "a")
            await until(partial(serves, port, name, hostname), LONG_S)
            assert not await serves(port, name, "a" if is_there else "b")
    assert deaths >= COMMANDS


async def has_restarted(world: World, times: int) -> bool:
    """Tell whether HAProxy was started again as often as that."""
    return world.driver.describe()["restarts"] == str(times)


async def are_gone(pids: list[int]) -> bool:
    """Tell whether processes have ended: a worker answers for a moment without its master."""
    return not any(Path(f"/proc/{pid}/exe").exists() for pid in pids)


COMMANDS = 3
"""That an edit takes at least: of servers, of a host that comes and of one that goes."""


def killing(
    world: World, victim: str, left: list[int], dying: list[int] | None = None
) -> Callable[[Runtime, str], Coroutine[Any, Any, str]]:
    """Return a way to ask that kills somebody when nothing is left to be asked before.

    Args:
        world: whose HAProxy it is.
        victim: who is killed.
        left: how often may be asked until then; what is left of it is put there.
        dying: gets all who end by that.
    """
    ask = Runtime.ask

    async def asked(runtime: Runtime, command: str) -> str:
        left[0] -= 1
        if left[0] == 0 and world.driver.pid is not None:
            master = world.driver.pid
            workers = children_of(master)
            if dying is not None:
                dying.extend((master, *workers))
            os.kill(master if victim == "master" else workers[-1], signal.SIGKILL)
        return await ask(runtime, command)

    return asked


ROOT = Path(__file__).parents[2]
ALL_LIVES_S = 600.0


async def test_whoever_comes_after_a_killed_onehop_serves_what_is_wanted() -> None:
    """Before each command of the runtime API, each file that is written, each that is renamed."""
    with tempfile.TemporaryDirectory(prefix="onehop-") as folder:
        program = (sys.executable, "-m", "tests.driver_haproxy.dying", f"{folder}/haproxy")
        command = ("env", "-C", str(ROOT), f"TMPDIR={folder}", *program)
        done = await child.finish(command, timeout_s=ALL_LIVES_S, in_one=True)

    said = done.out.decode()
    assert done.code == os.EX_OK, said
    deaths = Counter(word for word in said.splitlines() if word.isalpha())
    assert deaths["draft"] == deaths["rename"] > 0
    assert deaths["add"] >= 1
    assert deaths["del"] >= 1
