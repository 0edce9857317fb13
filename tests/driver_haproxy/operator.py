"""A HAProxy as an operator runs it: theirs, with a frontend of its own, and our folder beside."""

import asyncio
import os
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from onehop.base.errors import DriverUnavailable
from onehop.driver.haproxy import Attachment, HaproxyDriver, HaproxyOptions
from onehop.driver.haproxy.binary import find_haproxy
from onehop.driver.haproxy.runtime import Runtime
from tests.driver_envoy.world import ADDRESS, free_port, until
from tests.driver_haproxy.world import World

_THEIRS = """
global
    tune.ssl.cachesize 0
    {chroot}
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
frontend own
    bind {address}:{port}
    http-request return status 200 content-type text/plain string own
"""


class Operator:
    """Somebody who has a HAProxy.

    Args:
        folder: for what is theirs; onehop's is below.
        uid: who onehop is.
    """

    def __init__(self, folder: Path, uid: int) -> None:
        self.port = free_port()
        """Where a frontend of theirs answers."""
        self.config = folder / "theirs.cfg"
        self.include = folder / "onehop"
        self.socket = folder / "master.sock"
        self.uid = uid
        self.files: tuple[Path, ...] = (self.config, self.include)
        self._process: Process | None = None
        self.include.mkdir()
        chroot = f"chroot {folder}\n    uid 65534\n    gid 65534" if uid == 0 else ""
        self.write(_THEIRS.format(address=ADDRESS, port=self.port, chroot=chroot))

    def write(self, text: str) -> None:
        """Edit the file."""
        self.config.write_text(text, encoding="ascii")

    @property
    def pid(self) -> int:
        """The master's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process that was started has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start HAProxy, and wait until it is there."""
        command = [str(find_haproxy("haproxy")), "-W", "-S", str(self.socket)]
        for file in self.files:
            command += ["-f", str(file)]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdout=DEVNULL, stderr=DEVNULL
        )

        async def is_there() -> bool:
            try:
                said = await Runtime(self.socket, says_eof=True).ask("show proc")
            except DriverUnavailable:
                return False
            return "worker" in said

        await until(is_there, 30.0)

    async def stop(self) -> None:
        """End it, as a service does."""
        if self._process is not None and self.runs:
            self._process.terminate()
            await self._process.wait()

    @asynccontextmanager
    async def onehop(self, **fields: Any) -> AsyncGenerator[World]:
        """Run a driver that is attached to it."""
        options: dict[str, Any] = {"listener_retry_s": 0.1, "watch_s": 0.1, **fields}
        driver = HaproxyDriver(
            HaproxyOptions(
                state_dir=self.include,
                attached=Attachment(master=self.socket, uid=self.uid),
                **options,
            )
        )
        async with driver.running():
            yield World(driver)


@asynccontextmanager
async def operator() -> AsyncGenerator[Operator]:
    """Make one, whose HAProxy is not yet running; it is ended in the end."""
    with tempfile.TemporaryDirectory(prefix="onehop-") as folder:
        somebody = Operator(Path(folder), os.geteuid())
        try:
            yield somebody
        finally:
            await somebody.stop()
