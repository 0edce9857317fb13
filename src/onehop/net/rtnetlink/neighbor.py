"""Neighbours and forwarding entries as rtnetlink has them (<linux/neighbour.h>).

A VXLAN device has both in one message type: a neighbour says which MAC an inner address has, and
a forwarding entry (family AF_BRIDGE) behind which outer address a MAC is.
"""

import socket
import struct
from typing import Final

import msgspec

from onehop.base.nlmsg import CREATE, REPLACE, Message, Request, attribute, attributes
from onehop.model.address import IpAddr
from onehop.net.frame import Mac, format_mac, parse_mac
from onehop.net.rtnetlink.value import family_of, number, to_address, to_bytes

NEW_NEIGHBOR: Final = 28
DEL_NEIGHBOR: Final = 29
GET_NEIGHBOR: Final = 30

_HEADER: Final = struct.Struct("=BxxxiHBB")  # family, ifindex, state, flags, type
_PERMANENT: Final = 0x80  # NUD_PERMANENT
_SELF: Final = 0x2  # NTF_SELF: of the device itself, not of a bridge it belongs to
_ADDRESS: Final = 1
_MAC: Final = 2
_DEVICE: Final = 8


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A permanent entry of one device.

    Attributes:
        is_forwarding: `address` is the outer one that frames to `mac` go to; otherwise the inner
            one that `mac` belongs to.
    """

    is_forwarding: bool
    mac: str
    address: IpAddr


def put_entry(entry: Entry, device: int) -> Request:
    """Return the request that adds an entry, or changes the one of its key at once."""
    return Request(NEW_NEIGHBOR, CREATE | REPLACE, _body(entry, device))


def remove_entry(entry: Entry, device: int) -> Request:
    """Return the request that removes an entry."""
    return Request(DEL_NEIGHBOR, 0, _body(entry, device))


def list_entries(family: int, device: int) -> Request:
    """Return the request for the entries of a device; AF_BRIDGE asks for forwarding entries."""
    if family == socket.AF_BRIDGE:
        return Request(GET_NEIGHBOR, 0, _HEADER.pack(family, device, 0, 0, 0))
    return Request(GET_NEIGHBOR, 0, _HEADER.pack(family, 0, 0, 0, 0) + number(_DEVICE, device))


def is_about_entry(message: Message) -> bool:
    """Tell whether a message is about a neighbour or a forwarding entry."""
    return message.kind in {NEW_NEIGHBOR, DEL_NEIGHBOR}


def device_of(payload: bytes) -> int:
    """Return the number of the interface that a message is about."""
    return int(_HEADER.unpack_from(payload)[1])


def read_entry(payload: bytes) -> Entry | None:
    """Return the entry of a message; None if it is one that the kernel learned."""
    family, _, state, _, _ = _HEADER.unpack_from(payload)
    found = attributes(payload, _HEADER.size)
    if not state & _PERMANENT or _ADDRESS not in found or _MAC not in found:
        return None
    mac, address = format_mac(Mac(found[_MAC])), to_address(found[_ADDRESS])
    return Entry(is_forwarding=family == socket.AF_BRIDGE, mac=mac, address=address)


def _body(entry: Entry, device: int) -> bytes:
    family = socket.AF_BRIDGE if entry.is_forwarding else family_of(entry.address)
    flags = _SELF if entry.is_forwarding else 0
    return (
        _HEADER.pack(family, device, _PERMANENT, flags, 0)
        + attribute(_ADDRESS, to_bytes(entry.address))
        + attribute(_MAC, parse_mac(entry.mac))
    )
