"""Envoy as our child: started, watched, started again when it dies, drained when we go."""

import asyncio
import contextlib
import resource
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from pathlib import Path
from typing import Final

import structlog

from onehop.base.errors import DriverUnavailable
from onehop.driver.envoy.admin import EnvoyAdmin
from onehop.driver.envoy.binary import bound_to_parent
from onehop.driver.envoy.options import EnvoyOptions

log = structlog.get_logger(__name__)

_FIRST_BACKOFF_S: Final = 0.1
_LONGEST_BACKOFF_S: Final = 10.0
_STABLE_S: Final = 60.0
"""After so long a life, a death counts as the first one again."""
_TERM_S: Final = 3.0
_LOG_FORMAT: Final = "%l\t%n\t%v"
_LOG_LINE_BYTES: Final = 1 << 20
_LAST_WORDS: Final = 20


class EnvoyProcess:
    """One Envoy at a time, for as long as `supervise` runs."""

    def __init__(self, options: EnvoyOptions, binary: Path, admin: EnvoyAdmin) -> None:
        self._options = options
        self._binary = binary
        self._admin = admin
        self._child: Process | None = None
        self._is_stopping = False
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self.restarts = 0
        """How often Envoy was started again after it had died by itself."""

    @property
    def pid(self) -> int | None:
        """Envoy's process id, or None while there is none."""
        return self._child.pid if self._child and self._child.returncode is None else None

    @property
    def last_words(self) -> str:
        """The end of Envoy's log, for the message that says why it does not come up."""
        return "\n".join(self._last_words)

    async def supervise(self) -> None:
        """Keep an Envoy running until `stop` or cancellation; then there is none."""
        backoff_s = _FIRST_BACKOFF_S
        try:
            while not self._is_stopping:
                lived_s = await self._run_once()
                if self._is_stopping:
                    return
                backoff_s = _FIRST_BACKOFF_S if lived_s > _STABLE_S else backoff_s
                log.error("envoy_died", lived_s=round(lived_s, 3), restart_in_s=backoff_s)
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
                self.restarts += 1
        finally:
            await self._end()

    async def stop(self) -> None:
        """Let open connections end, for `stop_grace_s` at most; then end Envoy."""
        self._is_stopping = True
        child = self._child
        if child is None or child.returncode is not None:
            return
        try:
            await self._drain(child)
            child.terminate()
            async with asyncio.timeout(_TERM_S):
                await child.wait()
        except (TimeoutError, ProcessLookupError):
            pass
        finally:
            await self._end()

    async def _run_once(self) -> float:
        """Start Envoy, and return how long it lived."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        self._child = child = await asyncio.create_subprocess_exec(
            *bound_to_parent(self._command()),
            stdin=DEVNULL,
            stdout=None if self._options.access_log == "-" else DEVNULL,
            stderr=PIPE,
            limit=_LOG_LINE_BYTES,
            start_new_session=True,  # Ctrl-C in a terminal is ours to handle, by draining
        )
        _allow_many_sockets(child.pid)
        try:
            await self._forward_log(child)
            await child.wait()
        finally:
            await self._end()
        return loop.time() - started

    def _command(self) -> tuple[str, ...]:
        options = self._options
        workers = () if options.concurrency is None else ("--concurrency", str(options.concurrency))
        return (
            str(self._binary),
            "--config-path",
            str(options.bootstrap_file),
            "--disable-hot-restart",  # needs shared memory; listeners change without a restart
            "--drain-time-s",
            str(max(1, round(options.drain_grace_s))),
            "--drain-strategy",
            "immediate",
            "--log-level",
            options.log_level,
            "--log-format",
            _LOG_FORMAT,
            *workers,
        )

    async def _forward_log(self, child: Process) -> None:
        """Turn Envoy's log into ours, until it ends."""
        assert child.stderr is not None  # noqa: S101  asked for with PIPE
        while True:
            try:
                line = (await child.stderr.readline()).decode(errors="replace").rstrip("\n")
            except ValueError:  # a line longer than the limit was thrown away
                continue
            if not line and child.stderr.at_eof():
                return
            if not line:
                continue
            self._last_words.append(line)
            level, _, rest = line.partition("\t")
            component, _, text = rest.partition("\t")
            emit = log.error if level in {"error", "critical"} else log.warning
            emit("envoy_log", component=component, text=text or line)

    async def _drain(self, child: Process) -> None:
        """Close listeners and idle connections, and wait for the busy ones."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._options.stop_grace_s
        with contextlib.suppress(DriverUnavailable):
            await self._admin.post("/drain_listeners?graceful&skip_exit")
            while child.returncode is None and loop.time() < deadline:
                if await self._admin.open_connections() == 0:
                    return
                await asyncio.sleep(0.05)

    async def _end(self) -> None:
        """Kill what is still there, and wait for the kernel to say that it is gone."""
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(signal.SIGKILL)
            await self._child.wait()


def _allow_many_sockets(pid: int) -> None:
    """Raise the soft limit of open files to the hard one: each connection takes two."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
