"""Numbers and addresses in attributes of rtnetlink(7)."""

import ipaddress
import socket
import struct
from typing import Final

from onehop.base.nlmsg import attribute
from onehop.model.address import Cidr, IpAddr, is_ipv6

_UINT32: Final = struct.Struct("=I")
_IPV4_BYTES: Final = 4


def number(kind: int, value: int) -> bytes:
    """Return an attribute that holds 32 bits."""
    return attribute(kind, _UINT32.pack(value))


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
