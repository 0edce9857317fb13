"""Who may speak for which addresses: the owner of an address is that of its innermost block."""

import ipaddress
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar

import msgspec

from onehop.model.address import Cidr, IpAddr, is_ipv6
from onehop.model.network import Block

T = TypeVar("T")

_BITS: Final = {False: 32, True: 128}


class Holding(msgspec.Struct, frozen=True, order=True, gc=False):
    """A block, and the blocks of other nodes within it."""

    block: Block
    except_for: tuple[Cidr, ...] = ()


class Extent(msgspec.Struct, frozen=True, order=True, gc=False):
    """A prefix as numbers; the order puts outer prefixes before those within them."""

    first: int
    reversed_last: int

    @property
    def last(self) -> int:
        """The number of the last address, inclusive."""
        return -self.reversed_last

    def covers(self, other: "Extent") -> bool:
        """Tell whether the other prefix, of the same family, lies within this one."""
        return self.first <= other.first and other.last <= self.last


class Nesting(Generic[T]):
    """Prefixes of one family within each other; building costs O(n log n), asking O(log n)."""

    def __init__(self, by_extent: Mapping[Extent, T]) -> None:
        self._values = by_extent
        self._areas = sorted(by_extent)
        self._outer: list[int] = []
        """For each area the index of the innermost one around it, or -1."""
        around: list[int] = []
        for index, area in enumerate(self._areas):
            while around and not self._areas[around[-1]].covers(area):
                around.pop()
            self._outer.append(around[-1] if around else -1)
            around.append(index)

    def items(self) -> Iterator[tuple[Extent, T]]:
        """Yield all of them; outer ones come before those within them."""
        for area in self._areas:
            yield area, self._values[area]

    def around(self, area: Extent) -> Iterator[T]:
        """Yield what covers an area, from the innermost, which may be the area itself, outwards."""
        index = bisect_right(self._areas, area) - 1
        while index >= 0:
            if self._areas[index].covers(area):
                yield self._values[self._areas[index]]
            index = self._outer[index]

    def innermost(self, area: Extent) -> T | None:
        """Return what covers an area most closely."""
        return next(self.around(area), None)

    def has_within(self, area: Extent) -> bool:
        """Tell whether any prefix lies within an area."""
        index = bisect_left(self._areas, area)
        return index < len(self._areas) and area.covers(self._areas[index])


def extent(prefix: Cidr) -> Extent:
    """Return the numbers of a prefix."""
    base, _, length = prefix.partition("/")
    first = int(ipaddress.ip_address(base))
    size = 1 << (_BITS[is_ipv6(prefix)] - int(length))
    return Extent(first, -(first + size - 1))


def holdings(blocks: Iterable[Block], *, ipv6: bool) -> tuple[Holding, ...]:
    """Return the blocks of one family in order, each with what others have within it.

    Of several blocks with one prefix the first in order counts: an address has one owner.
    """
    distinct: dict[Extent, Block] = {}
    for block in sorted(blocks):
        if is_ipv6(block.prefix) is ipv6:
            distinct.setdefault(extent(block.prefix), block)
    nesting = Nesting(distinct)
    inner: dict[Cidr, list[Cidr]] = {block.prefix: [] for block in distinct.values()}
    for area, block in nesting.items():
        for outer in nesting.around(area):
            if outer.node != block.node:
                inner[outer.prefix].append(block.prefix)
    return tuple(Holding(block, tuple(inner[block.prefix])) for _, block in nesting.items())


def by_hops(held: Iterable[Holding]) -> Mapping[tuple[IpAddr, ...], tuple[Holding, ...]]:
    """Group holdings by who may be their next hop: every hop is in one group only."""
    of_hop: dict[IpAddr, list[Holding]] = {}
    for holding in held:
        for hop in set(holding.block.hops):
            of_hop.setdefault(hop, []).append(holding)
    groups: dict[tuple[Holding, ...], list[IpAddr]] = {}
    for hop, its in of_hop.items():
        groups.setdefault(tuple(its), []).append(hop)
    return {tuple(sorted(hops)): its for its, hops in groups.items()}
