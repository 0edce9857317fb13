"""Addresses pass to a unit when it has all that is served on them, and not before; and from it.

Which traffic manager has an address is in the statistics of each, `traffic_ips/traffic_ip`, by the
address. How IPv6 is written there is not known to us, so it is parsed, not compared as text.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final

import structlog

from onehop.base.errors import DriverUnavailable, OnehopError, RejectedError
from onehop.driver.vtm.abreast import abreast
from onehop.driver.vtm.content import ObjectKey
from onehop.driver.vtm.reconciler import Reconciler
from onehop.driver.vtm.rest import Rest
from onehop.driver.vtm.wanted import Wanted
from onehop.model.address import IpAddr, parse_ip

_ROWS: Final = "traffic_ips/traffic_ip"
_LOOK_EVERY_S: Final = 0.1

log = structlog.get_logger(__name__)


class Unsure(DriverUnavailable):
    """A unit has stopped answering: whether it has its addresses still, it does not say."""


class Unwilling(DriverUnavailable):
    """A unit answers, and does not do as it is told."""


class Raising:
    """Has a unit raise its addresses, or lower them again.

    Args:
        hand: on the unit.
        wanted: what our objects shall be.
        applying: held while anything but endpoints is written.
    """

    def __init__(self, hand: Reconciler, wanted: Wanted, applying: asyncio.Lock) -> None:
        self._hand = hand
        self._wanted = wanted
        self._applying = applying

    async def make_sure(self) -> None:
        """Read everything back, and compare it with what it shall be.

        Raises:
            DriverUnavailable: the unit does not have everything, or another host writes it.
        """
        await self._hand.verify()
        self._demand(self._wanted.objects)

    async def up(self, within_s: float) -> None:
        """Have all addresses raised; if they are not, they are lowered again.

        Raises:
            DriverUnavailable: some traffic manager does not say in time that it has one of them.
        """
        try:
            await self._set(raises=True)
            await self._wait_raised(within_s)
        except OnehopError:
            with contextlib.suppress(OnehopError):  # the first fault is told
                await self._set(raises=False)
            raise

    async def reach(self) -> None:
        """Read everything back, and repair it, at whichever member answers.

        Raises:
            DriverUnavailable: none does, or another host writes it.
        """
        await self._hand.verify()
        self._demand(())

    async def down(self, within_s: float) -> None:
        """Have all addresses lowered; if they are not, they are raised again.

        All else is left as it is until then, so that the unit could serve on. One that does not
        answer is not asked to raise them before it does: nobody may have them meanwhile.

        Raises:
            Unsure: it does not answer, or does not say that it has raised them again.
            DriverUnavailable: some traffic manager says still that it has one of them; all are
                raised.
        """
        try:
            await self._set(raises=False)
            await self._wait_lowered(within_s)
        except Unwilling as first:
            try:
                await self._set(raises=True)
                await self._wait_raised(within_s)
            except OnehopError as second:
                self._hand.compare_soon()
                raise Unsure(f"{first}; and then: {second}") from first
            raise
        except OnehopError as err:
            self._wanted.set_raised(raises=True)
            self._hand.compare_soon()
            raise Unsure(str(err)) from err

    async def _set(self, *, raises: bool) -> None:
        async with self._applying:
            touched = self._wanted.set_raised(raises=raises)
            refused = await self._hand.bring(touched)
        for key, reason in refused.items():
            raise Unwilling(f"{key}: {reason}")
        self._demand(touched)

    def _demand(self, keys: Iterable[ObjectKey]) -> None:
        if not self._hand.rest.may_write():
            raise DriverUnavailable("another host holds the Lease, and writes to the unit")
        for key in sorted(keys):
            if self._hand.unit.differs(key):
                raise Unwilling(f"{key}: the unit does not have it as it shall be")

    async def _wait_raised(self, within_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + within_s
        while missing := self._wanted.addresses - await self._raised():
            if asyncio.get_running_loop().time() > deadline:
                names = ", ".join(sorted(missing))
                raise DriverUnavailable(f"the unit does not say that it has raised {names}")
            await asyncio.sleep(_LOOK_EVERY_S)
        log.info("vtm_raised", addresses=sorted(self._wanted.addresses))

    async def _wait_lowered(self, within_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + within_s
        while left := self._wanted.addresses & await self._raised():
            if asyncio.get_running_loop().time() > deadline:
                names = ", ".join(sorted(left))
                raise Unwilling(f"the unit says still that it has raised {names}")
            await asyncio.sleep(_LOOK_EVERY_S)
        log.info("vtm_lowered", addresses=sorted(self._wanted.addresses))

    async def _raised(self) -> frozenset[IpAddr]:
        profile = self._hand.unit.profile
        raised: set[IpAddr] = set()
        for machine in profile.machines if profile is not None else ():
            raised |= await raised_at(self._hand.rest, machine)
        return frozenset(raised)


async def raised_at(rest: Rest, machine: str) -> frozenset[IpAddr]:
    """Return the addresses that a traffic manager says it has; none if it says nothing.

    Raises:
        DriverUnavailable: the unit does not answer.
    """
    raised: set[IpAddr] = set()

    async def look(row: str) -> None:
        address = parse_ip(row)
        with contextlib.suppress(RejectedError):  # it was there a moment ago
            counters = await rest.statistics(_ROWS, row, machine=machine)
            if address is not None and counters.get("state") == "raised":
                raised.add(address)

    with contextlib.suppress(RejectedError):  # a machine that is down has no statistics
        rows = await rest.children(rest.statistics_path(_ROWS, machine=machine))
        await abreast(rows, look, rest.window)
    return frozenset(raised)
