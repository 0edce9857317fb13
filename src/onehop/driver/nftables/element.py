"""Elements of the maps, as the kernel keeps them: keys and values in bytes.

Each part of a key fills whole words of 32 bits (the kernel's "registers"). Addresses and ports are
in the order of the network; what `meta priority` holds is in the order of this machine.
"""

import socket
import struct
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from onehop.model.address import Cidr, IpAddr, ends_of, is_ipv6
from onehop.model.listener import Transport

PROTOCOLS: Final = {Transport.TCP: socket.IPPROTO_TCP, Transport.UDP: socket.IPPROTO_UDP}

_PROTOCOL: Final = struct.Struct("B3x")
_PORT: Final = struct.Struct("!H2x")
_NUMBER: Final = struct.Struct("=I")


class Lookup(StrEnum):
    """The maps and sets of the table that hold what we put, without the version of IP."""

    SERVICE = "service"
    REFUSE = "refuse"
    DRAW = "draw"
    MEMBER = "member"
    SOURCE = "source"
    LEAVE_TCP = "leave-tcp"
    LEAVE_UDP = "leave-udp"


VERDICTS: Final = frozenset((Lookup.SERVICE, Lookup.REFUSE, Lookup.LEAVE_TCP, Lookup.LEAVE_UDP))
"""Their values are names of chains to go to."""
LEAVE: Final = {Transport.TCP: Lookup.LEAVE_TCP, Transport.UDP: Lookup.LEAVE_UDP}


class Place(NamedTuple):
    """Where an element is.

    Attributes:
        version: of IP.
        key: of an interval, its first and its last, one behind the other.
    """

    lookup: Lookup
    version: int
    key: bytes

    @property
    def name(self) -> str:
        """What nft calls the map."""
        return f"{self.lookup}{self.version}"


Elements: TypeAlias = dict[Place, bytes]
"""Values by their place; empty in a set."""


class Entrance(NamedTuple):
    """What clients ask for, and every key begins with: one listener has it at a time."""

    address: IpAddr
    transport: Transport
    port: int

    @property
    def version(self) -> int:
        """The version of IP."""
        return version_of(self.address)

    @property
    def key(self) -> bytes:
        """The key of the entrance itself."""
        protocol = _PROTOCOL.pack(PROTOCOLS[self.transport])
        return packed(self.address) + protocol + _PORT.pack(self.port)

    @property
    def place_to_leave(self) -> Place:
        """Where the way out is looked up; there the protocol is not in the key."""
        return Place(LEAVE[self.transport], self.version, target(self.address, self.port))


def entrance_of(place: Place) -> Entrance:
    """Return whose an element is."""
    size = 4 if place.version == 4 else 16  # noqa: PLR2004  of IP
    address = socket.inet_ntop(_FAMILIES[place.version], place.key[:size])
    if place.lookup in {Lookup.LEAVE_TCP, Lookup.LEAVE_UDP}:
        transport = Transport.TCP if place.lookup is Lookup.LEAVE_TCP else Transport.UDP
        (port,) = _PORT.unpack_from(place.key, size)
    else:
        is_tcp = place.key[size] == socket.IPPROTO_TCP
        transport = Transport.TCP if is_tcp else Transport.UDP
        (port,) = _PORT.unpack_from(place.key, size + _PROTOCOL.size)
    return Entrance(IpAddr(address), transport, port)


def version_of(address: IpAddr | Cidr) -> int:
    """Return 4 or 6."""
    return 6 if is_ipv6(address) else 4


def packed(address: IpAddr) -> bytes:
    """Return an address as the wire has it."""
    return socket.inet_pton(_FAMILIES[version_of(address)], address)


def target(address: IpAddr, port: int) -> bytes:
    """Return a socket: the value that leads to a member."""
    return packed(address) + _PORT.pack(port)


def number(value: int) -> bytes:
    """Return a number as `meta priority` holds it."""
    return _NUMBER.pack(value)


def to_number(value: bytes) -> int:
    """Return what `number` wrote."""
    return int(_NUMBER.unpack(value)[0])


def interval(entrance: Entrance, prefix: Cidr) -> bytes:
    """Return the key of a network of clients: its first and its last, the entrance before each."""
    size = 4 if entrance.version == 4 else 16  # noqa: PLR2004  of IP
    first, last = (end.to_bytes(size, "big") for end in ends_of(prefix))
    return entrance.key + first + entrance.key + last


_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
