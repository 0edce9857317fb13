"""Routes and policy rules as rtnetlink has them (<linux/rtnetlink.h>, <linux/fib_rules.h>)."""

import struct
from typing import Final

import msgspec

from onehop.base.nlmsg import CREATE, EXCLUSIVE, REPLACE, Message, Request, attribute, attributes
from onehop.model.address import Cidr, IpAddr, is_ipv6
from onehop.net.rtnetlink.value import family_of, number, to_address, to_bytes, to_number

NEW_ROUTE: Final = 24
DEL_ROUTE: Final = 25
GET_ROUTE: Final = 26
NEW_RULE: Final = 32
DEL_RULE: Final = 33
GET_RULE: Final = 34

UNICAST: Final = 1
LOCAL: Final = 2
IPV6_METRIC: Final = 1024
"""What the kernel makes of metric 0 for IPv6 (IP6_RT_PRIO_USER)."""

_ROUTE: Final = struct.Struct("=8BI")  # family, lengths, tos, table, protocol, scope, type, flags
_RULE: Final = struct.Struct("=8BI")  # family, lengths, tos, table, two reserved, action, flags
_ON_LINK: Final = 0x4  # RTNH_F_ONLINK
_SCOPE_LINK: Final = 253
_TO_TABLE: Final = 1  # FR_ACT_TO_TBL

_DST: Final = 1
_DEVICE: Final = 4
_GATEWAY: Final = 5
_METRIC: Final = 6
_SOURCE: Final = 7
_MULTIPATH: Final = 9
_CACHE_INFO: Final = 12
_TABLE: Final = 15
_PREFERENCE: Final = 20
_NEXTHOP: Final = 30
_PLAIN: Final = frozenset(
    (_DST, _DEVICE, _GATEWAY, _METRIC, _SOURCE, _CACHE_INFO, _TABLE, _PREFERENCE)
)

_RULE_PRIORITY: Final = 6
_RULE_TABLE: Final = 15
_RULE_PROTOCOL: Final = 21
_RULE_IP_PROTOCOL: Final = 22
_RULE_DEFAULTS: Final = frozenset(
    (_RULE_PRIORITY, _RULE_TABLE, _RULE_PROTOCOL, _RULE_IP_PROTOCOL, 14)
)
"""Of a rule that says a table, and no more than `Rule` does; 14 is FRA_SUPPRESS_PREFIXLEN, always
sent."""


