"""A HAProxy that somebody else runs: it reads our folder, and its master is asked to reload.

Nothing is started or ended here. The worker that serves when onehop starts has what an earlier
onehop told it: it goes on until there is something to take its place, and it goes on when onehop
leaves. Each configuration has a number and a socket named after it, as with a HAProxy of our own.
"""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from onehop.base.errors import ConfigError, DriverUnavailable, RejectedError
from onehop.driver.haproxy.binary import check_files, version_in
from onehop.driver.haproxy.disk import adopt_folder
from onehop.driver.haproxy.master import Master
from onehop.driver.haproxy.options import Attachment, HaproxyOptions
from onehop.driver.haproxy.runtime import Runtime, lets_go, who_answers
from onehop.driver.haproxy.theirs import check_fit, files_of
from onehop.model.address import IpAddr

log = structlog.get_logger(__name__)

_ASK_EVERY_S: Final = 0.05
_LONGEST: Final = 600
_SOCKET: Final = re.compile(r"/run-(\d+)\.sock ")
_BIND: Final = re.compile(r"^    bind \[?([0-9a-f.:]+?)\]?:(\d+)(?: |$)", re.MULTILINE)


class AttachedHaproxy:
    """The same as `HaproxyProcess`, for what is not ours.

    Args:
        options: `state_dir` is the folder that it reads.
        attached: how it is reached.
        binary: reads configurations before it does.
        write: puts everything that is to be read on disk, before a reload.
    """

    def __init__(
        self,
        options: HaproxyOptions,
        attached: Attachment,
        binary: Path,
        write: Callable[[int], None],
    ) -> None:
        self._options = options
        self._binary = binary
        self._write = write
        self._master = Master(attached.master)
        self._tried = 0
        self.bound: frozenset[tuple[IpAddr, int]] = frozenset()
        """Where a worker listens for an earlier onehop; nowhere, when it has been replaced."""
        self.pid: int | None = None
        """The master's process id, as it said last."""
        self.stop_grace_s = 0.0
        self.generation = 0
        """Of the configuration that is loaded."""
        self.worker_pid = ""
        """Of the worker that has come up last; before anybody else can have it replaced."""
        self.restarts = 0
        """None by us."""

    def socket(self, generation: int) -> Path:
        """Return the runtime socket of a generation."""
        return self._options.state_dir / f"run-{generation}.sock"

    async def prepare(self) -> str:
        """Look whether all is as we need it, and who serves; return the version.

        Raises:
            ConfigError: it is not; the message says what to put where.
            DriverUnavailable: there is no master at the socket.
        """
        version = await self.look()
        text = adopt_folder(self._options)
        for number in self._earlier(text):
            self._tried = max(self._tried, number)
            if await who_answers(self.socket(number)):
                self.generation = number
                self.bound = frozenset((IpAddr(a), int(port)) for a, port in _BIND.findall(text))
        return version

    def _earlier(self, text: str) -> list[int]:
        """Return the generations of earlier runs, the latest last."""
        sockets = self._options.state_dir.glob("run-*.sock")
        found = _SOCKET.findall("".join(f"{path} " for path in sockets) + text)
        return sorted({int(number) for number in found})

    async def look(self) -> str:
        """Look at what runs, without touching anything; return the version.

        Raises:
            ConfigError, DriverUnavailable: as `prepare` does.
        """
        shown = await self._master.show()
        self.pid = shown.pid
        check_fit(files_of(shown.pid), self._options.state_dir)
        return version_in(f"HAProxy version {shown.version}", "dataPlane.haproxy.master")

    async def supervise(self) -> None:
        """Leave that to whoever has started it."""

    async def come_up(self) -> None:
        """Leave what is served as it is: nobody has said yet what shall be."""

    async def reload(self) -> None:
        """Have a new worker take over with what is wanted now.

        Raises:
            RejectedError: our part is refused; HAProxy goes on with what it had.
            DriverUnavailable: it does not come up in time, or is refused for what is not ours, or
                the files cannot be written.
        """
        shown = await self._master.show()
        self.pid = shown.pid
        try:
            files = files_of(shown.pid)
            check_fit(files, self._options.state_dir)
        except ConfigError as err:
            raise DriverUnavailable(str(err)) from err
        wanted = self._tried = self._tried + 1
        self._write(wanted)
        await check_files(self._binary, (self._options.config_file,))
        await self._master.reload()
        if not await self._has_come(wanted, shown.failed):
            await self._complain(files)
        runtime = Runtime(self.socket(self.generation), timeout_s=self._options.answer_timeout_s)
        if not await lets_go(runtime, within_s=self._options.start_timeout_s):
            log.error("haproxy_worker_hangs", socket=str(self.socket(self.generation)))
        self.generation, self.bound = wanted, frozenset()
        for path in self._options.state_dir.glob("run-*.sock"):
            if path != self.socket(wanted):
                path.unlink(missing_ok=True)

    async def stop_listening(self) -> None:
        """Refuse to: what listens is not ours.

        Raises:
            DriverUnavailable: always.
        """
        raise DriverUnavailable("the HAProxy at dataPlane.haproxy.master is not onehop's to stop")

    async def stop(self) -> None:
        """Leave it running: it serves on."""

    async def _has_come(self, generation: int, failed: int) -> bool:
        """Wait until a worker answers that has read this; return whether it does.

        Args:
            generation: what was written.
            failed: how many reloads had failed before.
        """
        try:
            async with asyncio.timeout(self._options.start_timeout_s):
                while not (pid := await who_answers(self.socket(generation))):
                    if (await self._master.show()).failed > failed:
                        return False
                    await asyncio.sleep(_ASK_EVERY_S)
        except TimeoutError as err:
            raise DriverUnavailable(
                "HAProxy was told to reload, and no worker came up: see its log"
            ) from err
        self.worker_pid = pid
        return True

    async def _complain(self, files: tuple[Path, ...]) -> None:
        """Say why a reload has failed: the master tells that only its own log."""
        try:
            await check_files(self._binary, files)
        except RejectedError as err:
            if str(self._options.state_dir) in str(err):
                raise
            said = _excerpt(str(err))
        else:
            said = "its log says why"
        raise DriverUnavailable(f"HAProxy does not reload, and goes on with what it had: {said}")


def _excerpt(said: str) -> str:
    alerts = [line for line in said.splitlines() if "[ALERT]" in line]
    return "; ".join(alerts)[:_LONGEST]
