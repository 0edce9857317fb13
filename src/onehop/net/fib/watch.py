"""An area that somebody wants to know about: what the kernel said of it, and since when."""

from bisect import bisect_right
from collections.abc import Iterable

from onehop.model.address import Cidr, IpAddr, ip_number, is_ipv6
from onehop.model.reach import Area, FibRoute, ProbeResult, RouteKind, Stretch
from onehop.net.fib.prefix import Key, Prefixes, Span, key_of, length_of
from onehop.net.fib.steady import DEFAULT_ROUTES, Standing, begin, move, way_of


class Block:
    """A prefix, and the same as numbers."""

    __slots__ = ("first", "ipv6", "key", "last", "length", "text")

    def __init__(self, text: Cidr) -> None:
        address, _, length = text.partition("/")
        self.text = text
        self.ipv6 = is_ipv6(text)
        self.length = int(length)
        self.first = ip_number(IpAddr(address))
        self.last = self.first | ((1 << ((128 if self.ipv6 else 32) - self.length)) - 1)
        self.key = key_of(self.first, self.length)

    def holds(self, other: "Block") -> bool:
        """Tell whether the other lies in this one."""
        is_within = self.first <= other.first and other.last <= self.last
        return is_within and self.ipv6 is other.ipv6


class Watched:
    """One area: its spans (see `prefix`), and the route and standing of each.

    Attributes:
        block: which one.
        area: what is known of it; None until the kernel was first asked.
    """

    __slots__ = ("_routes", "_spans", "_standings", "area", "block")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.area: Area | None = None
        self._spans: tuple[Span, ...] = ()
        self._routes: dict[Key, FibRoute | None] = {}
        self._standings: dict[Key, Standing] = {}

    @property
    def is_default_only(self) -> bool:
        """Whether default routes lead to all addresses of it, and nothing else does."""
        return all(
            route is not None and route.kind is RouteKind.UNICAST and route.prefix in DEFAULT_ROUTES
            for route in self._routes.values()
        )

    def divide(self, prefixes: Prefixes, touched: Iterable[Key] | None) -> dict[Key, int]:
        """Take note of the prefixes in the area, and return what the kernel must be asked.

        Args:
            prefixes: of all routes and rules, the touched ones among them.
            touched: what has come, gone or changed; None if it may be anything.

        Returns:
            Keys of spans, each with an address to ask about.
        """
        before, block = self._spans, self.block
        self._spans = prefixes.split(block.first, block.last, block.length)
        questions: dict[Key, int] = {}
        for span in self._spans:
            questions.setdefault(span.key, span.first)
        self._inherit(before, questions)
        for key in self._routes.keys() - questions.keys():
            del self._routes[key]
            self._standings.pop(key).release()
        if touched is None:
            return questions
        stale = questions.keys() - self._routes.keys()
        for key in touched:
            stale |= self._concerned_by(key, prefixes)
        return {key: number for key, number in questions.items() if key in stale}

    def learn(
        self, key: Key, route: FibRoute | None, *, touched_at: float, now: float, stable_s: float
    ) -> Standing | None:
        """Take what the kernel answered; return the standing if it begins to wait.

        Args:
            key: of the span that was asked about.
            route: the answer.
            touched_at: when the route may last have changed, if this is the first time.
            now: the time.
            stable_s: how long a route must stand.
        """
        is_first = key not in self._routes
        self._routes[key] = route
        way = way_of(route)
        standing = self._standings.get(key)
        if standing is None:
            standing = begin(way, now=now, since=touched_at, stable_s=stable_s)
            self._standings[key] = standing
            return None if standing.is_steady else standing
        waited_for = None if is_first or standing.is_steady else standing.steady_at
        move(standing, way, now=now, stable_s=stable_s)
        return None if standing.is_steady or standing.steady_at == waited_for else standing

    def look(self, probe: ProbeResult) -> bool:
        """Write down what is known; return whether it is different from what was told before."""
        stretches: list[Stretch] = []
        for first, last, key in self._spans:
            route, is_steady = self._routes[key], self._standings[key].is_steady
            if stretches and (stretches[-1].route, stretches[-1].is_steady) == (route, is_steady):
                first = stretches.pop().first  # noqa: PLW2901  the two are one
            stretches.append(Stretch(first=first, last=last, route=route, is_steady=is_steady))
        area = Area(prefix=self.block.text, stretches=tuple(stretches), probe=probe)
        is_different = area != self.area
        self.area = area
        return is_different

    def standing_at(self, number: int) -> Standing | None:
        """Return the standing of an address; None where no route leads, or outside of the area."""
        if not self.block.first <= number <= self.block.last:
            return None
        key = _at(self._spans, number)
        return None if self._routes[key] is None else self._standings[key]

    def release(self) -> None:
        """Let nobody wait for its stretches any more."""
        for standing in self._standings.values():
            standing.release()

    def _inherit(self, before: tuple[Span, ...], questions: dict[Key, int]) -> None:
        """Give new spans what was known of their addresses, so that a change is seen as one."""
        if not before:
            return
        for key in questions.keys() - self._routes.keys():
            old = _at(before, questions[key])
            self._standings[key] = self._standings[old].copy()

    def _concerned_by(self, touched: Key, prefixes: Prefixes) -> set[Key]:
        """Return the spans that must be asked about again because of one prefix.

        Those are the ones inside of it; and the one around it, for if the prefix is new, the
        question about that one may have been answered for the newcomer already.
        """
        block = self.block
        first, last = prefixes.ends(touched)
        if first <= block.first and block.last <= last:
            return set(self._standings)
        inside = prefixes.inside(first, last, length_of(touched))
        return {touched, prefixes.parent(touched), *inside}


def _at(spans: tuple[Span, ...], number: int) -> Key:
    return spans[bisect_right(spans, number, key=lambda span: span.first) - 1].key
