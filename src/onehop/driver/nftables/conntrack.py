"""Forgetting UDP flows that no longer go where they should.

A UDP flow never ends: as long as its client sends, conntrack sends it where it sent it at first,
to an endpoint that has gone, or to a socket of this host that had the address before. TCP's
connections end by themselves, and nobody moves those that are open.

The kernel picks the flows to one entrance (`CTA_FILTER`, Linux 5.8; an older one lists them all,
and they are picked here): a host may have a million of them
(<linux/netfilter/nfnetlink_conntrack.h>).
"""

import asyncio
import errno
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple, TypeAlias

from onehop.base import nlmsg
from onehop.base.errors import DriverUnavailable
from onehop.driver.nftables.channel import Channel, Refused
from onehop.driver.nftables.element import Entrance, packed
from onehop.model.address import IpAddr
from onehop.model.listener import Transport

Members: TypeAlias = Mapping[Entrance, AbstractSet[tuple[IpAddr, int]]]
"""Who may serve flows to an entrance; nobody, if it is to be forgotten by all."""

_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK
_ASKED, _REPLY, _ID, _FILTER = 1, 2, 12, 25
_IP, _PROTOCOL = 1, 2
_SOURCE: Final = {4: 1, 6: 3}
_DESTINATION: Final = {4: 2, 6: 4}
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_FILTER_ASKED: Final = 1
_BY_DESTINATION, _BY_PROTOCOL, _BY_PORT = 1 << 1, 1 << 3, 1 << 5
_FLAGS: Final = struct.Struct("=I")
_PORT: Final = struct.Struct("!H")
_FAMILIES: Final[Mapping[int, int]] = {4: socket.AF_INET, 6: socket.AF_INET6}
_ONE_BY_ONE: Final = 16
"""Entrances that are asked for by name: each time the kernel looks through all flows."""


class _Flow(NamedTuple):
    entrance: Entrance
    server: tuple[IpAddr, int]
    name: bytes
    """What it is deleted by."""


async def forget_flows(members: Members) -> int:
    """Delete flows to some entrances that none of their members serves; return how many.

    Raises:
        DriverUnavailable: the kernel does not let us.
    """
    count = 0
    try:
        with Channel() as conntrack:
            for version in sorted({entrance.version for entrance in members}):
                asked = [entrance for entrance in members if entrance.version == version]
                for question in _questions(version, asked):
                    count += await _forget(conntrack, version, question, members)
    except Refused as refused:
        raise DriverUnavailable(f"UDP flows cannot be forgotten: {refused}") from refused
    return count


async def _forget(conntrack: Channel, version: int, question: bytes, members: Members) -> int:
    family = _FAMILIES[version]
    stale: list[_Flow] = []
    for reply in await conntrack.ask(_GET, nlmsg.DUMP, question, family=family):
        flow = _flow(version, reply.body)
        if flow is not None and flow.server not in members.get(flow.entrance, {flow.server}):
            stale.append(flow)
        await asyncio.sleep(0)  # there may be many, and others wait
    count = 0
    for flow in stale:
        try:
            await conntrack.ask(_DELETE, nlmsg.ACK, flow.name, family=family)
            count += 1
        except Refused as refused:
            if refused.code != errno.ENOENT:  # it has ended by itself
                raise
    return count


def _questions(version: int, entrances: Iterable[Entrance]) -> Iterator[bytes]:
    """Yield what asks for all flows to some entrances, or for more than these."""
    entrances = tuple(entrances)
    number = nlmsg.attribute(_NUMBER, bytes((socket.IPPROTO_UDP,)))
    if len(entrances) > _ONE_BY_ONE:
        yield _question(nlmsg.nested(_PROTOCOL, number), _BY_PROTOCOL)
        return
    for entrance in entrances:
        port = nlmsg.attribute(_DESTINATION_PORT, _PORT.pack(entrance.port))
        asked, flags = nlmsg.nested(_PROTOCOL, number + port), _BY_PROTOCOL | _BY_PORT
        if version == 4:  # noqa: PLR2004  of IPv6, Linux 6.18 passes over what fits an address
            to = nlmsg.attribute(_DESTINATION[version], packed(entrance.address))
            asked, flags = nlmsg.nested(_IP, to) + asked, flags | _BY_DESTINATION
        yield _question(asked, flags)


def _question(asked: bytes, flags: int) -> bytes:
    picked = nlmsg.attribute(_FILTER_ASKED, _FLAGS.pack(flags))
    return nlmsg.nested(_ASKED, asked) + nlmsg.nested(_FILTER, picked)


def _flow(version: int, body: bytes) -> _Flow | None:
    """Return a flow of UDP; of anything else, None."""
    found = nlmsg.attributes(body)
    asked, reply = nlmsg.attributes(found[_ASKED]), nlmsg.attributes(found[_REPLY])
    protocol, answers = nlmsg.attributes(asked[_PROTOCOL]), nlmsg.attributes(reply[_PROTOCOL])
    if protocol[_NUMBER][0] != socket.IPPROTO_UDP:
        return None
    to = _address(version, nlmsg.attributes(asked[_IP])[_DESTINATION[version]])
    server = _address(version, nlmsg.attributes(reply[_IP])[_SOURCE[version]])
    (port,), (served_port,) = (
        _PORT.unpack(protocol[_DESTINATION_PORT]),
        _PORT.unpack(answers[_SOURCE_PORT]),
    )
    name = nlmsg.nested(_ASKED, found[_ASKED]) + nlmsg.attribute(_ID, found[_ID])
    return _Flow(Entrance(to, Transport.UDP, port), (server, served_port), name)


def _address(version: int, value: bytes) -> IpAddr:
    return IpAddr(socket.inet_ntop(_FAMILIES[version], value))
