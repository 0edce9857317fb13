"""What the tests of the HAProxy driver share: a driver that runs, and HAProxy's own parser."""

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from onehop.base.errors import DriverUnavailable
from onehop.driver import Receipt
from onehop.driver.haproxy import HaproxyDriver, HaproxyOptions
from onehop.driver.haproxy.binary import find_haproxy
from onehop.driver.haproxy.disk import Disk, Snapshot
from onehop.driver.haproxy.render import render, why_not
from onehop.model.model import Model, Row, model_of
from tests.driver_envoy.world import (
    Backend,
    backend,
    bring_to,
    forward,
    get,
    host,
    listener,
    members,
    pool,
    route,
)

WEB: Final = pool()
LONG_S: Final = 30.0
"""For what must come, however slow the machine is."""


class World(NamedTuple):
    """A driver that runs, and the way to bring it to a model."""

    driver: HaproxyDriver

    async def serve(self, *rows: Row) -> None:
        """Make the rows all that is served; none of them is refused."""
        assert (await self.offer(*rows)).refused == ()

    async def offer(self, *rows: Row) -> Receipt:
        """Make the rows all that is wanted."""
        return await bring_to(self.driver, model_of(rows))


@asynccontextmanager
async def haproxy(**fields: Any) -> AsyncGenerator[World]:
    """Run a HAProxy with one thread, in a directory whose path is short enough for a socket."""
    fields = {"threads": 1, "stop_grace_s": 0.0, "listener_retry_s": 0.1, **fields}
    with tempfile.TemporaryDirectory(prefix="onehop-") as folder:
        options: dict[str, Any] = {"state_dir": Path(folder) / "haproxy", **fields}
        driver = HaproxyDriver(HaproxyOptions(**options))
        async with driver.running():
            yield World(driver)


@asynccontextmanager
async def world_with(port: int, **options: Any) -> AsyncGenerator[tuple[World, Backend]]:
    """Run a HAProxy that serves one host."""
    options = {"watch_s": 0.05, "files_after_s": 0.0, **options}
    async with backend("one") as one, haproxy(**options) as world:
        await world.serve(*shop(port, one))
        yield world, one


def shop(port: int, one: Backend) -> tuple[Row, ...]:
    """Return a small shop."""
    return (listener(port), WEB, members(WEB, one.endpoint), host("a", route(forward(WEB))))


async def serves(port: int, name: str, hostname: str = "a") -> bool:
    """Tell whether a host is answered by a backend."""
    try:
        async with asyncio.timeout(2):
            return (await get(port, hostname)).body == name
    except (ConnectionError, EOFError, TimeoutError):
        return False


async def offered(world: World, *rows: Row) -> None:
    """Want it until it is there, as the pipeline does."""
    async with asyncio.timeout(LONG_S):
        while True:
            try:
                assert (await world.offer(*rows)).refused == ()
            except DriverUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


def complaints(model: Model) -> str:
    """Return what HAProxy's parser has against a model; rows that are refused are left out."""
    with tempfile.TemporaryDirectory(prefix="onehop-") as folder:
        options = HaproxyOptions(state_dir=Path(folder), is_privileged=True, max_connections=100)
        able = model_of(row for row in model.rows() if why_not(row, options) is None)
        Disk(options).write(Snapshot(1, render(able, options), f"{folder}/run-1.sock"))
        checked = subprocess.run(
            [find_haproxy("haproxy"), "-c", "-f", options.config_file],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    return "" if checked.returncode == 0 else checked.stderr or "refused"
