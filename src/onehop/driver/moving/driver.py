"""A data plane that another one can take the place of while it serves.

The new one is started beside the old one, is given every row, and takes over new connections when
it listens everywhere (`handover`). What is connected to the old one goes on there, for a while.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec
import structlog

from onehop.base.errors import DriverUnavailable, OnehopError
from onehop.driver.driver import Driver, Receipt, Reloads
from onehop.driver.moving.handover import HANDSHAKE_S, Handover
from onehop.driver.moving.movable import Movable
from onehop.driver.moving.sockets import Place
from onehop.driver.moving.stay import Stay
from onehop.driver.moving.succession import Moved, Phase, Succession, come_up, demand_all
from onehop.model.endpoint import PoolEndpoints
from onehop.model.listener import Listener
from onehop.model.model import Change, Row, RowKey, Table, key_of
from onehop.plan import Plan, make_plan

DRAIN_S: Final = 60.0
"""How long connections to the old data plane may go on."""

_LISTEN_S: Final = 20.0
_CLOSE_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.05

log = structlog.get_logger(__name__)


class MovingDriver(Succession[Movable]):
    """One data plane at a time, and two while one takes over from the other.

    Args:
        first: what serves at the beginning.
        drain_s: see `DRAIN_S`.
        handshake_s: see `HANDSHAKE_S`.
        ended: called in a thread with each that was stopped while another one served.
    """

    def __init__(
        self,
        first: Movable,
        *,
        drain_s: float = DRAIN_S,
        handshake_s: float = HANDSHAKE_S,
        ended: Callable[[Movable], None] | None = None,
    ) -> None:
        super().__init__(first)
        self._drain_s = drain_s
        self._handshake_s = handshake_s
        self._ended = ended
        self._others: list[Stay[Movable]] = []
        """Those that come, and those that go."""
        self._unserved: dict[RowKey, Row] = {}
        """Rows that were refused whole, and endpoints of pools that were."""
        self._is_leaving = False
        self._moving = asyncio.Lock()
        self._phase: Phase | None = None
        self._target = ""

    def set_endpoints(self, members: PoolEndpoints) -> None:
        """Send a pool's endpoints to all that run."""
        if RowKey(Table.POOL, members.pool) in self._unserved:
            self._unserved[key_of(members)] = members
        super().set_endpoints(members)

    async def send_away(self, *, is_leaving: bool) -> None:
        """Ask the clients of what serves; those of what goes have been asked."""
        self._is_leaving = is_leaving
        await super().send_away(is_leaving=is_leaving)

    @property
    def others(self) -> tuple[Movable, ...]:
        """Those that run beside the one that serves: one that comes, and those that go."""
        return tuple(stay.driver for stay in self._others)

    @property
    def move_under_way(self) -> str:
        """Which move is under way, and how far it is; empty if none is."""
        return "" if self._phase is None else f"to {self._target}: {self._phase}"

    @property
    def parts(self) -> tuple[Driver, ...]:
        """The one that serves."""
        return (self.serving,)

    @property
    def reload_reasons(self) -> Mapping[str, int]:
        """What the one that serves says."""
        driver = self.serving
        return driver.reload_reasons if isinstance(driver, Reloads) else {}

    # The move

    async def move(self, to: Movable, *, force: bool = False) -> Moved:
        """Have another data plane, which does not run yet, take over; one move at a time.

        Returns when the old one listens no more; what is connected to it goes on for `drain_s`.
        Whatever is raised, the old one serves as before.

        Args:
            to: the other one.
            force: whether rows that it refuses may be lost.

        Raises:
            MoveRefused: it would not serve all rows.
            DriverUnavailable: it does not come up, or does not listen everywhere.
            ConfigError: it cannot work on this machine.
        """
        async with self._moving:
            old, new = self._stay, Stay(to)
            self._target = to.name
            try:
                with Handover(self._handshake_s) as handover:
                    await self._come_up(new)
                    outcome = await self._take_over(old, new, handover, force=force)
                    left = await self._turn_away(old, handover)
            finally:
                self._phase = None
            assert self._group is not None  # noqa: S101  who moves is running
            self._group.create_task(self._drain(old))
            return msgspec.structs.replace(outcome, left=left)

    async def _come_up(self, new: Stay[Movable]) -> None:
        self._enter(Phase.STARTING)
        new.driver.is_beside = True
        self._begin(new)
        self._others.append(new)
        try:
            await come_up(new)
        except OnehopError:
            await self._forget(new)
            raise

    async def _take_over(
        self, old: Stay[Movable], new: Stay[Movable], handover: Handover, *, force: bool
    ) -> Moved:
        """Give the new one everything, and then the connections; no plan is made meanwhile."""
        async with self._lock:
            self._enter(Phase.LOADING)
            try:
                await handover.pin(_pid(old))
                rows = await self._wanted()
                receipt = await new.driver.apply(make_plan(Change(tuple(rows.values()))))
                if not force:
                    demand_all(receipt, self._refused)
                refused = {each.key for each in receipt.refused if not each.is_partial}
                lost = frozenset(_place_of(rows[key]) for key in refused if key in rows)
                await self._wait_listening(new, handover, lost)
                await handover.turn(_pid(new))
            except (OnehopError, OSError):
                new.driver.stop_grace_s = 0.0  # it has never had a connection
                new.leave()
                await self._forget(new)
                handover.undo()
                raise
            self._others.remove(new)
            self._others.append(old)
            self._stay, new.is_needed, old.is_needed = new, True, False
            self._refused, self._unserved = {}, {}
            self._note_refused(receipt, rows)
        return Moved(tuple(rows.values()), receipt)

    async def _wait_listening(
        self, new: Stay[Movable], handover: Handover, lost: frozenset[Place | None]
    ) -> None:
        """Wait until the new one listens wherever the old one does, but for what is lost."""
        deadline = asyncio.get_running_loop().time() + _LISTEN_S
        while missing := await handover.missing(_pid(new)) - lost:
            if asyncio.get_running_loop().time() > deadline:
                where = ", ".join(f"{each.address} port {each.port}" for each in sorted(missing))
                raise DriverUnavailable(f"{new.driver.name} does not listen on {where}")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _forget(self, stay: Stay[Movable]) -> None:
        """Wait until one has ended."""
        await stay.gone.wait()
        self._others.remove(stay)
        if self._ended is not None:
            await asyncio.to_thread(self._ended, stay.driver)

    async def _turn_away(self, old: Stay[Movable], handover: Handover) -> int:
        """Have the old one take what it was given before, and then listen no more."""
        self._enter(Phase.TURNING)
        with contextlib.suppress(DriverUnavailable):
            await old.driver.send_away(is_leaving=True)
        if self._is_leaving:
            await self.serving.send_away(is_leaving=True)
        left = await handover.emptied()
        try:
            old_pid = _pid(old)
            await old.driver.stop_listening()
            await handover.closed_by(old_pid, _CLOSE_S)
        except DriverUnavailable as err:
            log.warning("data_plane_gone_before_its_time", driver=old.driver.name, error=str(err))
        handover.close()
        self.serving.is_beside = False
        return left

    async def _drain(self, old: Stay[Movable]) -> None:
        """Have the old one end with its last connection."""
        old.driver.stop_grace_s = self._drain_s
        old.leave()
        await self._forget(old)
        log.info("data_plane_ended", driver=old.driver.name)

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        log.info("data_plane_moves", to=self._target, phase=str(phase))

    # Rows

    async def _wanted(self) -> dict[RowKey, Row]:
        """Return everything that should be served, whether or not it is."""
        served = (await self.serving.read_back()).rows()
        return {key_of(row): row for row in served} | self._unserved

    def _note(self, plan: Plan, receipt: Receipt) -> None:
        """Note what became of a plan; what was refused is wanted on, by whoever serves next."""
        rows = {key_of(row): row for stage in plan.stages for row in stage.put}
        for key in (*rows, *(key for stage in plan.stages for key in stage.remove)):
            self._refused.pop(key, None)
            self._unserved.pop(key, None)
        self._note_refused(receipt, rows)

    def _note_refused(self, receipt: Receipt, rows: Mapping[RowKey, Row]) -> None:
        for refusal in receipt.refused:
            key = refusal.key
            self._refused[key] = refusal
            if not refusal.is_partial and key in rows:
                self._unserved[key] = rows[key]
                members = RowKey(Table.ENDPOINTS, key.id)
                if key.table is Table.POOL and members in rows:
                    self._unserved[members] = rows[members]

    def _stays(self) -> Iterator[Stay[Movable]]:
        yield self._stay
        yield from self._others


def _place_of(row: Row) -> Place | None:
    """Return where a listener listens; None for any other row."""
    return Place(row.address, row.port) if isinstance(row, Listener) else None


def _pid(stay: Stay[Movable]) -> int:
    """Return the process of a data plane.

    Raises:
        DriverUnavailable: there is none.
    """
    pid = stay.driver.pid
    if pid is None:
        raise DriverUnavailable(f"{stay.driver.name} does not run")
    return pid
