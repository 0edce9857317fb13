"""Who may speak for which addresses: the owner of an address is that of its innermost block."""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from onehop.model.address import Cidr, IpAddr, is_ipv6
from onehop.model.network import Block

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
    inner: dict[Extent, list[Cidr]] = {area: [] for area in distinct}
    around: list[Extent] = []
    for area, block in sorted(distinct.items()):
        while around and not around[-1].covers(area):
            around.pop()
        for outer in around:
            if distinct[outer].node != block.node:
                inner[outer].append(block.prefix)
        around.append(area)
    return tuple(Holding(distinct[area], tuple(inner[area])) for area in sorted(distinct))


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
