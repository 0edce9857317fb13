"""The areas that are wanted, and what asking the kernel about them shows."""

import errno
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from onehop.model.address import Cidr
from onehop.model.reach import FibRoute, RouteKind
from onehop.net.fib.kernel import Kernel
from onehop.net.fib.mirror import Mirror
from onehop.net.fib.prefix import Key, Prefixes, length_of
from onehop.net.fib.route import Matched, origin_of
from onehop.net.fib.steady import Promotions
from onehop.net.fib.watch import Watched
from onehop.net.rtnetlink.value import to_address

Touched: TypeAlias = frozenset[tuple[bool, Key]] | None
"""Prefixes of routes that changed, each with whether it is IPv6; None if it may be any."""

_REFUSALS: Final = frozenset((errno.EINVAL, errno.EACCES, errno.EHOSTUNREACH))
"""What a look-up says that ends at a blackhole, a prohibition, or `unreachable`."""


class Survey:
    """Wanted areas by prefix, their routes, and who waits to become steady.

    Attributes:
        mirrors: by whether they are for IPv6.
        watched: the wanted areas.
        promotions: those with stretches that wait.

    Args:
        stable_s: how long a route that has appeared must stand.
        clock: monotonic, in seconds.
    """

    def __init__(self, *, stable_s: float, clock: Callable[[], float]) -> None:
        self.mirrors = {False: Mirror(ipv6=False), True: Mirror(ipv6=True)}
        self.watched: dict[Cidr, Watched] = {}
        self.promotions: Promotions[Watched] = Promotions()
        self._stable_s = stable_s
        self._clock = clock
        self._index = {False: Prefixes(32), True: Prefixes(128)}
        self._by_key: dict[tuple[bool, Key], Watched] = {}
        self._anything_at = -math.inf

    def has(self, watched: Watched) -> bool:
        """Tell whether an area is still wanted, and this is how it is known."""
        return self.watched.get(watched.block.text) is watched

    def add(self, new: Iterable[Watched]) -> None:
        """Want further areas."""
        self.watched.update((watched.block.text, watched) for watched in new)
        self._reindex()

    def remove(self, gone: Iterable[Watched]) -> None:
        """Want areas no longer."""
        for watched in gone:
            watched.release()
            del self.watched[watched.block.text]
        self._reindex()

    def touch(self, happened: Iterable[Matched], *, is_anything: bool) -> Touched:
        """Take note of routes that changed; return what was touched."""
        now = self._clock()
        keys: set[tuple[bool, Key]] = set()
        for matched in happened:
            self.mirrors[matched.ipv6].touch(matched, now)
            keys.add((matched.ipv6, matched.key))
        if is_anything:
            self._anything_at = now
            return None
        return frozenset(keys)

    def concerned_by(self, touched: Touched) -> dict[Watched, set[Key] | None]:
        """Return the wanted areas that share addresses with prefixes, each with those."""
        if touched is None:
            return dict.fromkeys(self.watched.values())
        found: dict[Watched, set[Key]] = {}
        for ipv6, key in touched:
            for watched in self._overlapping(key, ipv6=ipv6):
                found.setdefault(watched, set()).add(key)
        return dict(found)

    def examine(self, kernel: Kernel, some: Mapping[Watched, set[Key] | None]) -> None:
        """Ask about areas, as far as prefixes in them were touched.

        Raises:
            TransientError: the kernel does not answer.
        """
        parts: list[tuple[Watched, dict[Key, int]]] = []
        questions: dict[bool, dict[Key, int]] = {False: {}, True: {}}
        for watched, touched in some.items():
            ipv6 = watched.block.ipv6
            part = watched.divide(self.mirrors[ipv6].prefixes, touched)
            parts.append((watched, part))
            questions[ipv6].update(part)
        routes = {
            ipv6: look_up(kernel, self.mirrors[ipv6], asked) for ipv6, asked in questions.items()
        }
        for watched, part in parts:
            self._learn(watched, {key: routes[watched.block.ipv6][key] for key in part})

    def _learn(self, watched: Watched, routes: Mapping[Key, FibRoute | None]) -> None:
        now = self._clock()
        for key, route in routes.items():
            touched_at = self._touched_at(watched, key, route)
            standing = watched.learn(
                key, route, touched_at=touched_at, now=now, stable_s=self._stable_s
            )
            if standing is not None:
                self.promotions.add(watched, standing)

    def _touched_at(self, watched: Watched, key: Key, route: FibRoute | None) -> float:
        """Return when the route may last have changed to an area that was not watched before."""
        if route is None or watched.area is not None:
            return -math.inf
        length = int(route.prefix.partition("/")[2])
        mirror = self.mirrors[watched.block.ipv6]
        return max(mirror.touched_at(key, length), self._anything_at)

    def _overlapping(self, key: Key, *, ipv6: bool) -> list[Watched]:
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
            (watched.block.ipv6, watched.block.key): watched for watched in self.watched.values()
        }
        for ipv6, index in self._index.items():
            index.replace(key for family, key in self._by_key if family is ipv6)


def look_up(
    kernel: Kernel, mirror: Mirror, questions: Mapping[Key, int]
) -> dict[Key, FibRoute | None]:
    """Return the route to one address of each span."""
    answers = kernel.look_up(list(questions.values()), ipv6=mirror.ipv6)
    return {
        key: _refusal(mirror, key, answer) if isinstance(answer, int) else answer
        for key, answer in zip(questions, answers, strict=True)
    }


def _refusal(mirror: Mirror, key: Key, code: int) -> FibRoute | None:
    """Return what a look-up that failed means."""
    if code not in _REFUSALS:
        return None
    found, refusal = mirror.refusal(key)
    first, _ = mirror.prefixes.ends(found)
    address = to_address(first.to_bytes(mirror.prefixes.bits // 8, "big"))
    table, protocol = refusal or (0, 0)
    origin = origin_of(protocol) if table else "rule"
    return FibRoute(
        prefix=Cidr(f"{address}/{length_of(found)}"),
        kind=RouteKind.REFUSED,
        table=table,
        origin=origin,
    )
