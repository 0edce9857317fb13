"""What goes on beside plans: endpoints as they come, files while nobody reads them, and looks.

Each of these runs until it is cancelled.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable
from typing import Final

import structlog

from onehop.base.errors import DriverUnavailable, RejectedError
from onehop.driver.haproxy.audit import Audit, Finding
from onehop.driver.haproxy.hand import Hand
from onehop.driver.haproxy.silence import end_silent
from onehop.driver.haproxy.worker import Worker

log = structlog.get_logger(__name__)

_AGAIN_S: Final = 2.0
"""How soon what was not done is tried again."""
_LONGEST_PAUSE_S: Final = 600.0
_SHARE_OF_TIME: Final = 0.05
"""How much of the time may go into writing files that nobody reads."""


class Upkeep:
    """The tasks around a hand.

    Args:
        hand: what they work with.
    """

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._audit = Audit()
        self._dirty: set[str] = set()
        self._last_fault = ""
        self._why_silent_stay = ""
        self.drifts: Counter[str] = Counter()
        """How often somebody had changed something behind our back, by what it was."""
        self.last_drift = "-"
        """What it was the last time."""

    def hurry(self, backends: Iterable[str]) -> None:
        """Have the servers of some sections told at once."""
        self._dirty.update(backends)
        self._hand.wake.set()

    async def keep_servers(self) -> None:
        """Tell the worker of endpoints as they come; the fast lane."""
        hand = self._hand
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_S if self._dirty else None):
                    await hand.wake.wait()
            hand.wake.clear()
            dirty, self._dirty = self._dirty | hand.touched_backends, set()
            hand.touched_backends = set()
            try:
                await self._tell_servers(dirty)
            except DriverUnavailable as err:
                log.warning("haproxy_not_told", error=str(err))
                self._dirty |= dirty  # whoever comes up next was given all rows anyway
            except RejectedError as err:
                await self._mend(self._hand.worker, str(err))

    async def keep_clean(self) -> None:
        """Delete the servers that have gone, when they have finished what they had."""
        while True:
            await asyncio.sleep(_AGAIN_S)
            worker = self._hand.worker
            if worker is not None:
                with contextlib.suppress(DriverUnavailable):  # `keep_watch` finds it, and mends
                    await worker.bury()
                await self._end_silent(worker)

    async def _end_silent(self, worker: Worker) -> None:
        """End what the servers that have gone will never finish."""
        servers, who = worker.leftovers(), worker.who
        if not servers or who is None:
            return
        silent_s = self._hand.options.silent_s
        try:
            ended = await asyncio.to_thread(end_silent, servers, who.pid, silent_s=silent_s)
        except OSError as err:
            if str(err) != self._why_silent_stay:
                log.warning("haproxy_silent_connections_stay", error=str(err))
            self._why_silent_stay = str(err)
        else:
            if ended:
                log.info("haproxy_silent_connections_ended", count=ended, silent_s=silent_s)

    async def keep_files(self) -> None:
        """Have the files say what the worker has, soon after it was told."""
        hand = self._hand
        while True:
            await hand.unwritten.wait()
            await asyncio.sleep(hand.options.files_after_s)
            await asyncio.sleep(await hand.flush() / _SHARE_OF_TIME)

    async def keep_watch(self) -> None:
        """Compare, a part at a time, what the worker has with what it was told; repair it."""
        pause_s = watch_s = self._hand.options.watch_s
        laps, drifts = 0, 0
        while True:
            await asyncio.sleep(pause_s)
            worker = self._hand.worker
            if worker is not None and self._hand.process.pid is not None:
                await self._look(worker)
            if self.drifts.total() > drifts:
                # What comes again and again is not made worse by reload after reload.
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                drifts, laps = self.drifts.total(), self._audit.laps
            elif self._audit.laps > laps + 1:
                pause_s = watch_s

    async def _look(self, worker: Worker) -> None:
        try:
            finding = await self._audit.look(worker, self._hand.turn)
        except DriverUnavailable as err:
            await self._mend(worker, str(err))
        else:
            if finding is not None:
                await self._repair(worker, finding)

    async def _repair(self, worker: Worker, finding: Finding) -> None:
        self.drifts[finding.kind] += 1
        self.last_drift = f"{finding.kind} {finding.what}"
        log.warning("haproxy_drift", kind=finding.kind, what=finding.what)
        if finding.kind == "worker":
            self._hand.distrust_files()
        await self._mend(worker, f"drift: {finding.what}" if finding.needs_reload else None)

    async def _mend(self, worker: Worker | None, doubt: str | None) -> None:
        """Bring HAProxy to the rows once more.

        Args:
            worker: which it is about; one that has been replaced meanwhile needs nothing.
            doubt: why nobody knows what it has; None if it has but to be told something.
        """
        hand = self._hand
        async with hand.turn:
            if worker is not hand.worker:
                return
            hand.doubt = doubt or hand.doubt
            try:
                await hand.bring({}, {})
            except DriverUnavailable as err:
                if str(err) != self._last_fault:
                    log.error("haproxy_not_mended", error=str(err))  # noqa: TRY400  the world's
                self._last_fault = str(err)
            else:
                self._last_fault = ""

    async def _tell_servers(self, backends: set[str]) -> None:
        worker = self._hand.worker
        if worker is None:
            return
        self._hand.settle()
        for backend in sorted(backends):
            await worker.set_servers(backend)
