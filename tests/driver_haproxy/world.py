"""What the tests of the HAProxy driver share: a driver that runs, and HAProxy's own parser."""

import subprocess
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from onehop.driver import Receipt
from onehop.driver.haproxy import HaproxyDriver, HaproxyOptions
from onehop.driver.haproxy.binary import find_haproxy
from onehop.driver.haproxy.disk import Disk, Snapshot
from onehop.driver.haproxy.render import render, why_not
from onehop.model.model import Model, Row, model_of
from tests.driver_envoy.world import bring_to


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
