"""VIPs on this host: there while something is served on them.

Probing whether somebody else has an address takes most of a second, so binding goes on beside the
pipeline and holds up nobody: a listener may stand before its address does (Envoy binds with
IP_FREEBIND). An address appears in an object's status only when it is bound.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from onehop.base.errors import ConfigError, TransientError
from onehop.base.latest import Latest
from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason
from onehop.net import AddressBinder, AddressInUse, NoBinder

PROBES_AT_ONCE: Final = 32
RETRY_S: Final = 10.0

log = structlog.get_logger(__name__)

Owners = tuple[ObjectRef, ...]


class Binding:
    """Keeps exactly the wanted addresses bound, by an `AddressBinder`.

    An address that somebody else answers for is a Problem of the objects on it, and is tried again
    every `RETRY_S`; so is one whose interface is down.
    """

    def __init__(self, binder: AddressBinder) -> None:
        self.on_outcome: list[Callable[[frozenset[ObjectRef]], None]] = []
        self._binder = binder
        self._wanted = Latest[Mapping[IpAddr, Owners]]()
        self._bound: frozenset[IpAddr] = frozenset()
        self._problems: dict[IpAddr, tuple[Problem, ...]] = {}
        self._changing = asyncio.Lock()
        self._tasks: asyncio.TaskGroup | None = None
        self._guard: asyncio.Task[None] | None = None

    def want(self, vips: Mapping[IpAddr, Owners]) -> None:
        """Say which addresses shall be bound from now on, and for whom."""
        if self._wanted.peek() != vips:
            self._wanted.put(vips)

    def is_bound(self, address: IpAddr) -> bool:
        """Tell whether clients can reach the address here."""
        return address in self._bound

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with addresses now."""
        return tuple(problem for problems in self._problems.values() for problem in problems)

    def problems_of(self, subject: ObjectRef) -> tuple[Problem, ...]:
        """Return what is wrong with one object's addresses."""
        return tuple(problem for problem in self.problems() if problem.subject == subject)

    @property
    def addresses(self) -> frozenset[IpAddr]:
        """All that shall be bound."""
        return frozenset(self._wanted.peek() or ())

    async def hold(self, binder: AddressBinder) -> None:
        """Put all addresses on this host as well, because another machine lets them go.

        From then on they are kept bound by this binder; `release` undoes it.

        Raises:
            ConfigError, TransientError: they cannot be; none of them stays.
        """
        async with self._changing:
            try:
                for address in sorted(self.addresses):
                    await binder.hold(address)
            except (ConfigError, TransientError):
                await _unbind(binder, self.addresses)
                raise
            self._bound |= self.addresses
            self._use(binder)

    async def release(self) -> tuple[IpAddr, ...]:
        """Take all addresses off this host for good, because another machine has them now.

        They count as bound on, as where somebody else owns the addresses.

        Returns:
            Those that could not be taken off.
        """
        async with self._changing:
            stayed = await _unbind(self._binder, self._bound)
            self._use(NoBinder())
            for address in self._bound:
                await self._binder.bind(address)
        return stayed

    async def run(self) -> None:
        """Bind and unbind until cancelled; on leaving, everything stays bound for the next run."""
        async with asyncio.TaskGroup() as self._tasks:
            self._use(self._binder)
            self._tasks.create_task(self._follow())

    def _use(self, binder: AddressBinder) -> None:
        """Have the addresses kept by this one from now on."""
        self._binder = binder
        if self._guard is not None:
            self._guard.cancel()
        if self._tasks is not None:
            self._guard = self._tasks.create_task(binder.keep_bound())

    async def _follow(self) -> None:
        seen = 0
        while True:
            try:
                async with asyncio.timeout(RETRY_S if self._problems else None):
                    seen, wanted = await self._wanted.newer(seen)
            except TimeoutError:
                wanted = self._wanted.peek() or {}
            async with self._changing:
                await self._reconcile(wanted)

    async def _reconcile(self, wanted: Mapping[IpAddr, Owners]) -> None:
        places = asyncio.Semaphore(PROBES_AT_ONCE)
        # What an earlier run has left bound and nobody wants any more goes here, too.
        for address in (self._bound | await self._binder.bound()) - wanted.keys():
            await self._binder.unbind(address)
            self._bound -= {address}
            log.info("vip_released", address=address)
        for address in self._problems.keys() - wanted.keys():
            del self._problems[address]
        async with asyncio.TaskGroup() as tasks:
            for address in wanted.keys() - self._bound:
                tasks.create_task(self._bind(address, wanted[address], places))

    async def _bind(self, address: IpAddr, owners: Owners, places: asyncio.Semaphore) -> None:
        async with places:
            try:
                await self._binder.bind(address)
            except (AddressInUse, TransientError) as err:
                subjects = owners or (ObjectRef("Address", "", address),)
                self._problems[address] = tuple(_refusal(subject, err) for subject in subjects)
                log.warning("vip_not_bound", address=address, error=str(err), retry_in_s=RETRY_S)
            else:
                self._problems.pop(address, None)
                self._bound |= {address}
                log.info("vip_bound", address=address)
        for heed in self.on_outcome:
            heed(frozenset(owners))


async def _unbind(binder: AddressBinder, addresses: frozenset[IpAddr]) -> tuple[IpAddr, ...]:
    """Take addresses off this host; return those that could not be."""
    stayed: list[IpAddr] = []
    for address in sorted(addresses):
        try:
            await binder.unbind(address)
        except (ConfigError, TransientError) as err:
            stayed.append(address)
            log.warning("vip_not_unbound", address=address, error=str(err))
        else:
            log.info("vip_released", address=address)
    return tuple(stayed)


def _refusal(subject: ObjectRef, err: AddressInUse | TransientError) -> Problem:
    return Problem(
        subject=subject,
        reason=Reason.ADDRESS_IN_USE,
        message=f"{err}; it is not bound here, and is tried again every {RETRY_S:g} s",
    )
