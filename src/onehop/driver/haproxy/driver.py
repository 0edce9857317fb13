"""HAProxy as a data plane: told by files, reloads and its runtime API.

Here is what the rest of onehop sees, and which rows are taken. `hand` brings HAProxy to them, and
`upkeep` does what goes on besides.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import structlog

from onehop.base.errors import DriverUnavailable, RejectedError
from onehop.driver.capability import Capability, capabilities_of
from onehop.driver.driver import EndpointCount, Receipt, Refusal
from onehop.driver.haproxy.attached import AttachedHaproxy
from onehop.driver.haproxy.backend import members_by_name
from onehop.driver.haproxy.binary import find_haproxy, version_of
from onehop.driver.haproxy.counts import count_members
from onehop.driver.haproxy.hand import Hand
from onehop.driver.haproxy.options import HaproxyOptions
from onehop.driver.haproxy.process import HaproxyProcess, affordable
from onehop.driver.haproxy.render import why_not
from onehop.driver.haproxy.socketprobe import why_not_bound
from onehop.driver.haproxy.support import SHORTCOMINGS
from onehop.driver.haproxy.upkeep import Upkeep
from onehop.driver.shortfall import served_without
from onehop.model.address import IpAddr
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import PoolId
from onehop.model.listener import Listener
from onehop.model.model import Model, Row, RowKey, key_of, model_of
from onehop.plan import Plan

log = structlog.get_logger(__name__)

_AGAIN_S: Final = 2.0


class HaproxyDriver:
    """One HAProxy, from start to stop."""

    name: str = "haproxy"
    capabilities: frozenset[Capability] = capabilities_of(SHORTCOMINGS)

    def __init__(self, options: HaproxyOptions) -> None:
        affords = affordable(options.max_connections)
        self.options = options = msgspec.structs.replace(options, max_connections=affords)
        self.is_beside = False
        """Whether another data plane may listen where this one shall; see `Movable`."""
        self._binary = find_haproxy(options.binary)
        self._version = "-"
        self._hand = Hand(options, self._binary)
        self._book = self._hand.book
        self._upkeep = Upkeep(self._hand)
        self._refused: dict[RowKey, Row] = {}

    # The Driver protocol

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start HAProxy; leaving drains and stops it. An attached one serves on.

        Raises:
            ConfigError: the state directory cannot be used, or this HAProxy is too old, or one that
                is attached lacks something; the message says what to put where.
            DriverUnavailable: HAProxy does not come up in time, or is not there.
        """
        self._version = await self._process.prepare()
        failure: DriverUnavailable | None = None
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(each)
                for each in (
                    self._upkeep.keep_servers(),
                    self._upkeep.keep_clean(),
                    self._upkeep.keep_files(),
                    self._upkeep.keep_watch(),
                    self._retry_listeners(),
                )
            ]
            supervisor = group.create_task(self._process.supervise())
            try:
                failure = await self._started()
                if failure is None:
                    yield
            finally:
                for task in tasks:
                    task.cancel()
                await self._leave()
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
        async with self._hand.turn:
            try:
                refused += await self._hand.bring(before, self._refused)
            except DriverUnavailable:
                self._book.restore(before)
                if self.options.attached is not None:
                    self._hand.write_back()
                raise
        for refusal in refused:
            log.warning("haproxy_refused", row=refusal.key, reason=refusal.reason)
        ordered = tuple(sorted(refused, key=lambda refusal: refusal.key))
        return Receipt(refused=ordered, duration_s=time.monotonic() - started)

    def set_endpoints(self, members: PoolEndpoints) -> None:
        """Send a pool's endpoints now, by the runtime API; a pool not there is passed over."""
        pool = self._book.pool(members.pool)
        if pool is not None:
            self._book.put(members)
            self._upkeep.hurry(self._book.sections_of(pool))

    async def send_away(self, *, is_leaving: bool) -> None:
        """Have answers say `Connection: close`."""
        async with self._hand.turn:
            self._book.set_leaving(is_leaving=is_leaving)
            if self._hand.awaits_rows:
                return
            await self._hand.bring({}, self._refused)

    async def count(self, pools: Iterable[PoolId]) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
        """Return what the worker that serves now has counted: from the last reload on."""
        worker = self._hand.worker
        if worker is None or self._process.pid is None:
            raise DriverUnavailable("HAProxy does not run")
        counts: dict[PoolId, tuple[EndpointCount, ...]] = {}
        for pool in pools:
            row = self._book.pool(pool)
            if row is not None:
                members = members_by_name(row, self._book.members(pool))
                sections = self._book.sections_of(row)
                counts[pool] = await count_members(worker.runtime, sections, members)
        return counts

    @property
    def reloads(self) -> int:
        """How often a new worker has taken over, deaths not counted."""
        return self._hand.reloads

    @property
    def reload_reasons(self) -> Mapping[str, int]:
        """How many of them had a reason of each kind; one reload may have several."""
        return self._hand.reload_reasons

    @property
    def last_reload(self) -> str:
        """Why the last one was made."""
        return self._hand.last_reload

    @property
    def drifts(self) -> Mapping[str, int]:
        """How often somebody else had changed something, by what: see `Audit`."""
        return self._upkeep.drifts

    @property
    def _process(self) -> HaproxyProcess | AttachedHaproxy:
        return self._hand.process

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
        await self._process.stop_listening()

    def describe(self) -> dict[str, str]:
        """Return what an operator wants to know of this HAProxy now."""
        hand = self._hand
        who = hand.worker.who if hand.worker is not None else None  # its package may be a newer one
        return {
            "connected": "yes" if hand.worker is not None and hand.doubt is None else "no",
            "version": self._version if who is None else f"HAProxy version {who.version}",
            "pid": str(self._process.pid or "-"),
            "restarts": str(self._process.restarts),
            "reloads": str(hand.reloads),
            "last_reload": hand.last_reload,
            "drifted": str(self._upkeep.drifts.total()),
            "last_drift": self._upkeep.last_drift,
            "doubt": hand.doubt or "-",
            "files": hand.disk_fault or "written",
            "refused": str(len(self._refused)),
        }

    # Rows

    def _take(self, plan: Plan, before: dict[RowKey, Row | None]) -> list[Refusal]:
        """Take the rows in, but for those that cannot be had; see `Driver.apply`."""
        bound = {(each.address, each.port) for each in self._book.listeners()}
        bound |= self._process.bound
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
        reason = why_not(row, self.options) or self._book.why_not_passed(row)
        if reason is None and isinstance(row, Listener) and (row.address, row.port) not in bound:
            return why_not_bound(row, shares=self.is_beside)
        return reason

    async def _leave(self) -> None:
        """Have an attached HAProxy serve on: keep its clients, and know by its files what it has.

        It takes what it has not been told when onehop starts again.
        """
        if self.options.attached is None or self._hand.worker is None:
            return
        with contextlib.suppress(DriverUnavailable):
            await self.send_away(is_leaving=False)
        await self._hand.flush()

    async def _started(self) -> DriverUnavailable | None:
        try:
            await self._process.come_up()
        except (DriverUnavailable, RejectedError) as err:
            return DriverUnavailable(str(err))
        return None

    async def _retry_listeners(self) -> None:
        """Try refused listeners again, until cancelled: what held their port may have gone."""
        while True:
            await asyncio.sleep(self.options.listener_retry_s)
            if self._hand.awaits_rows:
                continue
            for row in [r for r in self._refused.values() if isinstance(r, Listener)]:
                if self._why_not(row, set(self._process.bound)) is None:
                    await self._retry(row)

    async def _retry(self, row: Listener) -> None:
        async with self._hand.turn:
            before = {key_of(row): self._book.rows.get(key_of(row))}
            self._book.put(row)
            self._refused.pop(key_of(row), None)
            try:
                if not await self._hand.bring(before, self._refused):
                    log.info("haproxy_took_listener_at_last", listener=row.id)
            except DriverUnavailable:
                self._book.restore(before)
                self._refused[key_of(row)] = row


async def describe_haproxy(options: HaproxyOptions) -> str:
    """Return which HAProxy it is, or would be; nothing is touched.

    Raises:
        ConfigError: there is none, or an attached one lacks something.
        DriverUnavailable: there is no master at the socket of an attached one.
    """
    binary = find_haproxy(options.binary)
    if options.attached is None:
        return await version_of(binary)
    return await AttachedHaproxy(options, options.attached, binary, lambda _generation: None).look()
