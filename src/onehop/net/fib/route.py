"""Questions about routes and their answers, as rtnetlink has them (<linux/rtnetlink.h>).

With pyroute2 0.9.7 a question takes 250 µs and a listed route 46 µs, most of it for parsing what
nobody here reads: 2 s for 8,000 questions that the kernel answers in 20 ms. So few attributes are
read as are needed, and of a listed route nothing but its prefix.
"""

import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from onehop.base.nlmsg import attribute, attributes
from onehop.model.address import Cidr, IpAddr
from onehop.model.reach import FibRoute, Hop, RouteKind
from onehop.net.fib.prefix import Key, key_of
from onehop.net.rtnetlink.value import to_address, to_number

NEW_ROUTE: Final = 24
DEL_ROUTE: Final = 25
GET_ROUTE: Final = 26
NEW_RULE: Final = 32
DEL_RULE: Final = 33
GET_RULE: Final = 34

HEADER: Final = struct.Struct("=8BI")
"""Of routes: family, lengths, tos, table, protocol, scope, type, flags; rules look the same."""

_ATTRIBUTE: Final = struct.Struct("=HH")
_NEXTHOP: Final = struct.Struct("=HBBi")  # length, flags, weight less 1, interface
_CLONED: Final = 0x200  # RTM_F_CLONED: what is only remembered of an earlier look-up
_LOOKUP_TABLE: Final = 0x1000  # say which table it was
_FIB_MATCH: Final = 0x2000  # say which route it was, not what became of the packet
_DEAD: Final = 0x1 | 0x10  # RTNH_F_DEAD, RTNH_F_LINKDOWN
_DST: Final = 1
_DEVICE: Final = 4
_GATEWAY: Final = 5
_MULTIPATH: Final = 9
_TABLE: Final = 15
_VIA: Final = 18  # a gateway of the other family (RFC 5549), behind two bytes that say which
_NEXTHOP_ID: Final = 30

_REFUSALS: Final = frozenset((3, 5, 6, 7, 8))
"""Broadcast, multicast, blackhole, unreachable, prohibit: nobody can be connected to there."""
_KEPT: Final = frozenset((2, 4))
"""Local, and anycast, which is local as well."""

_ORIGINS: Final = {
    1: "redirect", 2: "kernel", 3: "boot", 4: "static", 8: "gated", 9: "ra", 10: "mrt",
    11: "zebra", 12: "bird", 13: "dnrouted", 14: "xorp", 15: "ntk", 16: "dhcp", 18: "keepalived",
    42: "babel", 99: "openr", 111: "onehop", 186: "bgp", 187: "isis", 188: "ospf", 189: "rip",
    192: "eigrp",
}  # fmt: skip
"""Names of protocols, as /etc/iproute2/rt_protos has them, and our own."""


class Matched(NamedTuple):
    """A listed prefix.

    Attributes:
        refuses: who refuses it, as (table, protocol), if it is a route that does.
    """

    ipv6: bool
    key: Key
    refuses: tuple[int, int] | None


def ask_route(number: int, *, ipv6: bool) -> bytes:
    """Return the body of the question which route leads to an address."""
    family, size = (socket.AF_INET6, 16) if ipv6 else (socket.AF_INET, 4)
    header = HEADER.pack(family, size * 8, 0, 0, 0, 0, 0, 0, _LOOKUP_TABLE | _FIB_MATCH)
    return header + attribute(_DST, number.to_bytes(size, "big"))


def read_matched(data: bytes, offset: int, end: int) -> Matched | None:
    """Return the prefix of a listed route or rule; None if look-ups never see it."""
    family, bits, _, _, table, protocol, _, kind, flags = HEADER.unpack_from(data, offset)
    if flags & _CLONED or family not in {socket.AF_INET, socket.AF_INET6}:
        return None
    ipv6 = family == socket.AF_INET6
    refuses = (table, protocol) if kind in _REFUSALS else None
    offset += HEADER.size
    while bits and offset < end:
        length, attribute_kind = _ATTRIBUTE.unpack_from(data, offset)
        if attribute_kind == _DST:
            value = data[offset + _ATTRIBUTE.size : offset + length]
            return Matched(ipv6, key_of(int.from_bytes(value, "big"), bits), refuses)
        offset += (max(length, _ATTRIBUTE.size) + 3) & ~3
    return Matched(ipv6, key_of(0, 0), refuses)


def read_route(
    payload: bytes,
    *,
    device: Callable[[int], str],
    nexthop: Callable[[int], tuple[Hop, ...]],
) -> FibRoute | None:
    """Return the route that a look-up found, or None if all its hops are dead.

    Args:
        payload: header and attributes.
        device: the name of an interface, by its number.
        nexthop: the hops of a nexthop object, where the route says no more than its number.
    """
    family, bits, _, _, table, protocol, _, kind, flags = HEADER.unpack_from(payload)
    found = attributes(payload, HEADER.size)
    route_kind = (
        RouteKind.LOCAL
        if kind in _KEPT
        else RouteKind.REFUSED
        if kind in _REFUSALS
        else RouteKind.UNICAST
    )
    hops: tuple[Hop, ...] = ()
    if route_kind is not RouteKind.REFUSED:
        if _MULTIPATH in found:
            hops = tuple(sorted(_multipath(found[_MULTIPATH], device)))
        elif _DEVICE in found:
            hops = () if flags & _DEAD else (_hop(found, device),)
        elif _NEXTHOP_ID in found:
            hops = nexthop(to_number(found[_NEXTHOP_ID]))
        if not hops:
            return None
    return FibRoute(
        prefix=_prefix(found.get(_DST), bits, ipv6=family == socket.AF_INET6),
        kind=route_kind,
        hops=hops,
        table=to_number(found.get(_TABLE)) or table,
        origin=origin_of(protocol),
    )


def origin_of(protocol: int) -> str:
    """Return who puts routes of a protocol there."""
    return _ORIGINS.get(protocol) or str(protocol)


def _multipath(value: bytes, device: Callable[[int], str]) -> Iterator[Hop]:
    offset = 0
    while offset + _NEXTHOP.size <= len(value):
        length, flags, _, index = _NEXTHOP.unpack_from(value, offset)
        if not flags & _DEAD:
            found = attributes(value[offset : offset + length], _NEXTHOP.size)
            yield Hop(device(index), _gateway(found))
        offset += (max(length, _NEXTHOP.size) + 3) & ~3


def _hop(found: dict[int, bytes], device: Callable[[int], str]) -> Hop:
    return Hop(device(to_number(found[_DEVICE])), _gateway(found))


def _gateway(found: dict[int, bytes]) -> IpAddr | None:
    if _GATEWAY in found:
        return to_address(found[_GATEWAY])
    return to_address(found[_VIA][2:]) if _VIA in found else None


def _prefix(value: bytes | None, bits: int, *, ipv6: bool) -> Cidr:
    """Return the canonical text; kernels before 5.3 give the address that was asked for."""
    size = 16 if ipv6 else 4
    host_bits = size * 8 - bits
    number = int.from_bytes(value or b"", "big") >> host_bits << host_bits
    return Cidr(f"{to_address(number.to_bytes(size, 'big'))}/{bits}")
