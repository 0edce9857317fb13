"""Whether the way to a Pod is proven: what the routing table says, judged by who owns the address.

A node's Pods share their ways, so the judgement is a cell per node over its blocks; a route that
comes or goes dirties the pools of that one node. Addresses outside of all blocks of their node
(allocation unknown, or an address borrowed from another node's block) are judged one by one, by
the small area around them.

"Proven" is design.md section 4: the kernel finds a real route (no default route, no blackhole)
and its next hop is the node that owns the address.
"""

import ipaddress
from collections.abc import Collection, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from onehop.compile.backend import options_of
from onehop.compile.block import ANY_BLOCK, BLOCKS_OF_NODE
from onehop.compile.inputs import AREAS, ONLY, SLICES
from onehop.compile.node import MEMBERS_BY_ADDRESS
from onehop.compile.sheet import Cell, Derived, Reader, Sheet, Whole
from onehop.compile.value import is_port
from onehop.model.address import (
    AddressSet,
    Cidr,
    IpAddr,
    ends_of,
    ip_number,
    is_ipv6,
    parse_ip,
    prefix_set,
    single,
)
from onehop.model.network import Block
from onehop.model.reach import Area, FibRoute, ProbeResult, RouteKind, Stretch

_DEFAULT_ROUTES: Final = frozenset(("0.0.0.0/0", "::/0"))


class Standing(StrEnum):
    """What there is to say of the way to an address; the first three may be walked."""

    PROVEN = "proven"
    """A route by the node that owns it."""
    PROBED = "probed"
    """The operator trusts the prefix, and somebody there has answered."""
    HERE = "here"
    """An address of this host itself; whether that may be a backend is `forbidden`'s affair."""
    UNKNOWN = "unknown"
    """Nobody has looked yet."""
    NO_ROUTE = "no-route"
    DEFAULT_ROUTE = "default-route"
    REFUSED = "refused"
    WRONG_HOP = "wrong-hop"
    UNSTEADY = "unsteady"
    """A right route that has not stood long enough."""
    UNPROBED = "unprobed"
    """Trusted, and nobody there has been asked yet."""
    SILENT = "silent"
    """Trusted, and nobody there answers."""


_WALKABLE: Final = frozenset((Standing.PROVEN, Standing.PROBED, Standing.HERE))


class Way(msgspec.Struct, frozen=True, gc=False):
    """The way to the addresses of one prefix.

    Attributes:
        area: the block, or the neighbourhood, that was looked at.
        route: what the kernel would do; None if it has no route.
    """

    standing: Standing
    area: Cidr
    route: FibRoute | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether traffic may go this way."""
        return self.standing in _WALKABLE

    @property
    def why(self) -> str:
        """Return why traffic may, or may not, go this way, as half a sentence."""
        return _WHY[self.standing].format(area=self.area, route=_shown(self.route))


_WHY: Final = {
    Standing.PROVEN: "{area} is routed by {route}",
    Standing.PROBED: "{area} is trusted and answers ({route})",
    Standing.HERE: "{area} is on this host",
    Standing.UNKNOWN: "no look at the routing table for {area} yet",
    Standing.NO_ROUTE: "no route to {area}",
    Standing.DEFAULT_ROUTE: "only a default route leads to {area} ({route})",
    Standing.REFUSED: "the routing table drops packets to {area} ({route})",
    Standing.WRONG_HOP: "{route} does not lead to the node of {area}",
    Standing.UNSTEADY: "{route} has not been there for long enough",
    Standing.UNPROBED: "{area} is trusted, and has not answered yet",
    Standing.SILENT: "{area} is trusted, but nobody there answers",
}


class _Span(msgspec.Struct, frozen=True, gc=False):
    first: int
    last: int
    way: Way


class NodeWays(msgspec.Struct, frozen=True, gc=False):
    """The ways to all blocks of one node, by family."""

    ipv4: tuple[_Span, ...] = ()
    ipv6: tuple[_Span, ...] = ()

    def to(self, address: IpAddr) -> Way | None:
        """Return the way to an address of the node's blocks, or None if it is in none."""
        number = ip_number(address)
        for span in self.ipv6 if is_ipv6(address) else self.ipv4:
            if span.first <= number <= span.last:
                return span.way
        return None


def neighbourhood(address: IpAddr) -> Cidr:
    """Return the area that is looked at for an address in no block: its /24, or its /120."""
    if not is_ipv6(address):
        return _area_of_three(address.rpartition(".")[0])
    return Cidr(str(ipaddress.IPv6Network((address, 120), strict=False)))


@lru_cache(maxsize=1 << 16)
def _area_of_three(octets: str) -> Cidr:
    """Return the same text for all addresses of an area: sheets remember it for each Pod."""
    return Cidr(f"{octets}.0/24")


def way_to(reader: Reader, address: IpAddr, node: str | None) -> Way:
    """Return the way to a Pod of a node, or to one of nobody knows which."""
    # One question for all Pods of a cluster without blocks: each is remembered for each Pod.
    if node is not None and reader.any(ANY_BLOCK, ONLY) is not None:
        ways = reader.get(WAYS, node)
        way = ways.to(address) if ways is not None else None
        if way is not None:
            return way
    prefix = neighbourhood(address)
    area = reader.get(AREAS, prefix)
    if area is None:
        return Way(Standing.UNKNOWN, prefix)
    stretch = area.at(ip_number(address))
    return _judge(reader, area, stretch, is_right=_may_be_right(reader, stretch, node))


