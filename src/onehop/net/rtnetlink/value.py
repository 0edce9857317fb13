"""Frames and attributes of netlink (netlink(7), <linux/netlink.h>), in both directions.

Everything is in the byte order of the host, and every part begins at a multiple of four bytes.
"""

import ipaddress
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from onehop.model.address import Cidr, IpAddr, is_ipv6

REQUEST: Final = 0x01
ACK: Final = 0x04
REPLACE: Final = 0x100
EXCLUSIVE: Final = 0x200
CREATE: Final = 0x400
APPEND: Final = 0x800
DUMP: Final = 0x300
DUMP_INTERRUPTED: Final = 0x10

ERROR: Final = 2
DONE: Final = 3

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_UINT32: Final = struct.Struct("=I")
_ERRNO: Final = struct.Struct("=i")
_IPV4_BYTES: Final = 4
_TYPE_MASK: Final = 0x3FFF  # less NLA_F_NESTED and NLA_F_NET_BYTEORDER


class Request(NamedTuple):
    """One change that the kernel is asked for.

    Attributes:
        kind: RTM_*.
        flags: CREATE, REPLACE and so on; REQUEST is added.
        body: the family's header and the attributes.
    """

    kind: int
    flags: int
    body: bytes


class Message(NamedTuple):
    """What the kernel said."""

    kind: int
    flags: int
    sequence: int
    payload: bytes


def pack(request: Request, sequence: int, flags: int = 0) -> bytes:
    """Return a whole message; bodies are multiples of four bytes already."""
    length = _HEADER.size + len(request.body)
    header = _HEADER.pack(length, request.kind, request.flags | REQUEST | flags, sequence, 0)
    return header + request.body


def unpack(data: bytes) -> Iterator[Message]:
    """Return the messages of one datagram, in order."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        yield Message(kind, flags, sequence, data[offset + _HEADER.size : offset + length])
        offset += _padded(max(length, _HEADER.size))


def errno_of(message: Message) -> int:
    """Return the errno that an ERROR or DONE message carries; 0 is an acknowledgement."""
    return -int(_ERRNO.unpack_from(message.payload)[0]) if message.payload else 0


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + b"\0" * (_padded(length) - length)


def number(kind: int, value: int) -> bytes:
    """Return an attribute that holds 32 bits."""
    return attribute(kind, _UINT32.pack(value))


def attributes(payload: bytes, offset: int) -> dict[int, bytes]:
    """Return the attributes behind a header of `offset` bytes; of a repeated one, the last."""
    found: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(payload):
        length, kind = _ATTRIBUTE.unpack_from(payload, offset)
        found[kind & _TYPE_MASK] = payload[offset + _ATTRIBUTE.size : offset + length]
        offset += _padded(max(length, _ATTRIBUTE.size))
    return found


def to_number(value: bytes | None) -> int:
    """Return what `number` wrote; 0 for an attribute that is not there."""
    return int(_UINT32.unpack(value)[0]) if value else 0


def family_of(address: IpAddr | Cidr) -> int:
    """Return AF_INET or AF_INET6."""
    return socket.AF_INET6 if is_ipv6(address) else socket.AF_INET


def to_bytes(address: IpAddr) -> bytes:
    """Return an address as the wire has it."""
    return socket.inet_pton(family_of(address), address)


def to_address(value: bytes) -> IpAddr:
    """Return the canonical text of 4 or 16 bytes."""
    if len(value) == _IPV4_BYTES:
        return IpAddr(socket.inet_ntop(socket.AF_INET, value))
    text = socket.inet_ntop(socket.AF_INET6, value)
    return IpAddr(text if "." not in text else str(ipaddress.IPv6Address(value)))  # ::1.2.3.4


def _padded(length: int) -> int:
    return (length + 3) & ~3