class KernelRoute(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A route to one gateway.

    Attributes:
        device: number of the interface (ifindex).
        on_link: the gateway counts as on the link of `device` whatever the addresses say.
        source: of packets that have none yet.
        is_plain: nothing else is said of it; ours are plain, others may have several hops and more.
    """

    prefix: Cidr
    table: int
    protocol: int
    metric: int
    via: IpAddr | None = None
    device: int = 0
    source: IpAddr | None = None
    on_link: bool = False
    is_plain: bool = True


class Rule(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A policy rule that looks a table up.

    Attributes:
        ip_protocol: of the packets it is for, such as IPPROTO_TCP; 0 is all of them.
    """

    family: int
    priority: int
    table: int
    protocol: int
    ip_protocol: int = 0


class Answer(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the kernel would do with a packet to an address."""

    kind: int
    device: int
    via: IpAddr | None


def put_route(route: KernelRoute) -> Request:
    """Return the request that adds a route, or changes the one of its prefix and metric at once."""
    return Request(NEW_ROUTE, CREATE | REPLACE, _route_body(route))


def remove_route(route: KernelRoute) -> Request:
    """Return the request that removes exactly this route."""
    return Request(DEL_ROUTE, 0, _route_body(route))


def list_routes(family: int, table: int) -> Request:
    """Return the request for all routes of a table (NETLINK_GET_STRICT_CHK makes it so)."""
    return Request(
        GET_ROUTE, 0, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + number(_TABLE, table)
    )


def ask_route(address: IpAddr) -> Request:
    """Return the request for what happens to a packet to the address."""
    bits = 128 if is_ipv6(address) else 32
    header = _ROUTE.pack(family_of(address), bits, 0, 0, 0, 0, 0, 0, 0)
    return Request(GET_ROUTE, 0, header + attribute(_DST, to_bytes(address)))


def route_table(payload: bytes) -> int:
    """Return the table of a route; of tables beyond 255 the true number stands in an attribute."""
    table = payload[4]
    return table if table not in {0, 252} else to_number(attributes(payload, 12).get(_TABLE))


def route_kind(message: Message) -> int:
    """Return RTN_*: what the kernel does with packets on this route."""
    return message.payload[7]


def route_protocol(message: Message) -> int:
    """Return RTPROT_*: who put the route there."""
    return message.payload[5]


def is_link_route(message: Message) -> bool:
    """Tell whether a message is about a route to neighbours on a link, not to a gateway."""
    if message.kind not in {NEW_ROUTE, DEL_ROUTE}:
        return False
    found = attributes(message.payload, _ROUTE.size)
    return _DEVICE in found and not found.keys() & {_GATEWAY, _MULTIPATH, _NEXTHOP}


def read_route(payload: bytes) -> KernelRoute:
    """Return the route of a NEW_ROUTE or DEL_ROUTE message."""
    family, bits, source_bits, tos, table, protocol, _, kind, flags = _ROUTE.unpack_from(payload)
    found = attributes(payload, _ROUTE.size)
    destination = found.get(_DST) or bytes(_bytes_of(family))
    gateway, source = found.get(_GATEWAY), found.get(_SOURCE)
    return KernelRoute(
        prefix=Cidr(f"{to_address(destination)}/{bits}"),
        table=to_number(found.get(_TABLE)) or table,
        protocol=protocol,
        metric=to_number(found.get(_METRIC)),
        via=to_address(gateway) if gateway else None,
        device=to_number(found.get(_DEVICE)),
        source=to_address(source) if source else None,
        on_link=bool(flags & _ON_LINK),
        is_plain=kind == UNICAST and not (source_bits or tos) and found.keys() <= _PLAIN,
    )


def read_answer(payload: bytes) -> Answer:
    """Return what `ask_route` was answered."""
    found = attributes(payload, _ROUTE.size)
    gateway = found.get(_GATEWAY)
    return Answer(
        kind=payload[7],
        device=to_number(found.get(_DEVICE)),
        via=to_address(gateway) if gateway else None,
    )


def put_rule(rule: Rule) -> Request:
    """Return the request that adds a rule; EEXIST if it is there."""
    return Request(NEW_RULE, CREATE | EXCLUSIVE, _rule_body(rule))


def remove_rule(rule: Rule) -> Request:
    """Return the request that removes a rule; ENOENT if it is not there."""
    return Request(DEL_RULE, 0, _rule_body(rule))


def list_rules(family: int) -> Request:
    """Return the request for all rules of a family."""
    return Request(GET_RULE, 0, _RULE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0))


def read_rule(payload: bytes) -> Rule | None:
    """Return the rule of a message, or None if it asks for more than a look-up in a table."""
    family, bits, source_bits, tos, table, _, _, action, flags = _RULE.unpack_from(payload)
    found = attributes(payload, _RULE.size)
    if action != _TO_TABLE or bits or source_bits or tos or flags & 0x2:  # FIB_RULE_INVERT
        return None
    if not found.keys() <= _RULE_DEFAULTS:
        return None
    return Rule(
        family=family,
        priority=to_number(found.get(_RULE_PRIORITY)),
        table=to_number(found.get(_RULE_TABLE)) or table,
        protocol=(found.get(_RULE_PROTOCOL) or b"\0")[0],
        ip_protocol=(found.get(_RULE_IP_PROTOCOL) or b"\0")[0],
    )


def _route_body(route: KernelRoute) -> bytes:
    address, _, bits = route.prefix.partition("/")
    header = _ROUTE.pack(
        family_of(route.prefix),
        int(bits),
        0,
        0,
        route.table if route.table <= 255 else 0,  # noqa: PLR2004  what a byte holds
        route.protocol,
        _SCOPE_LINK if route.via is None else 0,
        UNICAST,
        _ON_LINK if route.on_link else 0,
    )
    body = [header, attribute(_DST, to_bytes(IpAddr(address))), number(_METRIC, route.metric)]
    if route.table > 255:  # noqa: PLR2004
        body.append(number(_TABLE, route.table))
    if route.via is not None:
        body.append(attribute(_GATEWAY, to_bytes(route.via)))
    if route.device:
        body.append(number(_DEVICE, route.device))
    if route.source is not None:
        body.append(attribute(_SOURCE, to_bytes(route.source)))
    return b"".join(body)


def _rule_body(rule: Rule) -> bytes:
    return (
        _RULE.pack(rule.family, 0, 0, 0, 0, 0, 0, _TO_TABLE, 0)
        + number(_RULE_PRIORITY, rule.priority)
        + number(_RULE_TABLE, rule.table)
        + attribute(_RULE_PROTOCOL, bytes((rule.protocol,)))
        + (attribute(_RULE_IP_PROTOCOL, bytes((rule.ip_protocol,))) if rule.ip_protocol else b"")
    )


def _bytes_of(family: int) -> int:
    return 16 if family == 10 else 4  # noqa: PLR2004  AF_INET6
