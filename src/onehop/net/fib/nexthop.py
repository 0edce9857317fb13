"""Nexthop objects (`ip nexthop`), for hosts where routes name nothing but their number.

That is so with `net.ipv4.nexthop_compat_mode=0`, which FRR's users set; else the kernel spells
them out with each route. See <linux/nexthop.h>.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Final

from onehop.base.nlmsg import attributes
from onehop.model.reach import Hop
from onehop.net.rtnetlink.value import number, to_address, to_number

NEW_NEXTHOP: Final = 104
DEL_NEXTHOP: Final = 105
GET_NEXTHOP: Final = 106

_HEADER: Final = struct.Struct("=4BI")  # family, scope, protocol, reserved, flags
_MEMBER: Final = struct.Struct("=IBBH")  # number, weight less 1, its high bits, reserved
_DEAD: Final = 0x1 | 0x10  # RTNH_F_DEAD, RTNH_F_LINKDOWN
_ID: Final = 1
_GROUP: Final = 2
_DEVICE: Final = 5
_GATEWAY: Final = 6


def ask_nexthop(identifier: int) -> bytes:
    """Return the body of the question what a nexthop object is."""
    return _HEADER.pack(0, 0, 0, 0, 0) + number(_ID, identifier)


def read_nexthop(
    payload: bytes, *, device: Callable[[int], str], members: Callable[[int], tuple[Hop, ...]]
) -> Iterator[Hop]:
    """Yield the hops of an object that are alive; of a group, those of its members."""
    flags = _HEADER.unpack_from(payload)[-1]
    found = attributes(payload, _HEADER.size)
    if _GROUP in found:
        for identifier, *_ in _MEMBER.iter_unpack(found[_GROUP]):
            yield from members(identifier)
    elif _DEVICE in found and not flags & _DEAD:
        gateway = to_address(found[_GATEWAY]) if _GATEWAY in found else None
        yield Hop(device(to_number(found[_DEVICE])), gateway)
