"""Messages and attributes of netlink (netlink(7), <linux/netlink.h>), in both directions.

A message has a header, then a header of its family, then attributes: a length, a type, and a value
that may be attributes again. Headers are in the byte order of the host, and every part begins at a
multiple of four bytes. What values mean is a matter of the family.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

REQUEST: Final = 0x01
ACK: Final = 0x04
DUMP_INTERRUPTED: Final = 0x10
REPLACE: Final = 0x100
EXCLUSIVE: Final = 0x200
DUMP: Final = 0x300
CREATE: Final = 0x400
APPEND: Final = 0x800

ERROR: Final = 2
DONE: Final = 3

SOL_NETLINK: Final = 270  # <linux/socket.h>
CAP_ACK: Final = 10
"""An option: errors come without the request that they are about."""

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_ERRNO: Final = struct.Struct("=i")
_NESTED: Final = 0x8000
_TYPE_MASK: Final = 0x3FFF  # less NLA_F_NESTED and NLA_F_NET_BYTEORDER


class Request(NamedTuple):
    """Something that the kernel is asked for.

    Attributes:
        flags: CREATE, DUMP and so on; REQUEST is added.
        body: the family's header and the attributes.
    """

    kind: int
    flags: int
    body: bytes


class Message(NamedTuple):
    """What the kernel said.

    Attributes:
        sequence: of the request that it answers.
        payload: the family's header and the attributes.
        port: of the socket that has caused it; 0 is the kernel itself.
    """

    kind: int
    flags: int
    sequence: int
    payload: bytes
    port: int = 0


def pack(request: Request, sequence: int, flags: int = 0) -> bytes:
    """Return a whole message; bodies are multiples of four bytes already."""
    length = _HEADER.size + len(request.body)
    header = _HEADER.pack(length, request.kind, request.flags | REQUEST | flags, sequence, 0)
    return header + request.body


def unpack(data: bytes) -> Iterator[Message]:
    """Return the messages of one datagram, in order."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, port = _HEADER.unpack_from(data, offset)
        payload = data[offset + _HEADER.size : offset + length]
        yield Message(kind, flags, sequence, payload, port)
        offset += _padded(max(length, _HEADER.size))


def errno_of(message: Message) -> int:
    """Return the errno that an ERROR or DONE message carries; 0 is an acknowledgement."""
    return -int(_ERRNO.unpack_from(message.payload)[0]) if message.payload else 0


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + b"\0" * (_padded(length) - length)


def nested(kind: int, value: bytes) -> bytes:
    """Return an attribute that holds attributes."""
    return attribute(kind | _NESTED, value)


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Return the attributes from an offset on, by type; of a repeated one, the last.

    Where there are hundred thousands, this is what takes time.
    """
    found: dict[int, bytes] = {}
    end = len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:  # noqa: PLR2004  no room for its own header: not what the kernel sends
            break
        found[kind & _TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def members(data: bytes) -> Iterator[bytes]:
    """Yield the attributes of a list, which are all of one type."""
    offset, end = 0, len(data)
    while offset + 4 <= end:
        length, _ = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:  # noqa: PLR2004  see above
            break
        yield data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _padded(length: int) -> int:
    return (length + 3) & ~3
