"""One change's way through the program.

    source ──changed──▶ compiler ──fast lane──────────────▶ driver.set_endpoints   (same loop tick)
                           └────▶ pending ──gate──plan────▶ driver.apply           (one at a time)

There is no queue. What the source says goes into the compiler at once; pool members leave for the
data plane before `changed` returns. Everything else is settled when the last apply has ended: what
came meanwhile is one change by then, so a burst costs one apply and a single edit waits for nobody.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from onehop.base.errors import TransientError
from onehop.base.latest import Latest
from onehop.cluster import Kind, ref_of
from onehop.compile.compiler import Compiler, Outcome
from onehop.control.binding import Binding
from onehop.control.gate import Gate
from onehop.control.memory import Remembered
from onehop.control.moves import Move, back_up, moves_between, tell_moves
from onehop.control.patience import while_advancing
from onehop.control.reach import Reach
from onehop.control.refusals import Refusals
from onehop.control.served import Served
from onehop.control.unread import Unread, secret_of
from onehop.control.writeback import WriteBack
from onehop.driver import Driver, Receipt
from onehop.driver.moving import Moved
from onehop.driver.remote import Advancing, Reporting
from onehop.model.certificate import Certificate, is_challenge
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.model import Change, RowKey, Table, key_of
from onehop.model.pool import Pool
from onehop.model.problem import Problem
from onehop.model.reach import Area
from onehop.plan import make_plan
from onehop.source import Batch, Deleted, Source
from onehop.telemetry.metrics import Metrics

QUIET_S: Final = 0.002
"""How long the source must be silent before an edit is settled: objects of one `apply` come in one
watch event each, a fraction of a millisecond apart."""

UNFILLED_S: Final = 0.05
"""How long an edit may wait for the endpoints of a pool that is new: EndpointSlices come by another
watch than the Ingress that needs them, and a route before its endpoints answers 503."""

SECRETS_TIMEOUT_S: Final = 10.0
APPLY_TIMEOUT_S: Final = 60.0
"""How long an apply may stand still; of a data plane that counts no steps, how long it may take."""
_BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

log = structlog.get_logger(__name__)


class Pipeline:
    """A `source.Sink` that brings what it is told to one data plane."""

    def __init__(  # noqa: PLR0913  the stages it joins, by name
        self,
        *,
        compiler: Compiler,
        reach: Reach,
        source: Source,
        driver: Driver,
        binding: Binding,
        gate: Gate,
        served: Served,
        refusals: Refusals,
        write_back: WriteBack,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.compiler = compiler
        self.served = served
        self.on_secret: list[Callable[[ObjectRef], None]] = []  # told of Secrets that changed
        self.source_problems: tuple[Problem, ...] = ()
        self.is_complete = asyncio.Event()
        self.is_served = asyncio.Event()
        self.applied = Latest[int]()
        self.network = Latest[int]()  # put when `compiler.network()` may be another one
        self.demands = Latest[int]()  # put when `compiler.demands()` may be others
        self.challenges = Latest[frozenset[str]]()  # those that the data plane answers
        self.behind = Latest[int]()  # put when what stands behind a VIP may have come or gone
        self._reach = reach
        self._source = source
        self._driver = driver
        self._unread = Unread(source, served)
        self._binding = binding
        self._gate = gate
        self._refusals = refusals
        self._write_back = write_back
        self._metrics = metrics
        self._clock = clock
        self._pending = Change()
        self._confirmed = Change()
        # What the fast lane has sent since the plan in work was made: a plan that has to be made
        # again must not bring back what it overtook.
        self._overtaking: dict[PoolId, PoolEndpoints] = {}
        self._subjects: frozenset[ObjectRef] = frozenset()
        self._answers_differ = False
        self._work = asyncio.Event()
        self._changed_at = clock()

    # -- the Sink ---------------------------------------------------------------------------------

    def changed(self, batch: Batch) -> None:
        """Take in what changed; members of pools leave for the data plane before this returns."""
        for change in batch.changes:
            ref = change.ref if isinstance(change, Deleted) else ref_of(change)
            if isinstance(change, Deleted):
                self.compiler.remove(ref)
            else:
                self.compiler.put(change)
                self._write_back.seen(ref)
            if ref.kind == Kind.SECRET:
                for told in self.on_secret:
                    told(ref)
        if batch.problems is not None:
            self.source_problems = batch.problems
        self._settle_endpoints()
        self._changed_at = self._clock()
        self._work.set()

    def routes_changed(self, areas: Iterable[Area]) -> None:
        """Take in what the routing table says now; Pods change rungs before this returns."""
        for area in areas:
            self.compiler.put_area(area)
        self._settle_endpoints()
        self._work.set()

    def complete(self) -> None:
        """Begin to serve what the source says: every list has been read."""
        self.is_complete.set()
        self._work.set()

    # -- the two lanes ----------------------------------------------------------------------------

    def _settle_endpoints(self) -> None:
        if self.is_served.is_set():
            self._send_endpoints(self._reach.settled(self.compiler.settle_endpoints))

    def _send_endpoints(self, outcome: Outcome) -> None:
        change = self._gate.admit(outcome.change, self.served, now_s=self._clock())
        known = {
            row.pool: row
            for row in change.upserts
            if isinstance(row, PoolEndpoints) and RowKey(Table.ENDPOINTS, row.pool) in self.served
        }
        self._overtaking |= known
        moves: list[Move] = []
        turned: frozenset[ObjectRef] = frozenset()
        for row in known.values():
            self._driver.set_endpoints(row)
            turned |= self._turned(row)
            moves += self._moves(row)
        self._subjects |= turned
        if moves:
            self._tell_moves(moves)
        if known:
            self.served.take(Change(tuple(known.values())))
            self.applied.put(self.applied.revision + 1)
        if turned:
            self.behind.put(self.behind.revision + 1)
        self._metrics.endpoint_updates.inc(len(known))
        # Pools that are not there yet go with the edit that makes them.
        later = Change(tuple(row for row in change.upserts if row.id not in known), change.removals)
        self._pending = self._pending.then(later)
        self._note(outcome)

    def _note(self, outcome: Outcome) -> None:
        self._subjects |= outcome.subjects
        if outcome.network:
            self.network.put(self.network.revision + 1)
        if outcome.demands:
            self.demands.put(self.demands.revision + 1)
        self._answers_differ |= outcome.challenges

    def _turned(self, row: PoolEndpoints) -> frozenset[ObjectRef]:
        """Return the Service whose pool has become empty, or is no longer: its owner is told."""
        before = self.served.endpoints(row.pool)
        pool = self.served.row(RowKey(Table.POOL, row.pool))
        if before is None or not isinstance(pool, Pool):
            return frozenset()
        is_same = bool(before.endpoints) == bool(row.endpoints)
        return frozenset() if is_same else frozenset((pool.service,))

    def _moves(self, row: PoolEndpoints) -> tuple[Move, ...]:
        before, pool = (
            self.served.endpoints(row.pool),
            self.served.row(RowKey(Table.POOL, row.pool)),
        )
        if before is None or not isinstance(pool, Pool):
            return ()
        return moves_between(pool.service, before, row)

    def _tell_moves(self, moves: list[Move]) -> None:
        problems = self.compiler.problems_of(moves[0].service)
        tell_moves(moves, self._metrics, why=problems[0].message if problems else "")
        for service, nodes in back_up(moves).items():
            self._write_back.tell(service, "Direct", f"Pods on {nodes} are reached directly again")

    async def restore(self, remembered: Remembered) -> None:
        """Serve what was served before this process began, until the source is complete.

        Raises:
            DriverUnavailable: the data plane does not come up.
        """
        for held in remembered.held:
            self.compiler.hold(held)
        for row in remembered.rows:
            if isinstance(row, Certificate) and not is_challenge(row.id):
                self.compiler.keep(secret_of(row.id), row)
        if remembered.rows:
            await self._carry_out(Change(remembered.rows))
            self.behind.put(self.behind.revision + 1)
            log.info("last_known_good_served", rows=len(remembered.rows))

    async def run(self) -> None:
        """Keep the data plane at what the compiler says, from `complete` until cancelled."""
        await self.is_complete.wait()
        self._note(self._reach.prepare())  # so that pools are computed once only
        await self._read_secrets()
        self._settle()
        self._pending = self._unread.put_off(self.served.change_to(self.compiler.model()))
        failures = 0
        while True:
            admitted = self._gate.admit(self._pending, self.served, now_s=self._clock())
            change = self._confirmed.then(admitted)
            self._overtaking = {}
            challenges = self.compiler.challenges() if self._answers_differ else None
            subjects, self._pending, self._confirmed = self._take_subjects(), Change(), Change()
            try:
                await self._carry_out(change)
            except (TransientError, TimeoutError) as err:
                wait_s = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
                failures += 1
                self._metrics.applies.labels("failed").inc()
                log.warning("apply_failed", error=str(err), retry_in_s=wait_s)
                self._subjects |= subjects
                await asyncio.sleep(wait_s)
                overtaking = Change(tuple(self._overtaking.values()))
                self._pending = change.then(overtaking).then(self._pending)
                self._settle()
                continue
            failures = 0
            subjects |= self._take_subjects()
            self.is_served.set()
            if challenges is not None:
                self._answers_differ = False
                self.challenges.put(challenges)
            if change:
                self.applied.put(self.applied.revision + 1)
                self.behind.put(self.behind.revision + 1)
            self._write_back.reported(subjects)
            await self._next_edit()

    async def _read_secrets(self) -> None:
        """Wait for the Secrets that the first look refers to, but not for ever."""
        self._settle()
        try:
            async with asyncio.timeout(SECRETS_TIMEOUT_S):
                await self._source.wants_settled()
        except TimeoutError:
            log.warning("secrets_not_read", waited_s=SECRETS_TIMEOUT_S)

    def look_again(self) -> None:
        """Settle once more: something other than the source has told the compiler news."""
        self._work.set()

    def _take_subjects(self) -> frozenset[ObjectRef]:
        subjects, self._subjects = self._subjects, frozenset()
        return subjects

    def confirm(self) -> int:
        """Let go what the gate keeps back; return how many removals that are."""
        change = self._gate.confirm()
        self._confirmed = self._confirmed.then(change)
        self._work.set()
        return len(change.upserts) + len(change.removals)

    async def _next_edit(self) -> None:
        """Wait until the source has said something, and settle it."""
        await self._work.wait()
        began = self._clock()
        await self._fall_quiet(began)
        self._work.clear()
        self._settle()
        while self._is_unfilled() and (left_s := began + UNFILLED_S - self._clock()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._work.wait()
            self._work.clear()
            self._settle()

    async def _fall_quiet(self, began: float) -> None:
        """Wait until the source is silent, but never beyond `UNFILLED_S`."""
        while True:
            now = self._clock()
            wait_s = min(self._changed_at + QUIET_S - now, began + UNFILLED_S - now)
            if wait_s <= 0:
                return
            await asyncio.sleep(wait_s)

    def _is_unfilled(self) -> bool:
        """Tell whether the pending change brings a pool that has no endpoints yet."""
        pools = {row.id for row in self._pending.upserts if isinstance(row, Pool)}
        return any(
            isinstance(row, PoolEndpoints) and not row.endpoints and row.pool in pools
            for row in self._pending.upserts
        )

    def _settle(self) -> None:
        began = self._clock()
        outcome = self._reach.settled(self.compiler.settle)
        self._pending = self._pending.then(self._unread.due(outcome.change))
        self._note(outcome)
        self._source.want(self.compiler.wanted())
        self._metrics.settle_seconds.observe(self._clock() - began)

    async def _carry_out(self, change: Change) -> None:
        if not change:
            return
        async with while_advancing(self._steps, APPLY_TIMEOUT_S):
            # The fast lane may speak of the new pools from here on: the driver takes them in
            # before its first await.
            self.served.take(change)
            receipt = await self._driver.apply(make_plan(change))
        self._note_receipt(change, receipt)

    def _steps(self) -> int:
        return self._driver.steps if isinstance(self._driver, Advancing) else 0

    def data_plane_news(self) -> None:
        """Take in what the data plane has refused, or takes at last, outside of an apply."""
        if isinstance(self._driver, Reporting):
            rows, partly = self._driver.taken_since()
            taken = self._refusals.note(Change(rows), Receipt(refused=partly))
            refused = self._driver.refused_since()
            late = self._refusals.note_late(refused, self.served.row)
            self._write_back.reported(taken | late)

    def moved(self, moved: Moved) -> None:
        """Take in what another data plane refuses, or takes at last, of what is served."""
        self._write_back.reported(self._refusals.note(Change(moved.rows), moved.receipt))

    def _note_receipt(self, change: Change, receipt: Receipt) -> None:
        if any(key.table is Table.VIP for key in (*map(key_of, change.upserts), *change.removals)):
            self._binding.want(self.served.vips())
        self._subjects |= self._refusals.note(change, receipt)
        for refusal in receipt.refused:
            told = log.warning if refusal.is_partial else log.error
            told("row_refused", row=refusal.key.id, reason=refusal.reason)
        self._metrics.applies.labels("done").inc()
        self._metrics.apply_seconds.observe(receipt.duration_s)
        log.info(
            "applied",
            upserts=len(change.upserts),
            removals=len(change.removals),
            refused=len(receipt.refused),
            withheld=self._gate.withheld.total(),
            duration_ms=round(receipt.duration_s * 1000, 1),
        )
