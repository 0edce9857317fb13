"""HAProxy as our child: a master that is started, watched and started again, and its workers.

Each configuration that is loaded has a number, its generation, and a runtime socket named after it:
whoever answers there has that configuration. A worker that is replaced keeps its connections until
they end, and its sockets go on in the new one (`expose-fd listeners`), so no client is turned away.
"""

import asyncio
import contextlib
import os
import resource
import signal
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from onehop.base.child import Backoff, Child, allow_many_sockets
from onehop.base.errors import DriverUnavailable, RejectedError
from onehop.driver.haproxy.binary import check_files, version_of
from onehop.driver.haproxy.disk import prepare_folder
from onehop.driver.haproxy.options import HaproxyOptions
from onehop.driver.haproxy.runtime import Runtime, Who, lets_go, who_answers
from onehop.model.address import IpAddr

log = structlog.get_logger(__name__)

_TERM_S: Final = 3.0
_LAST_WORDS: Final = 40
_SIGNALS: Final = 2
_HEARD_S: Final = 3.0
_OWN_FILES: Final = 500
_ASK_EVERY_S: Final = 0.01
_NOISE: Final = ("[NOTICE]", "Proxy ", "Stopping ", "Former worker", "Exiting Master")
_OWN_DOING: Final = ("(leaving forced maintenance)", " is going DOWN for maintenance")
"""What it says of a server that it is told of. If somebody else tells it, `audit` finds it."""


