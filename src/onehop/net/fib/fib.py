"""The kernel's routing as areas, kept in step by its events."""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Self, TypeAlias

import structlog

from onehop.base.errors import TransientError
from onehop.model.address import Cidr, IpAddr, ip_number, is_ipv6
from onehop.model.reach import Area, FibRoute
from onehop.net.fib.again import Again
from onehop.net.fib.event import read_events
from onehop.net.fib.kernel import Kernel, Lost
from onehop.net.fib.link import Links
from onehop.net.fib.mirror import Reading
from onehop.net.fib.prefix import Key
from onehop.net.fib.probe import Prober
from onehop.net.fib.survey import Survey, Touched, look_up
from onehop.net.fib.watch import Block, Watched

GATHER_S: Final = 0.01
"""How long further events gather after one was handled; that one was handled at once.

A thousand routes that BIRD withdraws in some 20 ms come out in a few strokes, the last 10 ms late.
"""
REREAD_S: Final = 60.0
"""How often everything is read anew, in case of a change that no event tells of (a sysctl)."""
REREAD_SHARE: Final = 0.01
"""Of our time that this may take: with a full Internet table it is read less often."""
RETRY_S: Final = 1.0
"""The same after the kernel did not answer."""

_SLICE: Final = 100
"""Areas that are looked at in one go; between, others have their turn on the event loop."""

Tell: TypeAlias = Callable[[Iterable[Watched]], None]

_log = structlog.get_logger(__name__)


