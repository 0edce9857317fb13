"""A BIRD of our own: started, watched, started again when it dies."""

import asyncio
import contextlib
import os
import re
from collections import deque
from typing import Final

import structlog

from onehop.base.child import Backoff, Child
from onehop.base.errors import OnehopError, TransientError
from onehop.net.bird.control import BirdControl
from onehop.net.bird.leftover import leftover_routes
from onehop.net.bird.place import OwnBird

_log = structlog.get_logger(__name__)

_LAST_WORDS: Final = 10
_LEAVE_S: Final = 3.0
_LOOK_S: Final = 0.02
_GOODBYE: Final = "Shutdown completed"
"""Fatal in BIRD's own eyes, but what we asked for."""
_LINE: Final = re.compile(r".*<(?P<level>[A-Z]+)> (?P<text>.*)")


class BirdDaemon:
    """One BIRD at a time, for as long as `supervise` runs."""

    def __init__(self, place: OwnBird, control: BirdControl, table: int) -> None:
        self._place = place
        self._control = control
        self._table = table
        self._child = Child(self._hear)
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._is_leaving = False
        self.restarts = 0
        """How often BIRD was started again after it had died by itself."""

    @property
    def pid(self) -> int | None:
        """BIRD's process id, or None while there is none."""
        return self._child.pid

    @property
    def last_words(self) -> str:
        """The end of BIRD's log, for the message that says why it does not come up."""
        return "; ".join(self._last_words)

    async def supervise(self) -> None:
        """Keep a BIRD running until cancelled; then end it in a way that leaves the routes."""
        backoff = Backoff()
        try:
            while True:
                command = await self._command()
                async with asyncio.TaskGroup() as group:
                    guard = group.create_task(self._close_socket())
                    lived_s = await self._child.live(command)
                    guard.cancel()
                if self._is_leaving:
                    await asyncio.Event().wait()  # it ended because we asked it to
                wait_s = backoff.after(lived_s)
                _log.error("bird_died", lived_s=round(lived_s, 3), restart_in_s=wait_s)
                await asyncio.sleep(wait_s)
                self.restarts += 1
        finally:
            await self._child.kill()

    async def leave(self) -> None:
        """End BIRD so that the kernel keeps its routes, and neighbours theirs for a while."""
        self._is_leaving = True
        with contextlib.suppress(OnehopError, TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                await self._control.ask("graceful restart")
                await self._child.ended()

    async def _command(self) -> tuple[str, ...]:
        """Return how BIRD is started: `-R` if an earlier one left routes that are to be kept."""
        place = self._place
        place.socket.unlink(missing_ok=True)
        try:
            has_leftovers = bool(await leftover_routes(self._table))
        except TransientError as err:
            _log.warning("bird_routes_unread", error=str(err))
            has_leftovers = True  # waiting for neighbours costs seconds, removing costs requests
        _log.info("bird_started", recovers=has_leftovers)
        recovery = ("-R",) if has_leftovers else ()
        return (place.binary, "-f", "-c", str(place.file), "-s", str(place.socket), *recovery)

    async def _close_socket(self) -> None:
        """Take the group's right to the socket away, which BIRD gives it (0660)."""
        while not self._place.socket.exists():  # noqa: ASYNC110  another program makes it
            await asyncio.sleep(_LOOK_S)
        with contextlib.suppress(FileNotFoundError):
            os.chmod(self._place.socket, 0o600)  # noqa: PTH101  a socket, not a file

    def _hear(self, line: str) -> None:
        """Turn a line of BIRD's log into one of ours."""
        match = _LINE.fullmatch(line)
        level, text = (match["level"], match["text"]) if match else ("", line)
        self._last_words.append(text)
        if text == _GOODBYE:
            return
        emit = _log.error if level in {"ERR", "FATAL", "BUG"} else _log.warning
        emit("bird_log", severity=level.lower(), text=text)
