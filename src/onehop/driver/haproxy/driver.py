"""HAProxy as a data plane: our child process, told by files, reloads and its runtime API.

There is one truth, the rows. A worker is told the difference between what it has and what the rows
come to. Whatever the runtime API cannot make, or refuses to, a reload does, from the same rows; so
does a start after a death. What was told to an old worker while a new one came up is a difference
like any other, and is told again.
"""

import asyncio
import contextlib
import itertools
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import structlog

from onehop.base.errors import DriverUnavailable, RejectedError
from onehop.driver.capability import Capability, capabilities_of
from onehop.driver.driver import EndpointCount, Receipt, Refusal
from onehop.driver.haproxy.backend import members_by_name
from onehop.driver.haproxy.binary import find_haproxy, version_of
from onehop.driver.haproxy.book import Book
from onehop.driver.haproxy.change import Reason, reload_reasons
from onehop.driver.haproxy.counts import count_members
from onehop.driver.haproxy.disk import Disk, Snapshot, prepare_folder
from onehop.driver.haproxy.options import HaproxyOptions
from onehop.driver.haproxy.policy import pool_name
from onehop.driver.haproxy.process import HaproxyProcess, affordable
from onehop.driver.haproxy.render import why_not
from onehop.driver.haproxy.runtime import Runtime
from onehop.driver.haproxy.socketprobe import why_not_bound
from onehop.driver.haproxy.support import SHORTCOMINGS
from onehop.driver.haproxy.worker import Worker
from onehop.driver.shortfall import served_without
from onehop.model.address import IpAddr
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import PoolId
from onehop.model.listener import Listener
from onehop.model.model import Model, Row, RowKey, key_of, model_of
from onehop.plan import Plan

log = structlog.get_logger(__name__)

_AGAIN_S: Final = 2.0
_SHOWN_REASONS: Final = 8
_LONGEST_REASON: Final = 600
_COULD_BE_A_NAME: Final = re.compile(r"[A-Za-z0-9._/-]+")


