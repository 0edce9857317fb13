"""The hand that brings HAProxy to the rows: by its runtime API, or by a reload.

There is one truth, the rows. A worker is told the difference between what it has and what the rows
come to. Whatever the runtime API cannot make, or refuses to, a reload does, from the same rows; so
does a start after a death. What was told to an old worker while a new one came up is a difference
like any other, and is told again.

Who holds `turn` may bring HAProxy to the rows; all else may happen meanwhile, deaths included.
"""

import asyncio
import itertools
import re
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from onehop.base.errors import DriverUnavailable, RejectedError
from onehop.driver.driver import Refusal
from onehop.driver.haproxy.affinity import keeps_clients
from onehop.driver.haproxy.attached import AttachedHaproxy
from onehop.driver.haproxy.book import Book
from onehop.driver.haproxy.change import Reason, reload_reasons
from onehop.driver.haproxy.disk import Disk, Snapshot
from onehop.driver.haproxy.handover import until_it_teaches
from onehop.driver.haproxy.options import HaproxyOptions
from onehop.driver.haproxy.process import HaproxyProcess
from onehop.driver.haproxy.runtime import Runtime
from onehop.driver.haproxy.worker import Worker
from onehop.model.model import Row, RowKey

log = structlog.get_logger(__name__)

_SHOWN_REASONS: Final = 8
_LONGEST_REASON: Final = 600
_COULD_BE_A_NAME: Final = re.compile(r"[A-Za-z0-9._/-]+")


