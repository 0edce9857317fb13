"""Interfaces as rtnetlink tells of them (<linux/if_link.h>): only whether one is gone."""

import struct
from collections.abc import Collection
from typing import Final

from onehop.net.rtnetlink.message import Message

NEW_LINK: Final = 16
DEL_LINK: Final = 17

_HEADER: Final = struct.Struct("=BxHiII")  # family, type, ifindex, flags, change
_UP: Final = 0x1  # IFF_UP


def link_of(message: Message) -> int | None:
    """Return the number of the interface that a message is about, if it is about one."""
    if message.kind not in {NEW_LINK, DEL_LINK}:
        return None
    return int(_HEADER.unpack_from(message.payload)[2])


def is_gone(message: Message, devices: Collection[int]) -> bool:
    """Tell whether one of the devices was removed, or is down."""
    if message.kind not in {NEW_LINK, DEL_LINK}:
        return False
    _, _, device, flags, _ = _HEADER.unpack_from(message.payload)
    return device in devices and (message.kind == DEL_LINK or not flags & _UP)