class HaproxyDriver:
    """One HAProxy, from start to stop."""

    name: str = "haproxy"
    capabilities: frozenset[Capability] = capabilities_of(SHORTCOMINGS)

    def __init__(self, options: HaproxyOptions) -> None:
        affords = affordable(options.max_connections)
        self.options = options = msgspec.structs.replace(options, max_connections=affords)
        self.is_beside = False
        """Whether another data plane may listen where this one shall; see `Movable`."""
        self._book = Book(options)
        self._disk = Disk(options)
        self._snapshots = itertools.count(1)
        self._refused: dict[RowKey, Row] = {}
        self._applying = asyncio.Lock()
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._taken = 0
        self._worker: Worker | None = None
        self._next: Worker | None = None
        self._doubt: str | None = None
        self.reloads = 0
        """How often a new worker has taken over, deaths not counted."""
        self.reload_reasons: Counter[str] = Counter()
        """How many of them had a reason of each kind; one reload may have several."""
        self.last_reload = "-"
        """Why the last time."""
        self._binary = find_haproxy(options.binary)
        self._version = "-"
        self._process = HaproxyProcess(options, self._binary, self._write, self._take_over)

    # The Driver protocol

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start HAProxy; leaving drains and stops it.

        Raises:
            ConfigError: the state directory cannot be used, or this HAProxy is too old.
            DriverUnavailable: HAProxy does not come up in time.
        """
        self._version = await version_of(self._binary)
        prepare_folder(self.options)
        failure: DriverUnavailable | None = None
        async with asyncio.TaskGroup() as group:
            supervisor = group.create_task(self._process.supervise())
            keeper = group.create_task(self._keep_servers())
            retrier = group.create_task(self._retry_listeners())
            try:
                failure = await self._started()
                if failure is None:
                    yield
            finally:
                keeper.cancel()
                retrier.cancel()
                await self._process.stop()
                supervisor.cancel()
        if failure is not None:
            raise failure  # out here, because a TaskGroup would wrap it

    async def read_back(self) -> Model:
        """Return what HAProxy serves: it holds nothing that it was not told by us."""
        return model_of(self._book.rows.values())

    async def apply(self, plan: Plan) -> Receipt:
        """Make the plan: by the runtime API, or in one reload, which is make before break itself.

        Stages are an order for data planes that take rows one by one. Here everything that is new
        is told before anything is taken away, and a reload changes all at once.
        """
        started = time.monotonic()
        before: dict[RowKey, Row | None] = {}
        refused = self._take(plan, before)
        async with self._applying:
            try:
                refused += await self._bring(before)
            except DriverUnavailable:
                self._book.restore(before)
                raise
        for refusal in refused:
            log.warning("haproxy_refused", row=refusal.key, reason=refusal.reason)
        ordered = tuple(sorted(refused, key=lambda refusal: refusal.key))
        return Receipt(refused=ordered, duration_s=time.monotonic() - started)

    def set_endpoints(self, members: PoolEndpoints) -> None:
        """Send a pool's endpoints now, by the runtime API; a pool not there is passed over."""
        if self._book.pool(members.pool) is not None:
            self._book.put(members)
            self._dirty.add(pool_name(members.pool))
            self._wake.set()

    async def send_away(self, *, is_leaving: bool) -> None:
        """Have answers say `Connection: close`."""
        async with self._applying:
            self._book.set_leaving(is_leaving=is_leaving)
            await self._bring({})

    async def count(self, pools: Iterable[PoolId]) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
        """Return what the worker that serves now has counted: from the last reload on."""
        worker = self._demand_worker()
        counts: dict[PoolId, tuple[EndpointCount, ...]] = {}
        for pool in pools:
            row = self._book.pool(pool)
            if row is not None:
                members = members_by_name(row, self._book.members(pool))
                counts[pool] = await count_members(worker.runtime, pool_name(pool), members)
        return counts

    @property
    def pid(self) -> int | None:
        """The master's process id."""
        return self._process.pid

    @property
    def stop_grace_s(self) -> float:
        """How long open connections may go on when it is stopped."""
        return self._process.stop_grace_s

    @stop_grace_s.setter
    def stop_grace_s(self, grace_s: float) -> None:
        self._process.stop_grace_s = grace_s

    async def stop_listening(self) -> None:
        """Close the listening sockets; connections go on."""
        self._process.stop_listening()

    def describe(self) -> dict[str, str]:
        """Return what an operator wants to know of this HAProxy now."""
        return {
            "connected": "yes" if self._worker is not None else "no",
            "version": self._version,
            "pid": str(self._process.pid or "-"),
            "restarts": str(self._process.restarts),
            "reloads": str(self.reloads),
            "last_reload": self.last_reload,
            "refused": str(len(self._refused)),
        }

    # Rows

    def _take(self, plan: Plan, before: dict[RowKey, Row | None]) -> list[Refusal]:
        """Take the rows in, but for those that cannot be had; see `Driver.apply`."""
        bound = {(each.address, each.port) for each in self._book.listeners()}
        refused: list[Refusal] = []
        for stage in plan.stages:
            for row in stage.put:
                reason = self._why_not(row, bound)
                self._refused.pop(key_of(row), None)
                if reason is None:
                    refused += served_without((row,), SHORTCOMINGS)
                    before.setdefault(key_of(row), self._book.rows.get(key_of(row)))
                    self._book.put(row)
                else:
                    self._refused[key_of(row)] = row
                    refused.append(Refusal(key_of(row), reason))
            for key in stage.remove:
                self._refused.pop(key, None)
                before.setdefault(key, self._book.rows.get(key))
                self._book.remove(key)
        return refused

    def _why_not(self, row: Row, bound: set[tuple[IpAddr, int]]) -> str | None:
        reason = why_not(row, self.options)
        if reason is None and isinstance(row, Listener) and (row.address, row.port) not in bound:
            return why_not_bound(row, shares=self.is_beside)
        return reason

    def _settle(self) -> None:
        """Bring what is rendered up to the rows, and let workers know what that touched."""
        touched = self._book.settle()
        for worker in (self._worker, self._next):
            if worker is not None:
                worker.touch(touched)

    # Telling HAProxy

    async def _bring(self, before: dict[RowKey, Row | None]) -> list[Refusal]:
        """Bring HAProxy to the rows; what it refuses of them is put back to what was before."""
        refused: list[Refusal] = []
        while True:
            self._settle()
            try:
                await self._bring_up()
            except RejectedError as err:
                culprits = self._culprits(str(err), before)
                if not culprits:
                    raise DriverUnavailable(f"HAProxy refuses what it had: {err}") from err
                for key in culprits:
                    self._refused[key] = self._book.rows[key]
                    refused.append(Refusal(key, _excerpt(str(err))))
                    self._book.restore({key: before.pop(key)})
            else:
                return refused

    async def _bring_up(self) -> None:
        """Tell the worker what it does not have yet; or have another one take over that has it."""
        worker = self._demand_worker()
        news = worker.news()
        reasons = reload_reasons(*news)
        if not reasons and self._doubt is None:
            try:
                await worker.tell(news)
            except (DriverUnavailable, RejectedError) as err:
                # It may have taken a part: until a reload has worked, nobody knows what it has.
                self._doubt = str(err)
            else:
                return
        if self._doubt is not None:
            reasons.append(Reason("runtime", self._doubt))
        await self._reload(reasons)

    async def _reload(self, reasons: list[Reason]) -> None:
        """Have a new worker take over; all reasons that there are go into one reload."""
        started = time.monotonic()
        await self._process.reload()
        self._take_over()
        self._doubt = None
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

    def _culprits(self, said: str, before: Mapping[RowKey, Row | None]) -> list[RowKey]:
        """Return the rows that HAProxy complains of; all that are new, if it names none of them."""
        named = set(_COULD_BE_A_NAME.findall(said))
        fresh = [key for key in before if key in self._book.rows]
        return [key for key in fresh if named & self._book.words_of(key)] or fresh

    def _write(self, generation: int) -> None:
        """Put everything on disk for a worker that is about to start; called by the process.

        Raises:
            DriverUnavailable: it cannot be written.
        """
        self._settle()
        socket = self._process.socket(generation)
        self._disk.write(Snapshot(next(self._snapshots), self._book.rendered, str(socket)))
        self._next = Worker(Runtime(socket), self._book.rendered)

    def _take_over(self) -> None:
        """Talk to the worker that has come up, and tell it what has happened since it was read."""
        generation = self._process.generation
        if self._taken == generation:
            return
        assert self._next is not None  # noqa: S101  written before it came up
        self._taken = generation
        self._worker, self._next = self._next, None
        self._dirty |= self._worker.backends_touched
        self._wake.set()

    def _demand_worker(self) -> Worker:
        if self._worker is None or self._process.pid is None:
            raise DriverUnavailable("HAProxy does not run")
        return self._worker

    async def _started(self) -> DriverUnavailable | None:
        try:
            await self._process.wait_up(1)
            self._take_over()
        except (DriverUnavailable, RejectedError) as err:
            return DriverUnavailable(str(err))
        return None

    # What goes on beside plans

    async def _keep_servers(self) -> None:
        """Tell the worker of endpoints as they come, until cancelled; the fast lane."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._until_again()):
                    await self._wake.wait()
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            try:
                await self._tell_servers(dirty)
            except DriverUnavailable as err:
                log.warning("haproxy_not_told", error=str(err))
                self._dirty |= dirty  # whoever comes up next was given all rows anyway
            except RejectedError as err:
                self._doubt = str(err)
                await self._reload_in_doubt()

    async def _tell_servers(self, backends: Iterable[str]) -> None:
        worker = self._worker
        if worker is None:
            return
        self._settle()
        for backend in sorted(backends):
            await worker.set_servers(backend)
        await worker.bury_all()

    def _until_again(self) -> float | None:
        """Return how long to wait for news: for ever, unless something is left to be done."""
        has_retired = self._worker is not None and self._worker.has_retired
        return _AGAIN_S if has_retired or self._dirty else None

    async def _reload_in_doubt(self) -> None:
        async with self._applying:
            try:
                await self._bring({})
            except DriverUnavailable as err:
                log.error("haproxy_not_reloaded", error=str(err))  # noqa: TRY400  the world's

    async def _retry_listeners(self) -> None:
        """Try refused listeners again, until cancelled: what held their port may have gone."""
        while True:
            await asyncio.sleep(self.options.listener_retry_s)
            for row in [r for r in self._refused.values() if isinstance(r, Listener)]:
                if self._why_not(row, set()) is None:
                    await self._retry(row)

    async def _retry(self, row: Listener) -> None:
        async with self._applying:
            before = {key_of(row): self._book.rows.get(key_of(row))}
            self._book.put(row)
            self._refused.pop(key_of(row), None)
            try:
                if not await self._bring(before):
                    log.info("haproxy_took_listener_at_last", listener=row.id)
            except DriverUnavailable:
                self._book.restore(before)
                self._refused[key_of(row)] = row


def _excerpt(said: str) -> str:
    """Return what is wrong, of all that HAProxy says while it reads a configuration."""
    alerts = [line for line in said.splitlines() if "[ALERT]" in line] or [said]
    return "; ".join(line.partition(" : ")[2] or line for line in alerts)[:_LONGEST_REASON]
