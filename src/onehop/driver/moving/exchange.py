"""A data plane whose place one on another machine can take, with the addresses; and back.

Sockets cannot be handed to another machine, but an address can: both serve everything, and then the
address passes from one to the other (`turn`). Whoever is asked, answers.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import structlog

from onehop.base.errors import DriverUnavailable, OnehopError
from onehop.driver.capability import Capability
from onehop.driver.driver import Driver, EndpointCount, Receipt, Refusal, SharedDriver
from onehop.driver.moving.driver import Moved, Phase, demand_all
from onehop.driver.moving.stay import Stay
from onehop.driver.overtaken import Overtaken
from onehop.driver.remote import Advancing, Reporting
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import PoolId
from onehop.model.model import Change, Model, Row, RowKey, key_of
from onehop.model.problem import Problem
from onehop.plan import Plan, make_plan

log = structlog.get_logger(__name__)


class Exchange:
    """One data plane, until it is exchanged for another one.

    Args:
        first: what serves at the beginning.
    """

    def __init__(self, first: Driver) -> None:
        self.may_write: Callable[[], bool] = lambda: True
        """See `SharedDriver`."""
        self.on_news: Callable[[], None] = lambda: None
        """See `Reporting`."""
        self._stay = Stay(first, is_needed=True)
        self._coming: Stay[Driver] | None = None
        self._phase: Phase | None = None
        self._refused: dict[RowKey, Refusal] = {}
        self._overtaken = Overtaken()
        self._lock = asyncio.Lock()
        self._group: asyncio.TaskGroup | None = None
        self._introduce(first)

    @property
    def serving(self) -> Driver:
        """What serves now."""
        return self._stay.driver

    @property
    def coming(self) -> Driver | None:
        """What is to take its place."""
        return None if self._coming is None else self._coming.driver

    @property
    def under_way(self) -> str:
        """Which exchange is under way, and how far it is; empty if none is."""
        if self._coming is None or self._phase is None:
            return ""
        return f"to {self._coming.driver.name}: {self._phase}"

    async def exchange(
        self,
        to: Driver,
        *,
        rows: Callable[[], tuple[Row, ...]],
        turn: Callable[[], Awaitable[None]],
        force: bool,
    ) -> Moved:
        """Have another data plane, which does not run yet, serve instead; one at a time.

        Whatever is raised, the old one serves as before, and the other one has ended.

        Args:
            to: the other one.
            rows: returns everything that shall be served.
            turn: passes clients from one to the other; if it raises, they are with the old one.
            force: whether rows that the other one refuses may be lost.

        Raises:
            MoveRefused: it would not serve all rows.
            DriverUnavailable: it does not come up.
            OnehopError: what `turn` raises.
        """
        assert self._group is not None  # noqa: S101  who is exchanged is running
        old, new = self._stay, Stay(to)
        self._introduce(to)
        self._coming = new
        self._enter(Phase.STARTING)
        self._group.create_task(new.run())
        try:
            await _come_up(new)
            async with self._lock:
                self._enter(Phase.LOADING)
                given = rows()
                receipt = await to.apply(make_plan(Change(given)))
                if not force:
                    demand_all(receipt, self._refused)
                self._enter(Phase.TURNING)
                await turn()
                self._stay, new.is_needed = new, True
                self._refused = {each.key: each for each in receipt.refused}
        except (OnehopError, OSError):
            new.leave()
            await new.gone.wait()
            raise
        finally:
            self._coming = self._phase = None
            if self._stay is not new:
                new.leave()
        old.leave()
        await old.gone.wait()
        log.info("data_plane_ended", driver=old.driver.name)
        return Moved(given, receipt)

    def _introduce(self, driver: Driver) -> None:
        if isinstance(driver, SharedDriver):
            driver.may_write = self._may_write
        if isinstance(driver, Reporting):
            driver.on_news = self._tell_news

    def _may_write(self) -> bool:
        return self.may_write()  # asked anew each time: it is set when drivers are there already

    def _tell_news(self) -> None:
        self.on_news()

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        log.info("data_plane_moves", to=self.coming and self.coming.name, phase=str(phase))

    # The Driver protocol

    @property
    def name(self) -> str:
        """Of what serves now."""
        return self.serving.name

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Of what serves now."""
        return self.serving.capabilities

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start the first; leaving stops whatever runs then.

        Raises:
            DriverUnavailable: it does not come up.
            ConfigError: it cannot.
        """
        failure: Exception | None
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._stay.run())
            failure = await self._stay.wait_up()
            try:
                if failure is None:
                    yield
            finally:
                self._stay.leave()
                if self._coming is not None:
                    self._coming.leave()
        if failure is not None:
            raise failure  # out here, because a TaskGroup would wrap it

    async def read_back(self) -> Model:
        """Return what serves now has."""
        return await self.serving.read_back()

    async def apply(self, plan: Plan) -> Receipt:
        """Make the plan at what serves; one that comes during an exchange waits for its end."""
        self._overtaken.begin()
        async with self._lock:
            plan = self._overtaken.renewed(plan)
            receipt = await self.serving.apply(plan)
            self._note(plan, receipt)
        return receipt

    def set_endpoints(self, members: PoolEndpoints) -> None:
        """Send a pool's endpoints to what serves, and to what comes."""
        self._overtaken.note(members)
        self.serving.set_endpoints(members)
        if self.coming is not None:
            self.coming.set_endpoints(members)

    async def send_away(self, *, is_leaving: bool) -> None:
        """Ask the clients of what serves."""
        await self.serving.send_away(is_leaving=is_leaving)

    async def count(self, pools: Iterable[PoolId]) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
        """Return what the one that serves has counted."""
        return await self.serving.count(pools)

    def describe(self) -> dict[str, str]:
        """Return what the one that serves says of itself."""
        return self.serving.describe()

    # What one that is another machine has besides; one of this host has nothing to say there

    @property
    def steps(self) -> int:
        """How far what serves and what comes have got on together; see `Advancing`."""
        steps = 0
        for each in (self.serving, self.coming):
            if isinstance(each, Advancing):
                steps += each.steps
        return steps

    def refused_since(self) -> tuple[Refusal, ...]:
        """See `Reporting`."""
        return self.serving.refused_since() if isinstance(self.serving, Reporting) else ()

    def taken_since(self) -> tuple[tuple[Row, ...], tuple[Refusal, ...]]:
        """See `Reporting`."""
        return self.serving.taken_since() if isinstance(self.serving, Reporting) else ((), ())

    def problems(self) -> tuple[Problem, ...]:
        """See `Reporting`."""
        return self.serving.problems() if isinstance(self.serving, Reporting) else ()

    def confirm(self) -> int:
        """See `Reporting`."""
        return self.serving.confirm() if isinstance(self.serving, Reporting) else 0

    def _note(self, plan: Plan, receipt: Receipt) -> None:
        for stage in plan.stages:
            for key in (*map(key_of, stage.put), *stage.remove):
                self._refused.pop(key, None)
        self._refused |= {each.key: each for each in receipt.refused}


async def _come_up(stay: Stay[Driver]) -> None:
    """Wait until one has come up.

    Raises:
        OnehopError: it has not.
    """
    failure = await stay.wait_up()
    if isinstance(failure, OnehopError):
        raise failure
    if failure is not None:
        raise DriverUnavailable(f"{stay.driver.name} does not come up: {failure}") from failure
