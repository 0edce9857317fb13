"""A real HAProxy that dies, is too old, or cannot come up."""

import os
import signal
from pathlib import Path

import pytest

from onehop.base.errors import ConfigError
from onehop.driver.haproxy import HaproxyDriver, HaproxyOptions
from onehop.driver.haproxy.binary import find_haproxy, version_of
from tests.driver_envoy.world import (
    backend,
    forward,
    free_port,
    get,
    host,
    listener,
    members,
    pool,
    route,
    until,
)
from tests.driver_haproxy.world import World, haproxy

pytestmark = pytest.mark.haproxy


def children(pid: int) -> list[int]:
    """Return the workers of a master."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(each) for each in tasks.split()]


@pytest.mark.parametrize("victim", ["master", "worker"])
async def test_a_death_is_survived_with_what_was_told_last(victim: str) -> None:
    """By the runtime API as well: nothing is only in the memory of the dead."""
    port, web = free_port(), pool()
    async with backend("one") as one, backend("two") as two, haproxy() as world:
        await world.serve(web, members(web, one.endpoint), listener(port))
        await world.serve(
            *(web, members(web, one.endpoint), listener(port), host("*", route(forward(web))))
        )
        world.driver.set_endpoints(members(web, two.endpoint))
        await until(lambda: _answers(port, "two"))
        master = _pid(world)
        os.kill(master if victim == "master" else children(master)[-1], signal.SIGKILL)

        async def is_another() -> bool:
            return world.driver.describe()["restarts"] == "1"

        await until(is_another)
        await until(lambda: _answers(port, "two"))
        world.driver.set_endpoints(members(web, one.endpoint))
        await until(lambda: _answers(port, "one"))


async def test_nothing_is_left_when_it_is_over() -> None:
    """Neither a master nor a worker, which may end a moment after its master."""
    async with haproxy() as world:
        master = _pid(world)
        everybody = [master, *children(master)]
        assert len(everybody) == 2

    async def is_nobody_left() -> bool:
        return not any(Path(f"/proc/{pid}/exe").exists() for pid in everybody)

    await until(is_nobody_left)


async def test_workers_go_with_a_master_that_is_killed() -> None:
    """As they do when onehop is: the kernel kills the master, and the workers notice."""
    async with haproxy() as world:
        master = _pid(world)
        workers = children(master)
        os.kill(master, signal.SIGKILL)

        async def are_gone() -> bool:
            return not any(Path(f"/proc/{pid}/exe").exists() for pid in workers)

        await until(are_gone)


async def test_another_program_is_not_taken_for_a_haproxy() -> None:
    """The version is asked first."""
    assert "HAProxy version" in await version_of(find_haproxy("haproxy"))
    with pytest.raises(ConfigError, match="is not HAProxy"):
        await version_of(Path("/bin/echo"))
    with pytest.raises(ConfigError, match="install the package"):
        find_haproxy("no-such-program")


async def test_a_folder_that_cannot_be_used_is_a_fault_of_the_configuration() -> None:
    """The message names the key."""
    for folder in (Path("/proc/onehop"), Path("/tmp") / ("x" * 100), Path("/tmp/a b")):  # noqa: S108
        driver = HaproxyDriver(HaproxyOptions(state_dir=folder))
        with pytest.raises(ConfigError, match="state: "):
            async with driver.running():
                raise AssertionError


def _pid(world: World) -> int:
    return int(world.driver.describe()["pid"])


async def _answers(port: int, name: str) -> bool:
    try:
        return (await get(port, "a")).body == name
    except (ConnectionError, EOFError):
        return False
