"""Netfilter's messages: netlink's, with a header of their own (<linux/netfilter/nfnetlink.h>).

That is a family, then attributes, whose values are in the order of the network.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from onehop.base import nlmsg

NETLINK_NETFILTER: Final = 12
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
NFPROTO_INET: Final = 1
BATCH_BEGIN, BATCH_END = 0x10, 0x11

U32: Final = struct.Struct("!I")
I32: Final = struct.Struct("!i")
U64: Final = struct.Struct("!Q")

_FAMILY: Final = struct.Struct("!BBH")  # nfgen_family, version, resource


class Message(NamedTuple):
    """One that has come and is netfilter's.

    Attributes:
        sequence: of the request that it answers.
        port: of the socket that has caused it; 0 is the kernel itself.
        family: `nfgen_family`.
        body: attributes.
    """

    kind: int
    flags: int
    sequence: int
    port: int
    family: int
    body: bytes


def message(
    request: nlmsg.Request, sequence: int, *, family: int = NFPROTO_INET, resource: int = 0
) -> bytes:
    """Return a request, whose body has the attributes."""
    body = _FAMILY.pack(family, 0, resource) + request.body
    return nlmsg.pack(request._replace(body=body), sequence)


def read(message: nlmsg.Message) -> Message:
    """Return what netfilter said."""
    kind, flags, sequence, payload, port = message
    family = payload[0] if payload else 0
    return Message(kind, flags, sequence, port, family, payload[_FAMILY.size :])


def messages(data: bytes) -> Iterator[Message]:
    """Yield what one datagram of events holds."""
    return map(read, nlmsg.unpack(data))


def text(name: str) -> bytes:
    """Return a name as the kernel wants it."""
    return name.encode() + b"\0"