class Hand:
    """What is wanted of one HAProxy, and the worker that is brought to it.

    Args:
        options: how HAProxy is run.
        binary: what is started.
    """

    def __init__(self, options: HaproxyOptions, binary: Path) -> None:
        self.options = options
        self.book = Book(options)
        self.turn = asyncio.Lock()
        self.worker: Worker | None = None
        """The one that serves, as far as we know."""
        self.doubt: str | None = None
        """Why nobody knows what the worker has; only a reload helps then."""
        self.disk_fault: str | None = None
        """Why the files are not what they shall be."""
        self.reloads = 0
        """How often a new worker has taken over, deaths not counted."""
        self.reload_reasons: Counter[str] = Counter()
        """How many of them had a reason of each kind; one reload may have several."""
        self.last_reload = "-"
        """Why the last time."""
        self.touched_backends: set[str] = set()
        """Those that the worker that has taken over has to be told of."""
        self.wake = asyncio.Event()
        """Set when there is something to tell."""
        self.unwritten = asyncio.Event()
        """Set when the files are not what the rows come to."""
        self._disk = Disk(options)
        self._snapshots = itertools.count(1)
        self._next: Worker | None = None
        self._taken = 0

        self.process: HaproxyProcess | AttachedHaproxy = (
            HaproxyProcess(options, binary, self._write, self.take_over)
            if options.attached is None
            else AttachedHaproxy(options, options.attached, binary, self._write)
        )

    @property
    def awaits_rows(self) -> bool:
        """Whether an attached HAProxy goes on with what an earlier onehop has told it.

        Whatever is loaded now ends that: only a plan may, which has all that shall be served.
        """
        return self.options.attached is not None and self.worker is None

    # Rows

    def settle(self) -> None:
        """Bring what is rendered up to the rows, and let workers know what that touched."""
        touched = self.book.settle()
        if touched:
            self.unwritten.set()
        for worker in (self.worker, self._next):
            if worker is not None:
                worker.touch(touched)

    async def bring(
        self, before: dict[RowKey, Row | None], refused: dict[RowKey, Row]
    ) -> list[Refusal]:
        """Bring HAProxy to the rows, and return what it refuses of them.

        Args:
            before: what has changed, as it was; what is refused is put back to that, and taken out.
            refused: gets the rows that are refused.

        Raises:
            DriverUnavailable: it does not answer; nobody knows what it has until the next time.
        """
        refusals: list[Refusal] = []
        while True:
            self.settle()
            try:
                await self._bring_up()
            except RejectedError as err:
                culprits = self._culprits(str(err), before)
                if not culprits:
                    raise DriverUnavailable(f"HAProxy refuses what it had: {err}") from err
                for key in culprits:
                    refused[key] = self.book.rows[key]
                    refusals.append(Refusal(key, _excerpt(str(err))))
                    self.book.restore({key: before.pop(key)})
                self.write_back()
            else:
                return refusals

    async def _bring_up(self) -> None:
        """Tell the worker what it does not have yet; or have another one take over that has it."""
        worker = self.worker
        if self.awaits_rows:
            await self._reload([Reason("runtime", "onehop has started: who serves is not known")])
            return
        if worker is None or self.process.pid is None:
            raise DriverUnavailable("HAProxy does not run")
        news = worker.news()
        reasons = reload_reasons(*news)
        if not reasons and self.doubt is None:
            try:
                await worker.tell(news)
            except (DriverUnavailable, RejectedError) as err:
                # It may have taken a part: until a reload has worked, nobody knows what it has.
                self.doubt = str(err)
            else:
                return
        if self.doubt is not None:
            reasons.append(Reason("runtime", self.doubt))
        await self._reload(reasons)

    async def _reload(self, reasons: list[Reason]) -> None:
        """Have a new worker take over; all reasons that there are go into one reload."""
        started = time.monotonic()
        await self._before_it_goes()
        await self.process.reload()
        self.take_over()
        self.reloads += 1
        self.reload_reasons.update({reason.kind for reason in reasons})
        shown = [reason.text for reason in reasons[:_SHOWN_REASONS]]
        self.last_reload = ", ".join(shown)
        log.info(
            "haproxy_reloaded",
            reasons=shown,
            more=max(0, len(reasons) - _SHOWN_REASONS),
            duration_ms=round((time.monotonic() - started) * 1000),
        )

    async def _before_it_goes(self) -> None:
        """Have the worker ready to teach the next one, unless nobody knows what it is at."""
        worker = self.worker
        if (
            self.doubt is None
            and worker is not None
            and self.options.attached is None
            and keeps_clients(worker.has.sections.values())
        ):
            await until_it_teaches(worker.runtime, self.options.start_timeout_s)

    def _culprits(self, said: str, before: Mapping[RowKey, Row | None]) -> list[RowKey]:
        """Return the rows that HAProxy complains of; all that are new, if it names none of them.

        Where nothing was told yet, all are new: what an earlier onehop has told is not given up.
        """
        named = set(_COULD_BE_A_NAME.findall(said))
        fresh = [key for key in before if key in self.book.rows]
        culprits = [key for key in fresh if named & self.book.words_of(key)]
        return culprits or (fresh if self.worker is not None else [])

    # Files, and workers that read them

    def _write(self, generation: int) -> None:
        """Put everything on disk for a worker that is about to start; called by the process.

        Raises:
            DriverUnavailable: it cannot be written.
        """
        self.settle()
        self.unwritten.clear()
        snapshot = Snapshot(next(self._snapshots), self.book.rendered, self._socket(generation))
        try:
            self._disk.write(snapshot)
        except DriverUnavailable as err:
            self.disk_fault = str(err)
            self.unwritten.set()
            raise
        self.disk_fault = None
        self._next = Worker(self._runtime(generation), self.book.rendered)

    def take_over(self) -> None:
        """Talk to the worker that has come up, and tell it what has happened since it was read."""
        generation = self.process.generation
        if self._taken == generation:
            return
        assert self._next is not None  # noqa: S101  written before it came up
        self._taken = generation
        self.worker, self._next = self._next, None
        self.worker.pid = self.process.worker_pid
        self.doubt = None
        self.touched_backends |= self.worker.backends_touched
        self.wake.set()

    async def flush(self) -> float:
        """Put on disk what was told to the worker since it read the files; return how long it took.

        Nobody reads them as long as all goes well. Writing is left to a thread: there may be a lot.
        """
        async with self.turn:
            self.settle()
            self.unwritten.clear()
            if self.worker is None:
                return 0.0
            generation = self.process.generation
            rendered = self.book.rendered.copy()
            snapshot = Snapshot(next(self._snapshots), rendered, self._socket(generation))
        began = time.monotonic()  # not sooner: waiting for a reload is no work
        try:
            await asyncio.to_thread(self._disk.write, snapshot)
        except DriverUnavailable as err:
            if self.disk_fault is None:
                log.error("haproxy_files_not_written", error=str(err))  # noqa: TRY400  the world's
            self.disk_fault = str(err)
            self.unwritten.set()
        else:
            self.disk_fault = None
        return time.monotonic() - began

    def distrust_files(self) -> None:
        """Write all files anew the next time."""
        self._disk.forget()

    def write_back(self) -> None:
        """Put the files back that HAProxy refused: somebody may have it read them."""
        self.settle()
        if self.worker is None:
            return
        generation = self.process.generation
        snapshot = Snapshot(next(self._snapshots), self.book.rendered, self._socket(generation))
        try:
            self._disk.write(snapshot)
        except DriverUnavailable as err:
            self.disk_fault = str(err)
            self.unwritten.set()

    def _runtime(self, generation: int) -> Runtime:
        return Runtime(self.process.socket(generation), timeout_s=self.options.answer_timeout_s)

    def _socket(self, generation: int) -> str:
        return str(self.process.socket(generation))


def _excerpt(said: str) -> str:
    """Return what is wrong, of all that HAProxy says while it reads a configuration."""
    alerts = [line for line in said.splitlines() if "[ALERT]" in line] or [said]
    return "; ".join(line.partition(" : ")[2] or line for line in alerts)[:_LONGEST_REASON]
