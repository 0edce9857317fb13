"""How long a route must stand before it is walked up to again.

A way that is lost is lost at once. One that appears, or leads elsewhere than before, must stand for
a while first, and the more often it was lost of late, the longer: the penalty of RFC 2439 without
its decaying figure, gentle as RFC 7196 recommends, since what is damped here is our own use of the
route and nobody else's. So:

* a way that was there when onehop began is steady;
* any other is steady when it has stood for `stable_s`, and twice as long for each loss but the
  first that is not forgiven, at most MAX_WAIT_S;
* all losses are forgiven after FORGIVEN_S of being steady, or of being gone;
* a way that only loses some of its hops stays as steady as it was: what is left of it has stood;
* at most BUDGET stretches become steady within BUDGET_S.

Pure: time comes as an argument.
"""

import heapq
import math
from collections.abc import Hashable
from itertools import count
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from onehop.model.reach import FibRoute, Hop, RouteKind

MAX_WAIT_S: Final = 60.0
FORGIVEN_S: Final = 60.0
BUDGET: Final = 50
"""Stretches that may become steady within BUDGET_S.

A stretch is a node's block, some 25 endpoints; so 12,500 endpoints move up in a second at most.
A hundred nodes whose BGP sessions all come back are served directly 0.2 seconds later than they
could be, and a Service of ten thousand endpoints is not turned over in one instant."""
BUDGET_S: Final = 0.1

Way: TypeAlias = tuple[RouteKind, tuple[Hop, ...]] | None
"""What of a route decides where packets go; None for what proves no way at all."""

DEFAULT_ROUTES: Final = frozenset(("0.0.0.0/0", "::/0"))

T = TypeVar("T", bound=Hashable)


class Standing(msgspec.Struct, kw_only=True, gc=False):
    """How the way of a stretch has behaved; changed in place.

    Attributes:
        since: when the present way began.
        steady_at: when it is steady, or has become so.
        losses: not forgiven.
    """

    way: Way
    since: float
    steady_at: float
    is_steady: bool
    losses: int = 0

    def copy(self) -> "Standing":
        """Return one of its own for a part of the stretch."""
        return msgspec.structs.replace(self)

    def release(self) -> None:
        """Have `Promotions` forget it."""
        self.is_steady = True


def way_of(route: FibRoute | None) -> Way:
    """Return where a route leads; a default route or a refusal proves nothing."""
    if route is None or route.kind is RouteKind.REFUSED or route.prefix in DEFAULT_ROUTES:
        return None
    return route.kind, route.hops


def begin(way: Way, *, now: float, since: float, stable_s: float) -> Standing:
    """Return the standing of a stretch that is looked at for the first time.

    Args:
        way: where it leads.
        now: the time.
        since: when the route last changed; -inf if it was there when onehop began.
        stable_s: see above.
    """
    steady_at = since + stable_s
    is_steady = way is None or steady_at <= now
    return Standing(way=way, since=since, steady_at=steady_at, is_steady=is_steady)


def move(standing: Standing, way: Way, *, now: float, stable_s: float) -> None:
    """Take note of where the stretch leads now; of the same way again, nothing."""
    old = standing.way
    standing.way = way
    if way == old or (way is not None and old is not None and _is_left_of(way, old)):
        return
    if standing.is_steady and now - standing.steady_at >= FORGIVEN_S:
        standing.losses = 0
    if old is not None:
        standing.losses += 1
    wait_s = stable_s * 2.0 ** max(0, min(standing.losses, _ENOUGH) - 1)
    wait_s = min(wait_s, max(MAX_WAIT_S, stable_s))
    standing.since = now
    if way is None:  # nothing to wait for; but what was lost is remembered
        standing.is_steady = True
        standing.steady_at = now
    else:
        standing.steady_at = now + wait_s
        standing.is_steady = wait_s == 0


_ENOUGH: Final = 64  # doublings, beyond which every wait is the longest


def _is_left_of(
    way: tuple[RouteKind, tuple[Hop, ...]], old: tuple[RouteKind, tuple[Hop, ...]]
) -> bool:
    return way[0] is old[0] and bool(way[1]) and set(way[1]) < set(old[1])


class Promotions(Generic[T]):
    """The stretches that wait to become steady, soonest first, and the budget they share."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, T, Standing]] = []
        self._order = count()
        self._began = -math.inf
        self._spent = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, what: T, standing: Standing) -> None:
        """Have a stretch become steady when its time comes, unless it moves before."""
        heapq.heappush(self._waiting, (standing.steady_at, next(self._order), what, standing))

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds something may become steady; None if nothing waits."""
        self._drop_stale()
        if not self._waiting:
            return None
        at = self._waiting[0][0]
        if self._spent >= BUDGET:
            at = max(at, self._began + BUDGET_S)
        return max(0.0, at - now)

    def take(self, now: float) -> list[T]:
        """Make steady what is due, as far as the budget goes; return what that was."""
        taken: list[T] = []
        if now >= self._began + BUDGET_S:
            self._began, self._spent = now, 0
        self._drop_stale()
        while self._waiting and self._waiting[0][0] <= now and self._spent < BUDGET:
            _, _, what, standing = heapq.heappop(self._waiting)
            standing.is_steady = True
            standing.steady_at = now
            self._spent += 1
            taken.append(what)
            self._drop_stale()
        return taken

    def _drop_stale(self) -> None:
        """Forget what has moved since: it waits anew, or for nothing."""
        while self._waiting:
            at, _, _, standing = self._waiting[0]
            if not standing.is_steady and standing.steady_at == at:
                return
            heapq.heappop(self._waiting)
