"""A vTM cluster as a data plane: told by REST what to serve, and compared with what it serves."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import structlog

from onehop.driver.capability import Capability, capabilities_of
from onehop.driver.driver import EndpointCount, Receipt, Refusal
from onehop.driver.remote import RemoteCounts
from onehop.driver.vtm.again import Again
from onehop.driver.vtm.content import ObjectKey
from onehop.driver.vtm.counts import count_members
from onehop.driver.vtm.lane import Lane
from onehop.driver.vtm.name import Names
from onehop.driver.vtm.options import VtmOptions
from onehop.driver.vtm.raising import Raising
from onehop.driver.vtm.reconciler import Reconciler
from onehop.driver.vtm.rest import LANE
from onehop.driver.vtm.support import SHORTCOMINGS
from onehop.driver.vtm.wanted import Wanted
from onehop.driver.vtm.work import Work
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import PoolId, RouterId
from onehop.model.listener import ForwardHttp, Listener
from onehop.model.model import Model, Row, RowKey, Table, key_of, model_of
from onehop.model.problem import Problem
from onehop.plan import Plan, Stage, StageKind

log = structlog.get_logger(__name__)


class VtmDriver:
    """One cluster of traffic managers; it serves on when this process ends.

    Args:
        options: who and where.
        raises: whether the unit shall have the addresses from the beginning, or when `take_over`
            says so.
    """

    name: str = "vtm"
    capabilities: frozenset[Capability] = capabilities_of(SHORTCOMINGS)

    def __init__(self, options: VtmOptions, *, raises: bool = True) -> None:
        self.options = options
        self._names = Names(options.owner)
        self._wanted = Wanted(self._names, machines=options.machines, raises=raises)
        self._applying = asyncio.Lock()
        self._hand = Reconciler(options, self._names, self._wanted, self._applying)
        self._hand.on_compared = self._try_again
        self._raising = Raising(self._hand, self._wanted, self._applying)
        self._again = Again()
        self._lane = Lane(
            self._hand.bring,
            self._hand.endpoints_took,
            at_once=LANE,
            again_s=options.again_s,
        )

    @property
    def may_write(self) -> Callable[[], bool]:
        """Whether it is for this process to write: several hosts can reach one unit."""
        return self._hand.rest.may_write

    @may_write.setter
    def may_write(self, may: Callable[[], bool]) -> None:
        self._hand.rest.may_write = may

    @property
    def on_news(self) -> Callable[[], None]:
        """Called when `refused_since` or `problems` say something else; see `Reporting`."""
        return self._hand.findings.on_news

    @on_news.setter
    def on_news(self, told: Callable[[], None]) -> None:
        self._hand.findings.on_news = told

    @property
    def steps(self) -> int:
        """How many calls have ended: while they do, an apply gets on."""
        return self._hand.rest.calls.made

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Connect, and read what is ours; leaving stops nothing but us.

        Raises:
            ConfigError: the password or the CA cannot be read.
            DriverUnavailable: no member answers.
        """
        try:
            await self._hand.start()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each.run()) for each in (self._lane, self._hand)]
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()
        finally:
            await self._hand.rest.close()

    async def read_back(self) -> Model:
        """Return what was told in this process and is served, in part or in whole.

        What an earlier process left on the unit is compared with when it is wanted again.
        """
        return model_of(self._wanted.rows.values())

    async def apply(self, plan: Plan) -> Receipt:
        """Make the plan. What does not fit, and what the unit refuses, is in the Receipt."""
        started = time.monotonic()
        work = self._work()
        early = self._early(plan)
        touched = work.put(early)
        async with self._applying:
            for stage in plan.stages:
                self._again.forget((*map(key_of, stage.put), *stage.remove))
                touched |= work.put((*self._hosts_of_new_routers(stage, plan), *stage.put))
                touched |= work.remove(stage.remove)
                refused = await self._hand.bring(touched)
                self._hand.retire(touched)
                if refused:
                    await self._take_back(work, refused)
                touched = frozenset()
            self._hand.knows_all = True
            self._again.add(work.taken_back)
        self._hand.findings.tell()
        for refusal in work.refusals:
            log.warning("vtm_refused_row", row=refusal.key, reason=refusal.reason)
        return Receipt(refused=work.refusals, duration_s=time.monotonic() - started)

    def set_endpoints(self, members: PoolEndpoints) -> None:
        """Send a pool's endpoints now: one write, without waiting for a plan."""
        key = RowKey(Table.POOL, members.pool)
        if key in self._wanted.rows or key in self._again:
            self._lane.add(self._wanted.put((members,)))

    async def make_sure(self) -> None:
        """Read everything back, and compare it with what it shall be.

        Raises:
            DriverUnavailable: the unit does not have everything, or another host writes it.
        """
        await self._raising.make_sure()

    async def take_over(self, within_s: float) -> None:
        """Have the addresses raised; if they are not in time, they are lowered again.

        Raises:
            DriverUnavailable: the unit does not say that it has all of them.
        """
        await self._raising.up(within_s)

    async def send_away(self, *, is_leaving: bool) -> None:
        """Do nothing: a host that leaves carries no connections, the unit does, and stays."""

    async def count(self, pools: Iterable[PoolId]) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
        """Return what the answering member has counted for the members of a few pools."""
        held = [
            (pool, self._members(pool))
            for pool in pools
            if RowKey(Table.POOL, pool) in self._wanted.rows
        ]
        return await count_members(self._hand.rest, self._names, held)

    def refused_since(self) -> tuple[Refusal, ...]:
        """Return the rows that the unit refused outside of an apply, or refuses still."""
        return self._hand.findings.refusals()

    def taken_since(self) -> tuple[tuple[Row, ...], tuple[Refusal, ...]]:
        """Return the rows that the unit takes at last, and what they are served without."""
        return self._again.taken()

    def problems(self) -> tuple[Problem, ...]:
        """Return what is amiss with the unit itself."""
        return self._hand.findings.problems()

    def confirm(self) -> int:
        """Delete what an earlier onehop left on the unit: somebody has looked at it."""
        return self._hand.confirm()

    @property
    def drifts(self) -> Mapping[str, int]:
        """How often somebody else had changed objects of ours, by their kind."""
        return self._hand.findings.drifted

    def remote_counts(self) -> RemoteCounts:
        """Return what speaking to the unit has come to."""
        hand = self._hand
        lag, lag_s = hand.rest.calls.lag()
        return RemoteCounts(
            is_connected=self._is_connected,
            calls={str(each): n for each, n in hand.rest.calls.outcomes.items()},
            writes=hand.rest.calls.writes,
            lag=lag,
            lag_s=lag_s,
            refused=len(hand.findings.refused),
            withheld=len(hand.findings.withheld),
        )

    def describe(self) -> dict[str, str]:
        """Return what an operator wants to know of the unit now."""
        hand = self._hand
        profile = hand.unit.profile
        return {
            "connected": "yes" if self._is_connected else "no",
            "writes_it": "yes" if hand.rest.may_write() else "no, another host does",
            "member": hand.rest.url,
            "rest_version": hand.rest.version or "-",
            "machines": " ".join(profile.machines) if profile is not None else "-",
            "objects": str(len(hand.unit.held)),
            "calls": str(hand.rest.calls.made),
            "calls_at_once": str(int(hand.rest.window.size)),
            "writes": str(hand.rest.calls.writes),
            "refused": str(len(hand.findings.refused)),
            "drifted": str(hand.findings.drifted.total()),
            "retired": str(len(hand.retired)),
            "withheld": str(len(hand.findings.withheld)),
        }

    @property
    def _is_connected(self) -> bool:
        return self._hand.unit.profile is not None and not self._hand.findings.unavailable

    def _early(self, plan: Plan) -> list[Row]:
        """Return the rows that are taken in before the first await; see `Driver.apply`."""
        stages = (stage for stage in plan.stages if stage.kind is StageKind.PREPARE)
        return [row for stage in stages for row in stage.put]

    def _hosts_of_new_routers(self, stage: Stage, plan: Plan) -> list[Row]:
        """Return the hosts and names of the routers that get their first listener in this stage.

        Nobody can see them before it is there; taken in later, they would be missed for a moment.
        """
        if stage.kind is not StageKind.LISTEN:
            return []
        routers: set[RouterId] = {
            row.handler.router
            for row in stage.put
            if isinstance(row, Listener)
            and isinstance(row.handler, ForwardHttp)
            and not self._wanted.serves(row.handler.router)
        }
        later = (row for each in plan.stages if each.kind is StageKind.ROUTE for row in each.put)
        return [row for row in later if getattr(row, "router", None) in routers]

    def _work(self) -> Work:
        profile = self._hand.unit.profile
        return Work(self._wanted, has_tls13=profile is None or profile.has_tls13)

    async def _try_again(self) -> None:
        """Try what the unit has refused once more."""
        if not self._again:
            return
        work = self._work()
        touched = work.put(self._again.rows())
        refused = await self._hand.bring(touched)
        self._hand.retire(touched)
        if refused:
            await self._take_back(work, refused)
        if self._again.tried(work.taken_back, work.refusals):
            self._hand.findings.tell(is_new=True)

    async def _take_back(self, work: Work, refused: Mapping[ObjectKey, str]) -> None:
        """Put back what was refused; what is refused once more is compared again later."""
        back = work.take_back(refused)
        left = await self._hand.bring(back)
        self._hand.retire(back)
        for key, reason in left.items():
            log.error("vtm_refused", object=str(key), reason=reason)
        if left:
            self._hand.compare_soon()

    def _members(self, pool: PoolId) -> tuple[Endpoint, ...]:
        row = self._wanted.rows.get(RowKey(Table.ENDPOINTS, pool))
        return row.endpoints if isinstance(row, PoolEndpoints) else ()
