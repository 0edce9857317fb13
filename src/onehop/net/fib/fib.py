"""The kernel's routing as areas, kept in step by its events."""

import asyncio
import contextlib
import errno
import math
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Self

import structlog

from onehop.model.address import Cidr, IpAddr, ip_number, is_ipv6
from onehop.model.reach import Area, FibRoute, RouteKind
from onehop.net.fib.event import read_events
from onehop.net.fib.kernel import Kernel, Lost
from onehop.net.fib.link import Links
from onehop.net.fib.mirror import Mirror, Reading
from onehop.net.fib.prefix import Key, Prefixes, length_of
from onehop.net.fib.probe import Prober
from onehop.net.fib.route import origin_of
from onehop.net.fib.steady import Promotions
from onehop.net.fib.watch import Block, Watched
from onehop.net.rtnetlink.message import to_address

GATHER_S: Final = 0.01
"""How long further events gather after one was handled; that one was handled at once.

A thousand routes that BIRD withdraws in some 20 ms come out in a few strokes, the last 10 ms late.
"""
REREAD_S: Final = 60.0
"""How often everything is read anew, in case of a change that no event tells of (a sysctl)."""

_SLICE: Final = 100
"""Areas that are looked at in one go; between, others have their turn on the event loop."""
_REFUSALS: Final = frozenset((errno.EINVAL, errno.EACCES, errno.EHOSTUNREACH))
"""What a look-up says that ends at a blackhole, a prohibition, or `unreachable`."""

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
        self._stable_s = stable_s
        self._trust = tuple(map(Block, trust))
        self._clock = clock
        self._links = Links()
        self._kernel: Kernel
        self._mirrors = {False: Mirror(ipv6=False), True: Mirror(ipv6=True)}
        self._watched: dict[Cidr, Watched] = {}
        self._index = {False: Prefixes(32), True: Prefixes(128)}
        self._by_key: dict[tuple[bool, Key], Watched] = {}
        self._promotions: Promotions[Watched] = Promotions()
        self._is_waiting = asyncio.Event()
        self._anything_at = -math.inf
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
                self._mirrors[ipv6].fill(reading)
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

        Areas may lie within one another. Asks the kernel, which takes some 10 µs an area.

        Raises:
            TransientError: the kernel does not answer; nothing is wanted that was not before.
        """
        wanted = dict.fromkeys(areas)
        new = [Watched(Block(text)) for text in wanted if text not in self._watched]
        told = self._examine(new, None)
        gone = [watched for text, watched in self._watched.items() if text not in wanted]
        for watched in gone:
            watched.release()
            self._prober.drop(watched.block.text)
            del self._watched[watched.block.text]
        self._watched.update((watched.block.text, watched) for watched in new)
        if new or gone:
            self._reindex()
        return tuple(told)

    def probe_with(self, targets: Mapping[Cidr, tuple[IpAddr, int]]) -> None:
        """Take an address and a TCP port in each area that may be probed, instead of earlier ones.

        Only those are used that lie in `trust` and that nothing but a default route leads to.
        """
        self._targets = targets
        for watched in self._watched.values():
            self._aim(watched)

    def routes(self, within: Cidr) -> tuple[FibRoute, ...]:
        """Return the routes to a prefix or to parts of it that packets take, in order.

        Wider routes are not among them, nor those that others hide (by a longer prefix, a rule, a
        lower metric).
        Asks the kernel, once for every prefix of any route in it.
        """
        block = Block(within)
        mirror = self._mirrors[block.ipv6]
        spans = mirror.prefixes.split(block.first, block.last, block.length)
        answers = self._look_up(mirror, {span.key: span.first for span in reversed(spans)})
        found = {route for route in answers.values() if route is not None}
        inside = [route for route in found if block.holds(Block(route.prefix))]
        return tuple(sorted(inside, key=lambda route: Block(route.prefix).key))

    def route_to(self, address: IpAddr) -> FibRoute | None:
        """Return the route that a packet to an address takes now."""
        ipv6, number = is_ipv6(address), ip_number(address)
        mirror = self._mirrors[ipv6]
        key = mirror.prefixes.around(number, mirror.prefixes.bits)
        return self._look_up(mirror, {key: number})[key]

    def age_s(self, area: Cidr, number: int) -> float | None:
        """Return for how long at least the present way to an address of an area has stood.

        None if the area is not wanted, or no route leads there.
        """
        watched = self._watched.get(area)
        standing = watched.standing_at(number) if watched is not None else None
        if standing is None:
            return None
        return self._clock() - max(standing.since, self._opened_at)

    # -- following --------------------------------------------------------------------------------

    async def run(self, changed: Callable[[tuple[Area, ...]], None]) -> None:
        """Call with the areas that have become different, until cancelled.

        Raises:
            TransientError: the kernel does not answer.
        """

        def tell(areas: list[Area]) -> None:
            if areas:
                changed(tuple(areas))

        def heard(prefix: Cidr) -> None:
            tell(self._look([self._watched[prefix]]))

        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(tell))
            group.create_task(self._promote(tell))
            group.create_task(self._reread_now_and_then(tell))
            group.create_task(self._prober.run(heard))

    async def _follow(self, tell: Callable[[list[Area]], None]) -> None:
        while True:
            try:
                happened = read_events(await self._kernel.events(), self._links)
            except Lost:
                _log.warning("route_events_lost", areas=len(self._watched))
                tell(await self._reread())
                continue
            now = self._clock()
            for matched in happened.touched:
                self._mirrors[matched.ipv6].touch(matched, now)
            if happened.is_anything:
                self._anything_at = now
                tell(await self._examine_all())
            elif happened.touched:
                tell(self._examine_touched({(each.ipv6, each.key) for each in happened.touched}))
            await asyncio.sleep(GATHER_S)

    async def _promote(self, tell: Callable[[list[Area]], None]) -> None:
        """Make areas steady when their time has come."""
        while True:
            self._is_waiting.clear()
            wait_s = self._promotions.due_in(self._clock())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._is_waiting.wait()
                continue  # something else waits, and may be due earlier
            due = dict.fromkeys(self._promotions.take(self._clock()))
            tell(self._look(filter(self._is_watched, due)))

    async def _reread_now_and_then(self, tell: Callable[[list[Area]], None]) -> None:
        while True:
            await asyncio.sleep(REREAD_S)
            tell(await self._reread())

    async def _reread(self) -> list[Area]:
        """Read everything anew; return the areas that are different."""
        readings = await self._read()
        now = self._clock()
        for ipv6, reading in readings.items():
            self._mirrors[ipv6].refill(reading, now)
        return await self._examine_all()

    async def _read(self) -> dict[bool, Reading]:
        async for message in self._kernel.links():
            self._links.note(message)
        readings = {False: Reading(), True: Reading()}
        async for handful in self._kernel.prefixes():
            for matched in handful:
                readings[matched.ipv6].add(matched)
        return readings

    # -- looking at areas -------------------------------------------------------------------------

    async def _examine_all(self) -> list[Area]:
        """Ask about everything again, a slice at a time; return the areas that are different."""
        told: list[Area] = []
        everything = list(self._watched.values())
        for start in range(0, len(everything), _SLICE):
            some = everything[start : start + _SLICE]
            told += self._examine([each for each in some if self._is_watched(each)], None)
            await asyncio.sleep(0)
        return [area for area in told if area.prefix in self._watched]

    def _is_watched(self, watched: Watched) -> bool:
        return self._watched.get(watched.block.text) is watched

    def _examine_touched(self, touched: set[tuple[bool, Key]]) -> list[Area]:
        """Ask about what these prefixes concern; return the areas that are different."""
        concerned: dict[Watched, set[Key]] = {}
        for ipv6, key in touched:
            for watched in self._overlapping(key, ipv6=ipv6):
                concerned.setdefault(watched, set()).add(key)
        return self._examine(concerned, concerned)

    def _examine(
        self, some: Iterable[Watched], touched: Mapping[Watched, set[Key]] | None
    ) -> list[Area]:
        """Ask about areas as far as prefixes were touched; return those that are different."""
        some = list(some)
        parts: list[tuple[Watched, dict[Key, int]]] = []
        questions: dict[bool, dict[Key, int]] = {False: {}, True: {}}
        for watched in some:
            ipv6 = watched.block.ipv6
            part = watched.divide(
                self._mirrors[ipv6].prefixes, None if touched is None else touched[watched]
            )
            parts.append((watched, part))
            questions[ipv6].update(part)
        routes = {
            ipv6: self._look_up(self._mirrors[ipv6], asked) for ipv6, asked in questions.items()
        }
        for watched, part in parts:
            self._learn(watched, {key: routes[watched.block.ipv6][key] for key in part})
        return self._look(some)

    def _learn(self, watched: Watched, routes: Mapping[Key, FibRoute | None]) -> None:
        now = self._clock()
        mirror = self._mirrors[watched.block.ipv6]
        for key, route in routes.items():
            touched_at = -math.inf
            if route is not None and watched.area is None:
                length = int(route.prefix.partition("/")[2])
                touched_at = max(mirror.touched_at(key, length), self._anything_at)
            standing = watched.learn(
                key, route, touched_at=touched_at, now=now, stable_s=self._stable_s
            )
            if standing is not None:
                self._promotions.add(watched, standing)
                self._is_waiting.set()

    def _look_up(self, mirror: Mirror, questions: Mapping[Key, int]) -> dict[Key, FibRoute | None]:
        """Ask the kernel about one address of each span."""
        answers = self._kernel.look_up(list(questions.values()), ipv6=mirror.ipv6)
        return {
            key: _refusal(mirror, key, answer) if isinstance(answer, int) else answer
            for key, answer in zip(questions, answers, strict=True)
        }

    def _overlapping(self, key: Key, *, ipv6: bool) -> list[Watched]:
        """Return the wanted areas that share addresses with a prefix."""
        index = self._index[ipv6]
        first, last = index.ends(key)
        keys = index.inside(first, last, length_of(key))
        around = index.around(first, length_of(key))
        keys.append(around)
        while around != (wider := index.parent(around)):
            keys.append(around := wider)
        found = (self._by_key.get((ipv6, each)) for each in keys)
        return [watched for watched in found if watched is not None]

    def _reindex(self) -> None:
        self._by_key = {
            (watched.block.ipv6, watched.block.key): watched for watched in self._watched.values()
        }
        for ipv6, index in self._index.items():
            index.replace(key for family, key in self._by_key if family is ipv6)

    # -- probing ----------------------------------------------------------------------------------

    def _look(self, some: Iterable[Watched]) -> list[Area]:
        """Return the areas that are different now, and have those probed where it matters."""
        told: list[Area] = []
        for watched in some:
            prefix = watched.block.text
            self._aim(watched)
            watched.probe = self._prober.result(prefix)
            area = watched.look()
            if area is not None:
                told.append(area)
        return told

    def _aim(self, watched: Watched) -> None:
        prefix = watched.block.text
        target = self._targets.get(prefix)
        is_trusted = any(trusted.holds(watched.block) for trusted in self._trust)
        if target is not None and is_trusted and watched.is_default_only:
            self._prober.aim(prefix, target)
        else:
            self._prober.drop(prefix)


def _refusal(mirror: Mirror, key: Key, code: int) -> FibRoute | None:
    """Return what a look-up that failed means."""
    if code not in _REFUSALS:
        return None
    found, refusal = mirror.refusal(key)
    first, _ = mirror.prefixes.ends(found)
    address = to_address(first.to_bytes(mirror.prefixes.bits // 8, "big"))
    table, origin = (refusal[0], origin_of(refusal[1])) if refusal else (0, "rule")
    return FibRoute(
        prefix=Cidr(f"{address}/{length_of(found)}"),
        kind=RouteKind.REFUSED,
        table=table,
        origin=origin,
    )
