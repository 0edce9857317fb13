"""To a vTM while this host serves: the unit is given everything, and then the addresses.

While both have an address both serve it, and whoever asks on the link gets to one of the two. So
the order is: the unit has everything, it raises the addresses and announces them, and then they
are taken off the interface here. What goes wrong before leaves them where they are.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
import structlog

from onehop.base.errors import ConfigError, DriverUnavailable, OnehopError
from onehop.control.config import Config
from onehop.control.vtmconfig import vtm_options
from onehop.driver.moving import Moved
from onehop.driver.moving.exchange import Exchange
from onehop.driver.vtm import VtmDriver
from onehop.model.address import IpAddr
from onehop.model.model import Row
from onehop.model.problem import Problem

ASKED_S: Final = 5.0
"""How long clients of HTTP are asked to come back by another connection, before theirs ends."""
RAISE_S: Final = 30.0
"""How long a unit may take to raise the addresses; what a real one takes is not known to us."""

log = structlog.get_logger(__name__)


class Bound(Protocol):
    """The addresses on this host."""

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with them now."""
        ...

    async def release(self) -> tuple[IpAddr, ...]:
        """Take them off this host for good; return those that could not be."""
        ...


class ToUnit:
    """The way there; see `fromunit` for the way back.

    Args:
        exchange: what serves.
        rows: returns everything that shall be served.
        bound: the addresses here.
    """

    def __init__(
        self, exchange: Exchange, rows: Callable[[], tuple[Row, ...]], bound: Bound
    ) -> None:
        self._exchange = exchange
        self._rows = rows
        self._bound = bound
        self.stayed: tuple[IpAddr, ...] = ()
        """What could not be taken off the interface here."""

    async def go(self, have: Config, want: Config, *, force: bool) -> Moved:
        """Serve by the unit; whatever is raised, what has served goes on.

        Args:
            have: what runs.
            want: what the file says.
            force: whether rows that the unit refuses may be lost.

        Raises:
            ConfigError: what runs does not go together with a unit.
            MoveRefused: the unit would not serve all rows.
            DriverUnavailable: it does not answer, another host writes it, or it raises nothing.
        """
        options = vtm_options(as_with_unit(have, want))
        self._demand_addresses(have)
        if not self._exchange.may_write():
            raise DriverUnavailable(
                "the holder of the Lease writes to the unit, and that is another host: "
                "run onehop switch there, and restart this one"
            )
        unit = VtmDriver(options, raises=False)

        async def turn() -> None:
            await unit.make_sure()
            await self._turn(unit)

        return await self._exchange.exchange(unit, rows=self._rows, turn=turn, force=force)

    async def _turn(self, unit: VtmDriver) -> None:
        with contextlib.suppress(DriverUnavailable):  # they are sent away without being asked
            await self._exchange.send_away(is_leaving=True)
        try:
            await asyncio.sleep(ASKED_S)
            await unit.take_over(RAISE_S)
        except OnehopError:
            with contextlib.suppress(DriverUnavailable):
                await self._exchange.send_away(is_leaving=False)
            raise
        self.stayed = await self._bound.release()
        for address in self.stayed:
            log.error("vip_not_released", address=address)

    def _demand_addresses(self, have: Config) -> None:
        if have.addresses.bind.interface is None:
            raise ConfigError(
                "addresses.bind: onehop has no addresses here that it could take away; take them "
                "from whoever has them, and restart"
            )
        if have.data_plane.layer4 == "kernel":
            raise ConfigError(
                "dataPlane.layer4: kernel: the kernel serves here; switch to proxy first, and then "
                "to the unit"
            )
        for problem in self._bound.problems():
            raise ConfigError(f"somebody else has an address already: {problem.message}")


def as_with_unit(have: Config, want: Config) -> Config:
    """Return what runs, with those parts of the file that a switch to a unit takes, or from one."""
    addresses = msgspec.structs.replace(have.addresses, bind=want.addresses.bind)
    return msgspec.structs.replace(have, data_plane=want.data_plane, addresses=addresses)
