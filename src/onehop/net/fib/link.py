"""The host's interfaces: their names, and whether they carry anything."""

import socket
import struct
from typing import Final, NamedTuple

from onehop.base.nlmsg import Message, attributes

NEW_LINK: Final = 16
DEL_LINK: Final = 17
GET_LINK: Final = 18

_HEADER: Final = struct.Struct("=BxHiII")  # family, type, ifindex, flags, change
_NAME: Final = 3
_MASTER: Final = 10
_CARRYING: Final = 0x1 | 0x40 | 0x10000  # IFF_UP, IFF_RUNNING, IFF_LOWER_UP


class _Link(NamedTuple):
    name: str
    flags: int
    master: bytes


class Links:
    """What is known of the interfaces, as the kernel's messages tell of them."""

    def __init__(self) -> None:
        self._links: dict[int, _Link] = {}

    def note(self, message: Message) -> bool:
        """Take what a message says; return whether routes may have changed with it.

        Messages come for many reasons. Only a name, a carrier or a master (a VRF is one) matters,
        and a new interface that is still down has no routes yet.
        """
        _, _, index, flags, _ = _HEADER.unpack_from(message.payload)
        if message.kind == DEL_LINK:
            return self._links.pop(index, None) is not None
        found = attributes(message.payload, _HEADER.size)
        name = found.get(_NAME, b"").rstrip(b"\0").decode(errors="replace")
        link = _Link(name, flags & _CARRYING, found.get(_MASTER, b""))
        before = self._links.get(index)
        self._links[index] = link
        return bool(link.flags) if before is None else link != before

    def name(self, index: int) -> str:
        """Return the name of an interface, even if the event that tells of it is yet to be read."""
        link = self._links.get(index)
        if link is not None:
            return link.name
        try:
            return socket.if_indextoname(index)
        except OSError:  # it is gone again
            return f"if{index}"
