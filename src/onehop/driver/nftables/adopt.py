"""This host's own connections, told to conntrack where that has not seen them.

Tracking begins with the first rule that asks for it, and so with our table. A connection that was
open before is known only from its next packet on: one that is silent is not. Masquerading gives a
client any port of this host's that conntrack knows no use of, so to the member that a proxy here
is connected to, it may give the very port of that proxy. The member takes the new connection for
the old one, and either ends. Hence each is made known before anything is masqueraded.

What has no room for windows and scales, because we do not know them, is let pass as it is
(`IP_CT_TCP_FLAG_BE_LIBERAL`, <linux/netfilter/nf_conntrack_tcp.h>).
"""

import asyncio
import contextlib
import errno
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from onehop.base import nlmsg
from onehop.base.errors import DriverUnavailable
from onehop.driver.nftables import wire
from onehop.driver.nftables.channel import Channel, Refused

_TABLES: Final = tuple(Path("/proc/thread-self/net", name) for name in ("tcp", "tcp6"))
_OPEN: Final = frozenset(("01", "04", "05", "08"))
"""Established, or closed by one end only (include/net/tcp_states.h)."""
_LISTEN: Final = "0A"

_NEW: Final = 1 << 8 | 0  # NFNL_SUBSYS_CTNETLINK
_ASKED, _REPLY, _PROTOCOL_INFO, _TIMEOUT = 1, 2, 4, 7
_IP, _PROTOCOL = 1, 2
_SOURCE: Final = {4: 1, 6: 3}
_DESTINATION: Final = {4: 2, 6: 4}
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_TCP, _STATE, _FLAGS_ASKED, _FLAGS_REPLY = 1, 1, 4, 5
_ESTABLISHED: Final = bytes((3,))
_LIBERAL: Final = bytes((8, 8))
"""Flags, and which of them are meant."""
_KEPT_S: Final = 432_000
"""As long as conntrack keeps one that is silent (nf_conntrack_tcp_timeout_established)."""
_PORT: Final = struct.Struct("!H")


class Socket(NamedTuple):
    """One end of a connection: an address as in a packet, and a port."""

    address: bytes
    port: int


class Connection(NamedTuple):
    """A connection that this host has opened."""

    here: Socket
    there: Socket


async def adopt_connections() -> int:
    """Make all connections known that this host has opened; return how many were not.

    Raises:
        DriverUnavailable: the kernel does not let us.
    """
    count = 0
    try:
        with Channel() as conntrack:
            for connection in await asyncio.to_thread(_opened_here):
                count += await _adopt(conntrack, connection)
    except Refused as refused:
        raise DriverUnavailable(f"conntrack takes no connections: {refused}") from refused
    return count


async def _adopt(conntrack: Channel, connection: Connection) -> bool:
    here, there = connection
    body = nlmsg.nested(_ASKED, _tuple(here, there)) + nlmsg.nested(_REPLY, _tuple(there, here))
    body += nlmsg.attribute(_TIMEOUT, wire.U32.pack(_KEPT_S))
    state = nlmsg.attribute(_STATE, _ESTABLISHED)
    state += nlmsg.attribute(_FLAGS_ASKED, _LIBERAL) + nlmsg.attribute(_FLAGS_REPLY, _LIBERAL)
    body += nlmsg.nested(_PROTOCOL_INFO, nlmsg.nested(_TCP, state))
    family = socket.AF_INET if _version(here) == 4 else socket.AF_INET6  # noqa: PLR2004  of IP
    try:
        await conntrack.ask(_NEW, nlmsg.CREATE | nlmsg.EXCLUSIVE | nlmsg.ACK, body, family=family)
    except Refused as refused:
        if refused.code != errno.EEXIST:  # it has said something meanwhile
            raise
        return False
    return True


def _tuple(source: Socket, destination: Socket) -> bytes:
    version = _version(source)
    addresses = nlmsg.attribute(_SOURCE[version], source.address)
    addresses += nlmsg.attribute(_DESTINATION[version], destination.address)
    ports = nlmsg.attribute(_NUMBER, bytes((socket.IPPROTO_TCP,)))
    ports += nlmsg.attribute(_SOURCE_PORT, _PORT.pack(source.port))
    ports += nlmsg.attribute(_DESTINATION_PORT, _PORT.pack(destination.port))
    return nlmsg.nested(_IP, addresses) + nlmsg.nested(_PROTOCOL, ports)


def _version(end: Socket) -> int:
    return 4 if len(end.address) == 4 else 6  # noqa: PLR2004  bytes, and of IP


def _opened_here() -> list[Connection]:
    """Return the connections of this network namespace to others that listen."""
    lines = [*chain.from_iterable(_lines(table) for table in _TABLES)]
    return [*_connections(lines)]


def _lines(table: Path) -> Iterator[list[str]]:
    with contextlib.suppress(FileNotFoundError), table.open() as lines:  # no IPv6 here
        next(lines)
        yield from (line.split(maxsplit=4) for line in lines)


def _connections(lines: Iterable[list[str]]) -> Iterator[Connection]:
    lines = tuple(lines)
    served = {_socket(local).port for _, local, _, state, _ in lines if state == _LISTEN}
    for _, local, remote, state, _ in lines:
        if state in _OPEN:
            here, there = _socket(local), _socket(remote)
            is_loopback = ipaddress.ip_address(there.address).is_loopback
            if here.port not in served and not is_loopback:
                yield Connection(here, there)


def _socket(text: str) -> Socket:
    """Read `0100007F:1F90`: words of 32 bits as they are in memory, and the port."""
    words, _, port = text.partition(":")
    raw = b"".join(
        int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8)
    )
    address = ipaddress.ip_address(raw)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # an IPv4 connection of a socket for both
    return Socket(address.packed, int(port, 16))
