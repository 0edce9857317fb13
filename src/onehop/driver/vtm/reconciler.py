"""Bringing objects to what they shall be, at whichever member of the cluster answers.

Level-triggered: nothing is remembered of what was tried. What could not be written now differs
still, and is written when the unit is there again.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import groupby
from typing import Final

import structlog

from onehop.base.errors import ConfigError, DriverUnavailable, RejectedError
from onehop.driver.vtm.abreast import abreast
from onehop.driver.vtm.content import ORDER, Kind, ObjectKey
from onehop.driver.vtm.findings import Findings
from onehop.driver.vtm.name import Names
from onehop.driver.vtm.options import VtmOptions
from onehop.driver.vtm.rest import NotTheWriter, Rest
from onehop.driver.vtm.retired import Retired, find_orphans
from onehop.driver.vtm.unit import Unit
from onehop.driver.vtm.wanted import Wanted

log = structlog.get_logger(__name__)

_STAND_BY_S: Final = 1.0
"""How soon is it noticed that this process may write, or may no longer."""
_REST: Final = 10
"""Comparing takes at most one part in so many of the time."""
_SWEPT_AT_ONCE: Final = 256
"""After so many deletions a plan gets its turn."""


class Reconciler:
    """Our part of one cluster.

    Args:
        options: who and where.
        names: of our objects.
        wanted: what they shall be.
        applying: held while anything but endpoints is written.
    """

    def __init__(
        self, options: VtmOptions, names: Names, wanted: Wanted, applying: asyncio.Lock
    ) -> None:
        self.rest = Rest(options)
        self.unit = Unit(self.rest, names, wanted.objects.get, replication_s=options.replication_s)
        self.retired = Retired()
        self.findings = Findings(wanted.rows_behind, names.prefix)
        self.on_compared: Callable[[], Awaitable[None]] = _nothing
        """Done after each comparison, while nothing else is written but endpoints."""
        self.knows_all = False
        """Set once a whole plan was made: before, what nobody wants may only not be known yet."""
        self._options = options
        self._wanted = wanted
        self._applying = applying
        self._verify_at = 0.0
        self._stands_by = False
        self._is_new_here = False
        self._poked = asyncio.Event()

    async def start(self) -> None:
        """Find a member that answers, and read what is ours.

        Raises:
            ConfigError: the password or the CA cannot be read.
            DriverUnavailable: no member answers.
        """
        await self.rest.open()
        await self._at_some_member(self._look)
        self._verify_at = _now() + self._options.resync_s

    async def bring(self, keys: Iterable[ObjectKey]) -> Mapping[ObjectKey, str]:
        """Bring objects to what they shall be; return those that are refused, and why.

        Servers that stop listening come first: a new one may want the socket. Where another host
        writes, nothing is done, and all is compared when this one may.

        Raises:
            DriverUnavailable: no member answers.
        """
        given = frozenset(keys)
        refused: dict[ObjectKey, str] = {}

        async def settle(key: ObjectKey) -> None:
            try:
                await self.unit.settle(key)
            except RejectedError as err:
                refused[key] = str(err)

        async def settle_all() -> None:
            refused.clear()
            await self._ensure()
            in_turn = sorted(sorted(given | self.unit.astray), key=self._turn)
            for _, batch in groupby(in_turn, self._turn):
                await abreast(batch, settle, self.rest.window)

        if not self._is_writer():
            return {}
        try:
            await self._at_some_member(settle_all)
        except NotTheWriter as err:
            log.warning("vtm_stands_by", reason=str(err))
            self._stand_by()
            return {}
        self.findings.settled(tuple(given), refused)
        return refused

    def retire(self, keys: Iterable[ObjectKey]) -> None:
        """Let what is wanted no more be deleted, once requests in flight have had their time."""
        due_at = _now() + self._options.grace_s
        for key in keys:
            if key in self._wanted.objects:
                self.retired.drop(key)
            else:
                self.retired.add((key,), due_at=due_at)
        self._poked.set()

    async def leave(self, keys: Iterable[ObjectKey]) -> None:
        """Have objects that are wanted no more do nothing at once, and be deleted a grace later.

        Raises:
            DriverUnavailable: no member answers, or another host writes.
        """
        ours = tuple(keys)
        self.unit.stilled |= {Kind.TRAFFIC_IP}
        self.knows_all = True
        refused = await self.bring(ours)
        if not self.rest.may_write():
            raise DriverUnavailable("another host holds the Lease, and writes to the unit")
        for key in sorted(frozenset(ours) - refused.keys()):
            if self.unit.differs(key):
                raise DriverUnavailable(f"{key}: the unit has it still as it was")
        for key, reason in refused.items():
            log.error("vtm_refused", object=str(key), reason=reason)
        self.retire(ours)

    def endpoints_took(self, lag_s: float) -> None:
        """Count how late a pool's endpoints were, if it was we who wrote them."""
        if not self._stands_by:
            self.rest.calls.endpoints_took(lag_s)
        self.findings.tell()

    def compare_soon(self) -> None:
        """Compare everything in a moment: something could not be written."""
        self._verify_at = min(self._verify_at, _now() + self._options.again_s)
        self._poked.set()

    async def run(self) -> None:
        """Compare, repair and delete when it is time, until cancelled."""
        while True:
            self._poked.clear()
            if not self._is_writer():
                await asyncio.sleep(_STAND_BY_S)
                continue
            next_at = min(self._verify_at, self.retired.next_at() or self._verify_at)
            await self._rest_until(min(next_at, _now() + _STAND_BY_S))
            try:
                if _now() >= self._verify_at:
                    await self.verify()
                async with self._applying:
                    await self._at_some_member(self._sweep)
            except NotTheWriter:
                self._stand_by()
            except DriverUnavailable as err:
                log.warning("vtm_unavailable", error=str(err), retry_in_s=self._options.again_s)
                self._verify_at = _now() + self._options.again_s
                await asyncio.sleep(self._options.again_s)

    async def _rest_until(self, when: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(when):
                await self._poked.wait()

    async def verify(self) -> None:
        """Read all, report what somebody changed, and repair what differs.

        Reading ten thousand objects takes a unit some seconds; no plan waits for it. It is not
        done all the time: a unit with much to read is read less often.

        Raises:
            DriverUnavailable: no member answers.
        """
        began = _now()
        self._verify_at = began + self._options.resync_s
        await self._at_some_member(self._look)
        async with self._applying:
            refused = await self.bring(self._wanted.objects)
            await self.on_compared()
            self._judge_orphans()
        for key, reason in refused.items():
            log.error("vtm_refused", object=str(key), reason=reason)
        with contextlib.suppress(RejectedError, DriverUnavailable):  # a matter of rights, perhaps
            self.findings.complained(await self.rest.complaints())
        self.findings.tell()
        self._verify_at = max(self._verify_at, _now() + _REST * (_now() - began))
        if self._is_new_here:  # what the last writer had under way has landed by then
            self._is_new_here = False
            self._verify_at = min(self._verify_at, _now() + self._options.timeout_s)

    async def _look(self) -> None:
        await self._read_files()
        profile = await self.unit.connect()
        self._wanted.set_machines(self._options.machines or profile.machines)
        self.findings.compared(await self.unit.read_all())

    def confirm(self) -> int:
        """Let what is withheld be deleted; return how many objects that are."""
        withheld, self.findings.withheld = self.findings.withheld, ()
        if withheld:
            log.warning("vtm_orphans_confirmed", objects=len(withheld))
            self.retired.add(withheld, due_at=_now())
            self.findings.tell()
            self._poked.set()
        return len(withheld)

    def _judge_orphans(self) -> None:
        if not self.knows_all:
            return
        orphans = find_orphans(self.unit.held, self._wanted.objects, self.retired)
        self.findings.withheld = orphans.keys if orphans.is_withheld else ()
        if orphans.is_withheld:
            log.error("vtm_orphans_withheld", objects=len(orphans.keys), first=str(orphans.keys[0]))
            return
        due_at = _now() + self._options.orphan_grace_s
        for key in orphans.keys:
            log.info("vtm_orphan", object=str(key), deleted_in_s=self._options.orphan_grace_s)
        self.retired.add(orphans.keys, due_at=due_at)

    async def _sweep(self) -> None:
        """Delete what is due, what points before what is pointed at."""
        due = self.retired.due(_now())[:_SWEPT_AT_ONCE]
        if due and self._is_writer():
            await self._ensure()
            for _, batch in groupby(due, lambda key: key.kind):
                await abreast(batch, self._let_go, self.rest.window)

    async def _let_go(self, key: ObjectKey) -> None:
        """Delete an object; a server that still listens only stops, and is due once more."""
        if key in self._wanted.objects:
            self.retired.drop(key)
            return
        try:
            if self.unit.listens(key):
                await self.unit.settle(key)
                self.retired.put_off(key, due_at=_now() + self._options.grace_s)
            else:
                await self.unit.delete(key)
                self.retired.drop(key)
        except RejectedError as err:
            log.warning("vtm_not_deleted", object=str(key), reason=str(err))
            self.retired.put_off(key, due_at=_now() + self._options.resync_s)

    def _turn(self, key: ObjectKey) -> int:
        """Return when an object's turn to be written is; those of one turn go side by side."""
        is_leaving = key.kind in self.unit.stilled and key not in self._wanted.objects
        return ORDER[key.kind] - len(ORDER) if is_leaving else ORDER[key.kind]

    def _is_writer(self) -> bool:
        """Tell whether it is for us to write; others may have written until it is."""
        if not self.rest.may_write():
            self._stand_by()
        elif self._stands_by:
            self._stands_by, self._is_new_here = False, True
            self.unit.doubt()
            self._verify_at = _now()
            self._poked.set()
        return not self._stands_by

    def _stand_by(self) -> None:
        if not self._stands_by:
            self._stands_by = True
            self.findings.stood_by()

    async def _at_some_member(self, do: Callable[[], Awaitable[None]]) -> None:
        """Do it at the member that is spoken to, or else at each other one.

        Raises:
            DriverUnavailable: at none of them.
        """
        made = self.rest.calls.made
        for left in reversed(range(len(self._options.urls))):
            url = self.rest.url
            try:
                await do()
            except DriverUnavailable as err:
                self._lose(url, err)
                if not left:
                    self.findings.unavailable = str(err)
                    self.findings.tell()
                    raise
            else:
                break
        if self.findings.unavailable and self.rest.calls.made > made:
            self.findings.unavailable = ""
            self.findings.tell()

    def _lose(self, url: str, err: DriverUnavailable) -> None:
        if self.rest.leave(url):
            log.warning("vtm_other_member", left=url, now=self.rest.url, error=str(err))
            self.unit.move()
            # What was written last may not have arrived there yet.
            self._verify_at = min(self._verify_at, _now() + self._options.replication_s)
            self._poked.set()

    async def _ensure(self) -> None:
        await self._read_files()
        if self.unit.profile is None:
            profile = await self.unit.connect()
            self._wanted.set_machines(self._options.machines or profile.machines)

    async def _read_files(self) -> None:
        """Read the password and the CA again if the unit has others by now."""
        if not self.rest.is_outdated:
            return
        try:
            await self.rest.open()
        except ConfigError as err:
            raise DriverUnavailable(str(err)) from err


async def _nothing() -> None:
    return


def _now() -> float:
    return asyncio.get_running_loop().time()
