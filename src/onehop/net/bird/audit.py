"""Whether the routes there are agree with who owns which addresses."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from onehop.model.address import Cidr, IpAddr, is_ipv6
from onehop.model.network import Block, Network
from onehop.model.reach import FibRoute, RouteKind
from onehop.net.bird.ownership import Extent, Nesting, extent
from onehop.net.bird.state import OfferedRoute

_FAMILIES: Final = (False, True)


class FindingKind(StrEnum):
    """What is wrong with a prefix."""

    MISSING = "missing"
    """A block has no route by way of its node."""
    HIJACKED = "hijacked"
    """A route leads addresses of a block to somebody who does not own them, or would."""
    STALE = "stale"
    """A route is for addresses that Pods could have, but no block covers it any more."""


class Finding(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """One disagreement.

    Attributes:
        node: the owner of the addresses; None if nobody owns them.
        via: where the route leads, or who offered it; None for a block without a route.
    """

    kind: FindingKind
    prefix: Cidr
    node: str | None = None
    via: str | None = None
    message: str


class _Route(msgspec.Struct, frozen=True, gc=False):
    """A route of either source.

    Attributes:
        teller: who offered it; None if it is in the kernel.
        is_used: whether packets may follow it: in the kernel, or believed.
    """

    prefix: Cidr
    hops: tuple[IpAddr | None, ...]
    teller: str | None = None
    is_used: bool = True

    @property
    def way(self) -> str:
        """Where it leads, for a message."""
        return ", ".join(hop or "the link" for hop in self.hops) or "nowhere"


class _Claim(msgspec.Struct, frozen=True, gc=False):
    """A block, and all the next hops that are its node's."""

    block: Block
    hops: frozenset[IpAddr | None]

    def admits(self, route: _Route) -> bool:
        """Tell whether a route leads to the block's node alone."""
        return bool(route.hops) and self.hops.issuperset(route.hops)


def audit(
    network: Network, kernel: Iterable[FibRoute], offered: Iterable[OfferedRoute]
) -> tuple[Finding, ...]:
    """Return what is missing, hijacked or stale, sorted; O(n log n).

    Args:
        network: blocks and ranges.
        kernel: the routes in force; only unicast routes are looked at.
        offered: what the neighbours told us, refused or not.
    """
    routes = [
        *(
            _Route(route.prefix, tuple(hop.address for hop in route.hops))
            for route in kernel
            if route.kind is RouteKind.UNICAST
        ),
        *(_Route(o.prefix, (o.next_hop,), o.neighbor, o.is_accepted) for o in offered),
    ]
    found: set[Finding] = set()
    for ipv6 in _FAMILIES:
        ours = [route for route in routes if is_ipv6(route.prefix) is ipv6]
        found.update(_audit_family(network, ours, ipv6=ipv6))
    return tuple(sorted(found, key=lambda each: (each.prefix, each.kind, each.message)))


def _audit_family(network: Network, routes: Sequence[_Route], *, ipv6: bool) -> Iterator[Finding]:
    claims = Nesting(_claims(network, ipv6=ipv6))
    ranges = Nesting({extent(each): each for each in network.ranges if is_ipv6(each) is ipv6})
    in_kernel: dict[Extent, list[_Route]] = {}
    for route in routes:
        area = extent(route.prefix)
        if route.teller is None:
            in_kernel.setdefault(area, []).append(route)
        claim = claims.innermost(area)
        if claim is not None:
            if not claim.admits(route):
                yield _hijacked(route, claim.block)
        elif route.is_used and ranges.innermost(area) is not None and not claims.has_within(area):
            yield _stale(route)
    followed = Nesting(in_kernel)
    for area, claim in claims.items():
        if not any(map(claim.admits, followed.innermost(area) or ())):
            yield _missing(claim.block)


def _claims(network: Network, *, ipv6: bool) -> dict[Extent, _Claim]:
    inner: dict[str, set[IpAddr]] = {}
    for tunnel in network.tunnels:
        inner.setdefault(tunnel.node, set()).add(tunnel.inner)
    claims: dict[Extent, _Claim] = {}
    for block in sorted(network.blocks):
        if is_ipv6(block.prefix) is ipv6:
            hops = frozenset((*block.hops, *inner.get(block.node, ())))
            claims.setdefault(extent(block.prefix), _Claim(block, hops))
    return claims


def _hijacked(route: _Route, block: Block) -> Finding:
    owner = f"it belongs to node {block.node} ({', '.join(block.hops) or 'no address known'})"
    if route.teller is None:
        message = f"the kernel's route to {route.prefix} leads to {route.way}, but {owner}"
    else:
        fate = "and was believed" if route.is_used else "and was refused"
        message = f"{route.teller} offers {route.prefix} by {route.way}, {fate}, but {owner}"
    return Finding(
        kind=FindingKind.HIJACKED,
        prefix=route.prefix,
        node=block.node,
        via=route.way,
        message=message,
    )


def _stale(route: _Route) -> Finding:
    source = "the kernel has" if route.teller is None else f"{route.teller} offers"
    return Finding(
        kind=FindingKind.STALE,
        prefix=route.prefix,
        via=route.way,
        message=f"{source} a route to {route.prefix} by {route.way}, but no node has this block",
    )


def _missing(block: Block) -> Finding:
    hops = ", ".join(block.hops) or "none is known"
    return Finding(
        kind=FindingKind.MISSING,
        prefix=block.prefix,
        node=block.node,
        message=f"no route leads to block {block.prefix} by an address of its node "
        f"{block.node} ({hops})",
    )
