"""The drivers that the contract is held against, and how each is made ready for a test."""

import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias

from onehop.driver import Driver
from onehop.driver.envoy import EnvoyDriver, EnvoyOptions
from onehop.driver.haproxy import HaproxyDriver, HaproxyOptions
from onehop.driver.memory import MemoryDriver
from onehop.driver.vtm import VtmDriver, VtmOptions
from onehop.lab.vtm import VtmCluster, serve_vtm
from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY
from onehop.model.model import Row
from onehop.model.route import VirtualHost

OWNER: Final = "contract"
"""Whose the objects on an imitated unit are."""

RunningDriver: TypeAlias = Callable[[], AbstractAsyncContextManager[Driver]]


@asynccontextmanager
async def memory() -> AsyncGenerator[Driver]:
    """A Model in memory, which refuses what real data planes refuse."""
    driver = MemoryDriver(refuses=_edits_the_path)
    async with driver.running():
        yield driver


@asynccontextmanager
async def envoy() -> AsyncGenerator[Driver]:
    """A real Envoy."""
    with tempfile.TemporaryDirectory(prefix="onehop-") as folder:
        options = EnvoyOptions(
            state_dir=Path(folder) / "envoy", concurrency=1, drain_grace_s=0.2, stop_grace_s=0.0
        )
        driver = EnvoyDriver(options)
        async with driver.running():
            yield driver


@asynccontextmanager
async def haproxy() -> AsyncGenerator[Driver]:
    """A real HAProxy."""
    with tempfile.TemporaryDirectory(prefix="onehop-") as folder:
        options = HaproxyOptions(state_dir=Path(folder) / "haproxy", threads=1, stop_grace_s=0.0)
        driver = HaproxyDriver(options)
        async with driver.running():
            yield driver


@asynccontextmanager
async def vtm() -> AsyncGenerator[Driver]:
    """An imitated vTM; every unknown of a real one goes one way."""
    async with vtm_of(VtmCluster(ONE_WAY)) as driver:
        yield driver


@asynccontextmanager
async def vtm_other() -> AsyncGenerator[Driver]:
    """An imitated vTM; every unknown of a real one goes the other way."""
    async with vtm_of(VtmCluster(THE_OTHER_WAY)) as driver:
        yield driver


@asynccontextmanager
async def vtm_of(cluster: VtmCluster) -> AsyncGenerator[Driver]:
    """A driver before an imitated unit."""
    with tempfile.TemporaryDirectory(prefix="onehop-") as folder:
        password = Path(folder) / "password"
        password.write_text(cluster.password)
        async with serve_vtm(cluster) as urls:
            driver = VtmDriver(VtmOptions(urls=urls, owner=OWNER, password_file=password))
            async with driver.running():
                yield driver


DRIVERS: tuple[RunningDriver, ...] = (memory, envoy, haproxy, vtm, vtm_other)

TRAFFIC: tuple[RunningDriver, ...] = (envoy, haproxy)
"""Those that requests can be sent through here."""


def _edits_the_path(row: Row) -> str | None:
    if isinstance(row, VirtualHost):
        names = {name for each in row.routes for name, _ in each.request_headers.set}
        if ":path" in names:
            return "':path' may not be modified"
    return None
