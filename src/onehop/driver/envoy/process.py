"""Envoy as our child: started, watched, started again when it dies, drained when we go."""

import asyncio
import contextlib
from collections import deque
from pathlib import Path
from typing import Final

import structlog

from onehop.base.child import Backoff, Child, allow_many_sockets
from onehop.base.errors import DriverUnavailable
from onehop.driver.envoy.admin import EnvoyAdmin
from onehop.driver.envoy.options import EnvoyOptions

log = structlog.get_logger(__name__)

_TERM_S: Final = 3.0
_LOG_FORMAT: Final = "%l\t%n\t%v"
_LAST_WORDS: Final = 20


class EnvoyProcess:
    """One Envoy at a time, for as long as `supervise` runs."""

    def __init__(self, options: EnvoyOptions, binary: Path, admin: EnvoyAdmin) -> None:
        self._options = options
        self._binary = binary
        self._admin = admin
        self._child = Child(self._hear)
        self._is_stopping = False
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self.stop_grace_s = options.stop_grace_s
        """How long open connections may go on after `stop`."""
        self.restarts = 0
        """How often Envoy was started again after it had died by itself."""

    @property
    def pid(self) -> int | None:
        """Envoy's process id, or None while there is none."""
        return self._child.pid

    @property
    def last_words(self) -> str:
        """The end of Envoy's log, for the message that says why it does not come up."""
        return "\n".join(self._last_words)

    async def supervise(self) -> None:
        """Keep an Envoy running until `stop` or cancellation; then there is none."""
        backoff = Backoff()
        try:
            while not self._is_stopping:
                lived_s = await self._child.live(
                    self._command(),
                    born=allow_many_sockets,
                    shares_stdout=self._options.access_log == "-",
                )
                if self._is_stopping:
                    return
                backoff_s = backoff.after(lived_s)
                log.error("envoy_died", lived_s=round(lived_s, 3), restart_in_s=backoff_s)
                await asyncio.sleep(backoff_s)
                self.restarts += 1
        finally:
            await self._child.kill()

    async def stop_listening(self) -> None:
        """Close all listening sockets; an Envoy that dies from here on is not started again.

        https://www.envoyproxy.io/docs/envoy/latest/operations/admin: `/drain_listeners` stops them
        at once, unless it is asked to be graceful.

        Raises:
            DriverUnavailable: Envoy does not answer.
        """
        self._is_stopping = True
        await self._admin.post("/drain_listeners")

    async def stop(self) -> None:
        """Let open connections end, for `stop_grace_s` at most; then end Envoy."""
        self._is_stopping = True
        try:
            await self._drain()
        finally:
            await self._child.end(within_s=_TERM_S)

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

    def _hear(self, line: str) -> None:
        """Turn a line of Envoy's log into one of ours."""
        self._last_words.append(line)
        level, _, rest = line.partition("\t")
        component, _, text = rest.partition("\t")
        emit = log.error if level in {"error", "critical"} else log.warning
        emit("envoy_log", component=component, text=text or line)

    async def _drain(self) -> None:
        """Close listeners and idle connections, and wait for the busy ones."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.stop_grace_s
        with contextlib.suppress(DriverUnavailable):
            if self._child.pid is not None:
                await self._admin.post("/drain_listeners?graceful&skip_exit")
            while self._child.pid is not None and loop.time() < deadline:
                if await self._admin.open_connections() == 0:
                    return
                await asyncio.sleep(0.05)