def _compute(reader: Reader, node: str) -> Cell[NodeWays]:
    spans: dict[bool, list[_Span]] = {False: [], True: []}
    for block in reader.where(BLOCKS_OF_NODE, node):
        found = spans[is_ipv6(block.prefix)]
        area = reader.get(AREAS, block.prefix)
        if area is None:
            first, last = ends_of(block.prefix)
            found.append(_Span(first, last, Way(Standing.UNKNOWN, block.prefix)))
            continue
        for stretch in area.stretches:
            way = _judge(reader, area, stretch, is_right=_is_right(reader, stretch, block))
            found.append(_Span(stretch.first, stretch.last, way))
    return Cell(NodeWays(tuple(spans[False]), tuple(spans[True])))


def _judge(reader: Reader, area: Area, stretch: Stretch, *, is_right: bool) -> Way:
    standing = _standing(reader, area, stretch, is_right=is_right)
    return Way(standing, area.prefix, stretch.route)


def _standing(reader: Reader, area: Area, stretch: Stretch, *, is_right: bool) -> Standing:
    route = stretch.route
    if route is None:
        return Standing.NO_ROUTE
    if route.kind is RouteKind.REFUSED:
        return Standing.REFUSED
    if route.kind is RouteKind.LOCAL:
        return Standing.HERE
    is_default = route.prefix in _DEFAULT_ROUTES
    if not is_default and is_right:
        return Standing.PROVEN if stretch.is_steady else Standing.UNSTEADY
    trusted, ipv6 = reader.get(TRUST, ONLY) or AddressSet(), is_ipv6(area.prefix)
    if trusted.has(stretch.first, ipv6=ipv6) and trusted.has(stretch.last, ipv6=ipv6):
        return _PROBED[area.probe]
    return Standing.DEFAULT_ROUTE if is_default else Standing.WRONG_HOP


_PROBED: Final = {
    ProbeResult.NOT_ASKED: Standing.UNPROBED,
    ProbeResult.ANSWERED: Standing.PROBED,
    ProbeResult.SILENT: Standing.SILENT,
}


def _is_right(reader: Reader, stretch: Stretch, block: Block) -> bool:
    """Tell whether every hop is the node that owns the block, or that node is this host."""
    hops = stretch.route.hops if stretch.route is not None else ()
    if any(hop.address is None for hop in hops):
        return any(_is_here(reader, address) for address in block.hops)
    return bool(hops) and all(hop.address in block.hops for hop in hops)


def _is_here(reader: Reader, address: IpAddr) -> bool:
    """Tell whether an address is this host's own."""
    area = reader.get(AREAS, single(address))
    route = area.stretches[0].route if area is not None else None
    return route is not None and route.kind is RouteKind.LOCAL


def _may_be_right(reader: Reader, stretch: Stretch, node: str | None) -> bool:
    """Tell whether no hop is known to be another node: of the address itself nothing is known."""
    for hop in stretch.route.hops if stretch.route is not None else ():
        member = reader.any(MEMBERS_BY_ADDRESS, hop.address) if hop.address is not None else None
        if member is not None and member.name != node:
            return False
    return True


def _shown(route: FibRoute | None) -> str:
    if route is None:
        return "no route"
    hops = ", ".join(
        f"via {hop.address} dev {hop.device}" if hop.address else f"dev {hop.device}"
        for hop in route.hops
    )
    return " ".join(filter(None, (route.prefix, hops, f"proto {route.origin}")))


def _compute_trust(reader: Reader) -> Mapping[tuple[()], Cell[AddressSet]]:
    return {ONLY: Cell(prefix_set(options_of(reader).trusted))}


TRUST: Final = Whole[tuple[()], AddressSet]("trust", _compute_trust)
WAYS: Final = Derived[str, NodeWays]("ways", _compute, (BLOCKS_OF_NODE,))


def pods_in(sheet: Sheet, areas: Collection[Cidr]) -> dict[Cidr, tuple[IpAddr, int]]:
    """Return the socket of a ready Pod in each of these areas, where there is one.

    Its cost grows with the cluster, unless the areas are found early.
    """
    found: dict[Cidr, tuple[IpAddr, int]] = {}
    for item in sheet.values(SLICES).values():
        ports = [port.port for port in item.ports or () if is_port(port.port)]
        for endpoint in item.endpoints or () if ports else ():
            address = parse_ip(endpoint.addresses[0]) if endpoint.addresses else None
            if address is None or endpoint.conditions.ready is False:
                continue
            area = _area_of(sheet, address, endpoint.node_name)
            if area in areas:
                found.setdefault(area, (address, ports[0]))
        if len(found) == len(areas):
            break
    return found


def areas_of_pods(sheet: Sheet) -> frozenset[Cidr]:
    """Return the area of every Pod there is, whether anything needs it or not."""
    addresses = (
        (parse_ip(endpoint.addresses[0]), endpoint.node_name)
        for item in sheet.values(SLICES).values()
        for endpoint in item.endpoints or ()
        if endpoint.addresses
    )
    return frozenset(_area_of(sheet, ip, node) for ip, node in addresses if ip is not None)


def _area_of(sheet: Sheet, address: IpAddr, node: str | None) -> Cidr:
    ways = sheet.value(WAYS, node) if node is not None else None
    way = ways.to(address) if ways is not None else None
    return way.area if way is not None else neighbourhood(address)
