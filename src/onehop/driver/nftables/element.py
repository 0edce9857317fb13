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
    STICKY = "sticky"
    REFUSED = "refused"
    CHECKED = "checked"
    DRAW = "draw"
    MEMBER = "member"
    SOURCE = "source"
    MASQUERADE_TCP = "masquerade-tcp"
    MASQUERADE_UDP = "masquerade-udp"
    KEEP_TCP = "keep-tcp"
    KEEP_UDP = "keep-udp"


NUMBERS: Final = frozenset((Lookup.SERVICE, Lookup.DRAW))
"""Their values are numbers, for `meta priority`."""
VERDICTS: Final = frozenset((Lookup.STICKY,))
"""Their values are names of chains to go to.

When one of these changes, the kernel looks at all elements of all such maps for loops
(nft_table_validate()). So what changes with endpoints is not among them.
"""
_MASQUERADE: Final = {Transport.TCP: Lookup.MASQUERADE_TCP, Transport.UDP: Lookup.MASQUERADE_UDP}
_KEEP: Final = {Transport.TCP: Lookup.KEEP_TCP, Transport.UDP: Lookup.KEEP_UDP}
_LEAVE: Final = {
    lookup: transport for each in (_MASQUERADE, _KEEP) for transport, lookup in each.items()
}
"""There the protocol is not in the key."""


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

    def place_to_leave(self, *, keeps_source: bool) -> Place:
        """Return where the way out is looked up."""
        lookup = (_KEEP if keeps_source else _MASQUERADE)[self.transport]
        return Place(lookup, self.version, target(self.address, self.port))


def entrance_of(place: Place) -> Entrance:
    """Return whose an element is."""
    size = 4 if place.version == 4 else 16  # noqa: PLR2004  of IP
    address = socket.inet_ntop(_FAMILIES[place.version], place.key[:size])
    if (transport := _LEAVE.get(place.lookup)) is not None:
        (port,) = _PORT.unpack_from(place.key, size)
    else:
        is_tcp = place.key[size] == socket.IPPROTO_TCP
        transport = Transport.TCP if is_tcp else Transport.UDP
        (port,) = _PORT.unpack_from(place.key, size + _PROTOCOL.size)
    return Entrance(IpAddr(address), transport, port)


def names_protocol(lookup: Lookup) -> bool:
    """Tell whether the protocol is in the keys of a map."""
    return lookup not in _LEAVE


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