class HaproxyProcess:
    """One HAProxy at a time, for as long as `supervise` runs.

    Args:
        options: how it is run.
        binary: what is started.
        write: puts everything that is to be read on disk, before a start or a reload.
        up: called when a worker has come up that we did not reload to: after a death.
    """

    def __init__(
        self,
        options: HaproxyOptions,
        binary: Path,
        write: Callable[[int], None],
        up: Callable[[], None],
    ) -> None:
        self._options = options
        self._binary = binary
        self._write = write
        self._up = up
        self._child = Child(self._hear)
        self._is_stopping = False
        self._has_failed = False
        self._is_reloading = asyncio.Event()
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self.stop_grace_s = options.stop_grace_s
        """How long open connections may go on after `stop`."""
        self.generation = 0
        """Of the configuration that is loaded, or is being loaded."""
        self.worker: Who | None = None
        """The one that has come up last; before anybody else can have it replaced."""
        self.restarts = 0
        """How often HAProxy was started again after it had died by itself."""
        self.bound: frozenset[tuple[IpAddr, int]] = frozenset()
        """Where somebody listens for an earlier onehop: nowhere, it has ended."""

    @property
    def pid(self) -> int | None:
        """The master's process id, or None while there is none."""
        return self._child.pid

    @property
    def last_words(self) -> str:
        """The end of HAProxy's log, for the message that says why it does not come up."""
        return "\n".join(self._last_words)

    def socket(self, generation: int) -> Path:
        """Return the runtime socket of a generation."""
        return self._options.state_dir / f"run-{generation}.sock"

    async def prepare(self) -> str:
        """Make the folder, and return the version.

        Raises:
            ConfigError: the folder cannot be used, or this HAProxy is too old.
        """
        version = await version_of(self._binary)
        prepare_folder(self._options)
        return version

    async def supervise(self) -> None:
        """Keep a HAProxy running until `stop` or cancellation; then there is none."""
        backoff = Backoff()
        try:
            while not self._is_stopping:
                lived_s = await self._live()
                self._is_reloading.set()  # the next one reads what this one was to read
                if self._is_stopping:
                    return
                backoff_s = backoff.after(lived_s)
                log.error("haproxy_died", lived_s=round(lived_s, 3), restart_in_s=backoff_s)
                await asyncio.sleep(backoff_s)
                self.restarts += 1
        finally:
            await self._child.kill()

    async def _live(self) -> float:
        """Start HAProxy, wait for its end, and return how many seconds it lived."""
        try:
            self._begin()
        except DriverUnavailable as err:
            log.error("haproxy_not_started", error=str(err))  # noqa: TRY400  the world's fault
            return 0.0
        async with asyncio.TaskGroup() as tasks:
            announcer = tasks.create_task(self._announce(self.generation))
            lived_s = await self._child.live(self._command(), born=allow_many_sockets)
            announcer.cancel()
        return lived_s

    async def come_up(self) -> None:
        """Wait until the first worker answers.

        Raises:
            RejectedError: HAProxy cannot load what it was given.
            DriverUnavailable: it does not come up in time.
        """
        await self.wait_up(1)
        self._up()

    async def reload(self) -> None:
        """Have a new worker take over with what is wanted now.

        Raises:
            RejectedError: HAProxy refuses it, and goes on with what it had; the message is its own.
            DriverUnavailable: it does not come up in time, or the files cannot be written.
        """
        pid = self._child.pid
        if pid is None:
            raise DriverUnavailable("HAProxy does not run")
        old, workers = self.generation, children_of(pid)
        self._begin()
        wanted = self.generation
        try:
            await check_files(self._binary, (self._options.config_file,))
            await self._ask_for_reload(pid)
            await self.wait_up(wanted)
        except RejectedError:
            if self.generation == wanted:
                self.generation = old
            raise
        runtime = Runtime(self.socket(old), timeout_s=self._options.answer_timeout_s)
        if not await lets_go(runtime, within_s=self._options.start_timeout_s) and workers:
            _end_worker(workers[-1])
        self.socket(old).unlink(missing_ok=True)

    async def _ask_for_reload(self, pid: int) -> None:
        """Send the signal, and once more if the master does not say that it has heard it.

        One that has just started may lose a signal. One that has died needs none: the next one
        reads what is there.
        """
        for _ in range(_SIGNALS):
            if self._child.pid != pid:
                return
            self._is_reloading.clear()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR2)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HEARD_S):
                    await self._is_reloading.wait()
                    return

    async def wait_up(self, generation: int) -> None:
        """Wait until a worker answers that has this generation, or a later one.

        Raises:
            RejectedError: HAProxy cannot load it.
            DriverUnavailable: it does not come up in time.
        """
        try:
            async with asyncio.timeout(self._options.start_timeout_s):
                while not await self._has_loaded(generation):
                    if self._has_failed:
                        raise RejectedError(f"HAProxy cannot load it: {self.last_words}")
                    await asyncio.sleep(_ASK_EVERY_S)
        except TimeoutError as err:
            raise DriverUnavailable(f"HAProxy did not come up: {self.last_words}") from err

    async def stop_listening(self) -> None:
        """Close all listening sockets; HAProxy ends with its last connection, and for good."""
        self._is_stopping = True
        if (pid := self._child.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)

    async def stop(self) -> None:
        """Let open connections end, for `stop_grace_s` at most; then end HAProxy."""
        self._is_stopping = True
        try:
            if self._child.pid is not None and self.stop_grace_s > 0:
                await self.stop_listening()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.stop_grace_s):
                        await self._child.ended()
        finally:
            await self._child.end(within_s=_TERM_S)

    def _begin(self) -> None:
        """Write the next generation down.

        Raises:
            DriverUnavailable: there is no room for it.
        """
        self._write(self.generation + 1)
        self.generation += 1
        self._has_failed = False
        self._last_words.clear()

    async def _announce(self, generation: int) -> None:
        try:
            await self.wait_up(generation)
        except (DriverUnavailable, RejectedError) as err:
            log.error("haproxy_not_up", error=str(err))  # noqa: TRY400  the world's fault
            return
        self._up()

    async def _has_loaded(self, generation: int) -> bool:
        """Tell whether the latest generation answers, if it is not older than this one."""
        latest = max(generation, self.generation)
        # Another reload may have begun while we asked: then it is its worker that we wait for.
        who = await who_answers(self.socket(latest))
        self.worker = who or self.worker
        return who is not None and latest >= self.generation

    def _command(self) -> tuple[str, ...]:
        options = self._options
        master = f"{options.master_socket},mode,600"
        return (str(self._binary), "-W", "-S", master, "-f", str(options.config_file))

    def _hear(self, line: str) -> None:
        """Turn a line of HAProxy's log into one of ours; what it says of what we do is noise."""
        self._last_words.append(line)
        self._has_failed |= "Loading failure" in line
        if "Reloading HAProxy" in line:
            self._is_reloading.set()
        if not self._is_stopping and not any(noise in line for noise in (*_NOISE, *_OWN_DOING)):
            emit = log.error if "[ALERT]" in line else log.warning
            emit("haproxy_log", text=line)


def children_of(pid: int) -> tuple[int, ...]:
    """Return the processes that a process has started and that are there, the latest last."""
    try:
        tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return ()
    return tuple(map(int, tasks.split()))


def _end_worker(pid: int) -> None:
    """Kill a worker that hangs: it would go on taking connections, and answer none of them."""
    log.error("haproxy_worker_hangs", worker=pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def affordable(max_connections: int) -> int:
    """Return how many clients the limit of open files allows: each takes two, and HAProxy some."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return max_connections
    return max(1, min(max_connections, (hard - _OWN_FILES) // 2))
