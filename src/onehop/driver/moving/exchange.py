"""A data plane whose place one on another machine can take, with the addresses; and back.

Sockets cannot be handed to another machine, but an address can: both serve everything, and then the
address passes from one to the other (`turn`). Whoever is asked, answers.
"""

from collections.abc import Awaitable, Callable, Iterable

import structlog

from onehop.base.errors import OnehopError
from onehop.driver.driver import Driver, Receipt, Refusal, SharedDriver
from onehop.driver.moving.stay import Stay
from onehop.driver.moving.succession import Moved, Phase, Succession, come_up, demand_all
from onehop.driver.remote import Advancing, Reporting
from onehop.model.model import Change, Row, key_of
from onehop.model.problem import Problem
from onehop.plan import Plan, make_plan

log = structlog.get_logger(__name__)


class Exchange(Succession[Driver]):
    """One data plane, until it is exchanged for another one.

    Args:
        first: what serves at the beginning.
    """

    def __init__(self, first: Driver) -> None:
        super().__init__(first)
        self.may_write: Callable[[], bool] = lambda: True
        """See `SharedDriver`."""
        self.on_news: Callable[[], None] = lambda: None
        """See `Reporting`."""
        self._coming: Stay[Driver] | None = None
        self._phase: Phase | None = None
        self._introduce(first)

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
        old, new = self._stay, Stay(to)
        self._introduce(to)
        self._coming = new
        self._enter(Phase.STARTING)
        self._begin(new)
        try:
            await come_up(new)
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

    def _stays(self) -> Iterable[Stay[Driver]]:
        yield self._stay
        if self._coming is not None:
            yield self._coming

    def _note(self, plan: Plan, receipt: Receipt) -> None:
        for stage in plan.stages:
            for key in (*map(key_of, stage.put), *stage.remove):
                self._refused.pop(key, None)
        self._refused |= {each.key: each for each in receipt.refused}
