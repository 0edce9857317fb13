"""Messages and attributes of netlink, as bytes (<linux/netlink.h>, <linux/netfilter/nfnetlink.h>).

A message has a header, then a family, then attributes: a length, a type, and a value that may be
attributes again. Those of netfilter are in the order of the network, headers are not.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

NETLINK_NETFILTER: Final = 12
SOL_NETLINK: Final = 270
NETLINK_CAP_ACK: Final = 10
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
NFPROTO_INET: Final = 1
BATCH_BEGIN, BATCH_END = 0x10, 0x11
ERROR, DONE = 2, 3
REQUEST, ACK, INTERRUPTED, EXCLUSIVE, DUMP, CREATE = 0x01, 0x04, 0x10, 0x200, 0x300, 0x400

U32: Final = struct.Struct("!I")
I32: Final = struct.Struct("!i")
U64: Final = struct.Struct("!Q")
ERRNO: Final = struct.Struct("=i")

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_FAMILY: Final = struct.Struct("!BBH")  # nfgen_family, version, resource
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_NESTED: Final = 0x8000
_TYPE_MASK: Final = 0x3FFF


class Message(NamedTuple):
    """One that has come.

    Attributes:
        sequence: of the request that it answers.
        port: of the socket that has caused it; 0 is the kernel itself.
        family: `nfgen_family`, of netfilter's messages.
        body: attributes; all of the payload where it is no message of netfilter.
    """

    kind: int
    flags: int
    sequence: int
    port: int
    family: int
    body: bytes


def message(  # noqa: PLR0913  the fields of a header, by name
    kind: int,
    flags: int,
    body: bytes,
    *,
    sequence: int,
    family: int = NFPROTO_INET,
    resource: int = 0,
) -> bytes:
    """Return a request."""
    start = _FAMILY.pack(family, 0, resource)
    length = _HEADER.size + len(start) + len(body)
    return _HEADER.pack(length, kind, flags | REQUEST, sequence, 0) + start + body


def messages(data: bytes) -> Iterator[Message]:
    """Yield what one datagram holds."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, port = _HEADER.unpack_from(data, offset)
        body = data[offset + _HEADER.size : offset + length]
        if kind in {ERROR, DONE}:
            yield Message(kind, flags, sequence, port, 0, body)
        else:
            family = body[0] if body else 0
            yield Message(kind, flags, sequence, port, family, body[_FAMILY.size :])
        offset += _padded(max(length, _HEADER.size))


def parts(data: bytes) -> dict[int, bytes]:
    """Return attributes by type; where there are hundred thousands, this is what takes time."""
    found: dict[int, bytes] = {}
    offset, end = 0, len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:  # noqa: PLR2004  no room for its own header: not what the kernel sends
            break
        found[kind & _TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def each(data: bytes) -> Iterator[bytes]:
    """Yield the attributes of a list, which are all of one type."""
    offset, end = 0, len(data)
    while offset + 4 <= end:
        length, _ = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:  # noqa: PLR2004  see above
            break
        yield data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def nested(kind: int, value: bytes) -> bytes:
    """Return an attribute that holds attributes."""
    return attribute(kind | _NESTED, value)


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + b"\0" * (_padded(length) - length)


def text(name: str) -> bytes:
    """Return a name as the kernel wants it."""
    return name.encode() + b"\0"


def _padded(length: int) -> int:
    return (length + 3) & ~3