class Fib:
    """What this host's kernel knows of the ways to the areas that are wanted.

    Everything happens on the event loop, in the network namespace of the thread that opens it.
    Enter it to have the kernel's routes read; from then on answers are right. `run` keeps them so.

    Args:
        stable_s: how long a route that has appeared must stand to be steady (see `steady`).
        trust: prefixes where areas are probed that only a default route leads to.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        *,
        stable_s: float = 3.0,
        trust: Iterable[Cidr] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._trust = tuple(map(Block, trust))
        self._links = Links()
        self._kernel: Kernel
        self._survey = Survey(stable_s=stable_s, clock=clock)
        self._again: Again[Touched] = Again()
        self._has_waiting = asyncio.Event()
        self._is_doubtful = asyncio.Event()
        self._opened_at = math.inf
        self._targets: Mapping[Cidr, tuple[IpAddr, int]] = {}
        self._prober = Prober()

    async def __aenter__(self) -> Self:
        """Read the routes.

        Raises:
            TransientError: this process may not use netlink, or the kernel does not answer.
        """
        self._kernel = Kernel(self._links)
        try:
            for ipv6, reading in (await self._read()).items():
                self._survey.mirrors[ipv6].fill(reading)
        except BaseException:
            self._kernel.close()
            raise
        self._opened_at = self._clock()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kernel.close()

    # -- asking -----------------------------------------------------------------------------------

    def want(self, areas: Iterable[Cidr]) -> tuple[Area, ...]:
        """Take the whole set of areas that are wanted from now on; return those that are new.

        Areas may lie within one another. Asks the kernel, which takes some 20 µs an area.

        Raises:
            TransientError: the kernel does not answer; nothing is wanted that was not before.
        """
        watched, wanted = self._survey.watched, dict.fromkeys(areas)
        new = [Watched(Block(prefix)) for prefix in wanted if prefix not in watched]
        told = self._examine(dict.fromkeys(new))
        gone = [each for prefix, each in watched.items() if prefix not in wanted]
        for each in gone:
            self._prober.drop(each.block.text)
        if gone:
            self._survey.remove(gone)
        if new:
            self._survey.add(new)
        return _areas(told)

    def probe_with(self, targets: Mapping[Cidr, tuple[IpAddr, int]]) -> None:
        """Take an address and a TCP port in each area that may be probed, instead of earlier ones.

        Only those are used that lie in `trust` and that nothing but a default route leads to.
        """
        self._targets = targets
        for watched in self._survey.watched.values():
            self._aim(watched)

    def routes(self, within: Cidr) -> tuple[FibRoute, ...]:
        """Return the routes to a prefix or to parts of it that packets take, in order.

        Wider routes are not among them, nor those that others hide (by a longer prefix, a rule, a
        lower metric). Asks the kernel, once for every prefix of any route in it.
        """
        block = Block(within)
        mirror = self._survey.mirrors[block.ipv6]
        spans = mirror.prefixes.split(block.first, block.last, block.length)
        answers = look_up(self._kernel, mirror, {span.key: span.first for span in reversed(spans)})
        found = {route for route in answers.values() if route is not None}
        inside = [route for route in found if block.holds(Block(route.prefix))]
        return tuple(sorted(inside, key=lambda route: Block(route.prefix).key))

    def route_to(self, address: IpAddr) -> FibRoute | None:
        """Return the route that a packet to an address takes now."""
        number, mirror = ip_number(address), self._survey.mirrors[is_ipv6(address)]
        key = mirror.prefixes.around(number, mirror.prefixes.bits)
        return look_up(self._kernel, mirror, {key: number})[key]

    def age_s(self, area: Cidr, number: int) -> float | None:
        """Return for how long at least the present way to an address of an area has stood.

        None if the area is not wanted, or no route leads there.
        """
        watched = self._survey.watched.get(area)
        standing = watched.standing_at(number) if watched is not None else None
        if standing is None:
            return None
        return self._clock() - max(standing.since, self._opened_at)

    # -- following --------------------------------------------------------------------------------

    async def run(self, changed: Callable[[tuple[Area, ...]], None]) -> None:
        """Call with the areas that have become different, until cancelled."""

        def tell(different: Iterable[Watched]) -> None:
            if areas := _areas(filter(self._survey.has, different)):
                changed(areas)

        async def look_again(several: list[Touched]) -> None:
            await self._find_out(self._examine_touched(_together(several)), tell)

        def heard(prefix: Cidr) -> None:
            tell(self._look([self._survey.watched[prefix]]))

        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(tell))
            group.create_task(self._again.run(look_again))
            group.create_task(self._promote(tell))
            group.create_task(self._reread_now_and_then(tell))
            group.create_task(self._prober.run(heard))

    async def _follow(self, tell: Tell) -> None:
        while True:
            try:
                happened = read_events(await self._kernel.events(), self._links)
            except Lost:
                _log.warning("route_events_lost", areas=len(self._survey.watched))
                await self._find_out(self._reread(), tell)
                self._again.add(None)
                continue
            touched = self._survey.touch(happened.touched, is_anything=happened.is_anything)
            if touched is None or touched:
                await self._find_out(self._examine_touched(touched), tell)
                self._again.add(touched)
            await asyncio.sleep(GATHER_S)

    async def _promote(self, tell: Tell) -> None:
        """Make stretches steady when their time has come."""
        promotions = self._survey.promotions
        while True:
            self._has_waiting.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(promotions.due_in(self._clock())):
                    await self._has_waiting.wait()
                continue  # something else waits, and may be due earlier
            due = dict.fromkeys(promotions.take(self._clock()))
            tell(self._look(due))

    async def _reread_now_and_then(self, tell: Tell) -> None:
        loop = asyncio.get_running_loop()
        pause_s = REREAD_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._is_doubtful.wait()
                await asyncio.sleep(RETRY_S)
            self._is_doubtful.clear()
            began = loop.time()
            await self._find_out(self._reread(), tell)
            pause_s = max(REREAD_S, (loop.time() - began) / REREAD_SHARE)

    async def _find_out(self, different: Awaitable[list[Watched]], tell: Tell) -> None:
        """Tell of areas that are different; if the kernel does not answer, have it asked later."""
        try:
            tell(await different)
        except TransientError as err:
            _log.warning("routes_not_read", error=str(err), retry_in_s=RETRY_S)
            self._is_doubtful.set()

    async def _reread(self) -> list[Watched]:
        """Read everything anew; return the areas that are different."""
        readings = await self._read()
        for ipv6, reading in readings.items():
            self._survey.mirrors[ipv6].refill(reading, self._clock())
        return await self._examine_touched(None)

    async def _read(self) -> dict[bool, Reading]:
        async for message in self._kernel.links():
            self._links.note(message)
        readings = {False: Reading(), True: Reading()}
        async for handful in self._kernel.prefixes():
            for matched in handful:
                readings[matched.ipv6].add(matched)
        return readings

    # -- looking at areas -------------------------------------------------------------------------

    async def _examine_touched(self, touched: Touched) -> list[Watched]:
        """Ask about what these prefixes concern, a slice at a time; return what is different."""
        different: list[Watched] = []
        concerned = self._survey.concerned_by(touched)
        some = list(concerned)
        for start in range(0, len(some), _SLICE):
            if start:
                await asyncio.sleep(0)
            present = filter(self._survey.has, some[start : start + _SLICE])
            different += self._examine({watched: concerned[watched] for watched in present})
        return different

    def _examine(self, some: Mapping[Watched, set[Key] | None]) -> list[Watched]:
        self._survey.examine(self._kernel, some)
        self._has_waiting.set()
        return self._look(some)

    def _look(self, some: Iterable[Watched]) -> list[Watched]:
        """Return the areas that are different now, and have those probed where it matters."""
        different: list[Watched] = []
        for watched in some:
            self._aim(watched)
            if watched.look(self._prober.result(watched.block.text)):
                different.append(watched)
        return different

    def _aim(self, watched: Watched) -> None:
        prefix = watched.block.text
        target = self._targets.get(prefix)
        is_trusted = any(trusted.holds(watched.block) for trusted in self._trust)
        if target is not None and is_trusted and watched.is_default_only:
            self._prober.aim(prefix, target)
        else:
            self._prober.drop(prefix)


def _together(several: Iterable[Touched]) -> Touched:
    keys: frozenset[tuple[bool, Key]] = frozenset()
    for touched in several:
        if touched is None:
            return None
        keys |= touched
    return keys


def _areas(some: Iterable[Watched]) -> tuple[Area, ...]:
    return tuple(watched.area for watched in some if watched.area is not None)
