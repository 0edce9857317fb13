"""From a vTM to a data plane of this host, while the unit serves.

A client must find somebody at every moment, and a neighbour must not be told two things. So the
order is: everything is served here; the addresses are put on the interface, and nobody is told; the
unit lowers them; and then the link is told that they are here. Until the unit says that it has
lowered them it could serve on, and does if anything goes wrong.

A unit that falls silent in between may have them or not. Then the link decides, which is asked: if
somebody answers for them, it is the unit, and otherwise nobody would serve but us.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import structlog

from onehop.base.errors import ConfigError, DriverUnavailable, OnehopError, TransientError
from onehop.control.config import Config
from onehop.driver import Driver
from onehop.driver.driver import EndpointCount
from onehop.driver.moving import Moved
from onehop.driver.moving.exchange import Exchange
from onehop.driver.vtm import Unsure, VtmDriver
from onehop.model.address import IpAddr
from onehop.model.ident import PoolId
from onehop.model.model import Row
from onehop.model.pool import HealthCheck, Pool
from onehop.net import AddressBinder

LOWER_S: Final = 30.0
"""How long a unit may take to lower the addresses; what a real one takes is not known to us."""
SETTLE_S: Final = 15.0
"""How long health checks may take to find out who is there, however slow they are."""

log = structlog.get_logger(__name__)


class Held(Protocol):
    """The addresses, wherever they are."""

    @property
    def addresses(self) -> frozenset[IpAddr]:
        """All of them."""
        ...

    async def hold(self, binder: AddressBinder) -> None:
        """Put them on this host as well; see `Binding`."""
        ...

    async def release(self) -> tuple[IpAddr, ...]:
        """Take them off this host; return those that could not be."""
        ...


class FromUnit:
    """The way back from a unit.

    Args:
        exchange: what serves.
        rows: returns everything that shall be served.
        held: the addresses.
    """

    def __init__(self, exchange: Exchange, rows: Callable[[], tuple[Row, ...]], held: Held) -> None:
        self._exchange = exchange
        self._rows = rows
        self._held = held
        self.warnings: tuple[str, ...] = ()
        """What the operator has to look after, after the last switch that was done."""

    def demand(self, want: Config) -> None:
        """Look whether it can be begun.

        Raises:
            ConfigError: the file does not say where the addresses shall be, or says too much.
            DriverUnavailable: another host writes the unit.
        """
        if want.addresses.bind.interface is None:
            raise ConfigError(
                "addresses.bind: the unit has the addresses; name the interface here that shall "
                "have them, as {interface: eth0}"
            )
        if want.bgp.upstream:
            raise ConfigError(
                "bgp.upstream: what is told to routers is begun at a start; disable the traffic IP "
                "groups on the unit, and restart"
            )
        if not self._exchange.may_write():
            raise DriverUnavailable(
                "the holder of the Lease writes to the unit, and that is another host: "
                "run onehop switch there"
            )

    async def go(self, to: Driver, binder: AddressBinder, *, force: bool) -> Moved:
        """Serve by a data plane of this host; whatever is raised, the unit serves on.

        Args:
            to: does not run yet.
            binder: puts the addresses on this host.
            force: whether rows that it refuses may be lost, and a unit left that does not answer.

        Raises:
            MoveRefused: it would not serve all rows.
            DriverUnavailable: it does not come up, or reaches no Pods, or the unit does not answer,
                or keeps the addresses.
            ConfigError, TransientError: the addresses cannot be had here.
        """
        self.warnings = ()
        unit = self._exchange.serving
        assert isinstance(unit, VtmDriver)  # noqa: S101  nothing else is left in this way

        async def turn() -> None:
            await self._demand_healthy(to, unit, force=force)
            await self._turn(unit, binder, force=force)

        return await self._exchange.exchange(to, rows=self._rows, turn=turn, force=force)

    async def _turn(self, unit: VtmDriver, binder: AddressBinder, *, force: bool) -> None:
        """Have the addresses pass; what is raised after they are held has them taken off again."""
        is_silent = await self._is_silent(unit, binder, force=force)
        await self._held.hold(binder)
        try:
            if not is_silent:
                await self._have_lowered(unit, binder)
        except OnehopError:
            await self._release()
            raise
        await self._tell(binder)

    async def _is_silent(self, unit: VtmDriver, binder: AddressBinder, *, force: bool) -> bool:
        """Tell whether the unit is gone, which is believed only if it is said and nobody answers.

        Raises:
            DriverUnavailable: it does not answer, and may serve.
        """
        try:
            await unit.reach()
        except DriverUnavailable as err:
            if not force:
                raise DriverUnavailable(
                    f"{err}; if the unit is gone, onehop switch --force takes its addresses, "
                    "provided that nobody on the link answers for them"
                ) from err
            claimed = await binder.claimed(self._held.addresses)
            if claimed:
                raise DriverUnavailable(
                    f"{err}; but another machine on the link answers for {_named(claimed)}: the "
                    "unit carries traffic still. Switch it off, or take it off the link, first"
                ) from err
            self._warn(
                "the unit does not answer and was left as it is: should it come back, it has the "
                "addresses as well until it is told to let go of them"
            )
            return True
        return False

    async def _have_lowered(self, unit: VtmDriver, binder: AddressBinder) -> None:
        """Have the unit lower the addresses, or know from the link that it has not got them all.

        Raises:
            OnehopError: it has them.
        """
        try:
            await unit.let_go(LOWER_S)
        except Unsure as err:
            claimed = await binder.claimed(self._held.addresses)
            if claimed == self._held.addresses:
                raise DriverUnavailable(f"{err}; on the link, the unit has the addresses") from err
            self._warn(
                f"the unit fell silent while it lowered the addresses ({err}), and nobody on the "
                f"link answers for {_named(self._held.addresses - claimed)}"
            )

    async def _tell(self, binder: AddressBinder) -> None:
        """Announce the addresses, and look whether somebody else has them still."""
        try:
            await binder.announce(self._held.addresses)
            claimed = await binder.claimed(self._held.addresses)
        except (ConfigError, TransientError) as err:
            self._warn(f"the link was not told that the addresses are here: {err}")
            return
        if claimed:
            self._warn(
                f"another machine on the link answers for {_named(claimed)} as well: disable its "
                "traffic IP group on the unit"
            )

    async def _release(self) -> None:
        for address in await self._held.release():
            log.error("vip_not_released", address=address)

    def _warn(self, said: str) -> None:
        self.warnings += (said,)

    async def _demand_healthy(self, to: Driver, unit: VtmDriver, *, force: bool) -> None:
        """Give health checks their time, and look whether this host reaches what the unit does.

        Raises:
            DriverUnavailable: a pool that the unit has members of has none here.
        """
        pools = {row.id: row for row in self._rows() if isinstance(row, Pool) and row.health_check}
        if not pools:
            return
        checks = (pool.health_check for pool in pools.values())
        await asyncio.sleep(min(SETTLE_S, max(_patience(each) for each in checks if each)))
        down = [pool for pool, counts in (await to.count(pools)).items() if _is_down(counts)]
        if not down or force:
            return
        alive = await _alive(unit, down)
        names = ", ".join(sorted(str(pools[pool].service) for pool in alive))
        if names:
            raise DriverUnavailable(
                f"{to.name} finds no Pod of {names} healthy, which the unit does: see whether this "
                "host has a way to them (onehop explain), or use --force"
            )


def _patience(check: HealthCheck) -> float:
    """Return how long it takes to know that an endpoint is not there."""
    return check.unhealthy_threshold * check.interval_s + check.timeout_s


def _is_down(counts: tuple[EndpointCount, ...]) -> bool:
    """Tell whether a data plane of this host thinks that there is nobody."""
    return bool(counts) and all(
        (each.health or "").startswith(("unhealthy", "down")) for each in counts
    )


async def _alive(unit: VtmDriver, pools: list[PoolId]) -> list[PoolId]:
    """Return those pools of which the unit has members; none if it does not say."""
    try:
        counted: Mapping[PoolId, tuple[EndpointCount, ...]] = await unit.count(pools)
    except DriverUnavailable:
        return []
    return [pool for pool, counts in counted.items() if any(e.health == "alive" for e in counts)]


def _named(addresses: frozenset[IpAddr]) -> str:
    return ", ".join(sorted(addresses))
