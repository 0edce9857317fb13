"""Interfaces as rtnetlink tells of them (<linux/if_link.h>, <linux/if_addr.h>): headers only."""

import struct
from collections.abc import Collection
from typing import Final

from onehop.base.nlmsg import Message

NEW_LINK: Final = 16
DEL_LINK: Final = 17
NEW_ADDRESS: Final = 20
DEL_ADDRESS: Final = 21

_HEADER: Final = struct.Struct("=BxHiII")  # family, type, ifindex, flags, change
_ADDRESS: Final = struct.Struct("=4xI")  # family, length, flags, scope; ifindex
_UP: Final = 0x1  # IFF_UP


def link_of(message: Message) -> int | None:
    """Return the number of the interface that it is about: the interface, or an address of it."""
    if message.kind in {NEW_LINK, DEL_LINK}:
        return int(_HEADER.unpack_from(message.payload)[2])
    if message.kind in {NEW_ADDRESS, DEL_ADDRESS}:
        return int(_ADDRESS.unpack_from(message.payload)[0])
    return None


def is_gone(message: Message, devices: Collection[int]) -> bool:
    """Tell whether one of the devices was removed, or is down."""
    if message.kind not in {NEW_LINK, DEL_LINK}:
        return False
    _, _, device, flags, _ = _HEADER.unpack_from(message.payload)
    return device in devices and (message.kind == DEL_LINK or not flags & _UP)
