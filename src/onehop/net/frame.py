"""Ethernet frames that ask who has an address, and that tell everybody who has it now.

IPv4 speaks ARP (RFC 826, conflict detection in RFC 5227), IPv6 neighbour discovery (RFC 4861,
duplicate address detection in RFC 4862). Bytes in, bytes out: sockets are `link.py`'s affair.
"""

import ipaddress
import struct
from typing import Final, NewType

from onehop.model.address import IpAddr, is_ipv6

Mac = NewType("Mac", bytes)
"""Six bytes."""

BROADCAST: Final = Mac(b"\xff" * 6)
NOBODY: Final = Mac(b"\x00" * 6)

ETH_P_ARP: Final = 0x0806
ETH_P_IPV6: Final = 0x86DD

_ETHERNET: Final = struct.Struct("!6s6sH")
_ARP: Final = struct.Struct("!HHBBH6s4s6s4s")
_IPV6: Final = struct.Struct("!IHBB16s16s")
_NEIGHBOUR: Final = struct.Struct("!BBHI16s")

_ARP_REQUEST: Final = 1
_ARP_REPLY: Final = 2
_ICMPV6: Final = 58
_SOLICITATION: Final = 135
_ADVERTISEMENT: Final = 136
_TARGET_LINK_LAYER_ADDRESS: Final = 2
_OVERRIDE: Final = 0x2000_0000
_HOP_LIMIT: Final = 255  # proves that no router forwarded it (RFC 4861, section 7.1)
_ALL_NODES: Final = ipaddress.IPv6Address("ff02::1").packed
_UNSPECIFIED: Final = bytes(16)


def format_mac(mac: Mac) -> str:
    """Return `02:00:00:00:00:01`."""
    return mac.hex(":")


def parse_mac(text: str) -> Mac:
    """Return the bytes of `02:00:00:00:00:01`."""
    return Mac(bytes.fromhex(text.replace(":", "")))


def solicited_node_mac(address: IpAddr) -> Mac:
    """Return the Ethernet group that an IPv6 address's owner listens to (RFC 2464, section 7)."""
    return _group_mac(_solicited_node(ipaddress.ip_address(address).packed))


def probe_frames(address: IpAddr, mac: Mac) -> tuple[bytes, ...]:
    """Return the question whether anybody has the address, which claims nothing for ourselves.

    An ARP probe carries no sender address, so nobody's cache takes it up (RFC 5227, section 1.1);
    a solicitation for duplicate detection comes from `::` (RFC 4862, section 5.4.2).
    """
    packed = ipaddress.ip_address(address).packed
    if not is_ipv6(address):
        return (_arp(mac, _ARP_REQUEST, bytes(4), NOBODY, packed),)
    group = _solicited_node(packed)
    body = _NEIGHBOUR.pack(_SOLICITATION, 0, 0, 0, packed)
    return (_ndp(mac, _group_mac(group), _UNSPECIFIED, group, body),)


def announcement_frames(address: IpAddr, mac: Mac) -> tuple[bytes, ...]:
    """Return what makes every cache on the link point to us.

    ARP in both forms, for some systems heed only the request (RFC 5227, section 3) and some only
    the reply; an unsolicited advertisement with the Override flag (RFC 4861, section 7.2.6).
    """
    packed = ipaddress.ip_address(address).packed
    if not is_ipv6(address):
        request = _arp(mac, _ARP_REQUEST, packed, NOBODY, packed)
        reply = _arp(mac, _ARP_REPLY, packed, BROADCAST, packed)
        return request, reply
    option = struct.pack("!BB6s", _TARGET_LINK_LAYER_ADDRESS, 1, mac)
    body = _NEIGHBOUR.pack(_ADVERTISEMENT, 0, 0, _OVERRIDE, packed) + option
    return (_ndp(mac, _group_mac(_ALL_NODES), packed, _ALL_NODES, body),)


def claimant(frame: bytes, address: IpAddr) -> Mac | None:
    """Return the sender of a frame that claims the address or probes for it too, else None.

    For IPv4 that is any ARP from the address, or a probe for it (RFC 5227, section 2.1.1); for IPv6
    an advertisement of it, or a solicitation from `::` (RFC 4862, sections 5.4.3 and 5.4.4).
    """
    if len(frame) < _ETHERNET.size:
        return None
    _, source, protocol = _ETHERNET.unpack_from(frame)
    packed = ipaddress.ip_address(address).packed
    if protocol == ETH_P_ARP and not is_ipv6(address):
        return _arp_claimant(frame, packed)
    if protocol == ETH_P_IPV6 and is_ipv6(address):
        return Mac(source) if _is_ndp_claim(frame, packed) else None
    return None


def _arp_claimant(frame: bytes, packed: bytes) -> Mac | None:
    if len(frame) < _ETHERNET.size + _ARP.size:
        return None
    *_, operation, mac, sender, _, target = _ARP.unpack_from(frame, _ETHERNET.size)
    is_probe = operation == _ARP_REQUEST and sender == bytes(4) and target == packed
    return Mac(mac) if sender == packed or is_probe else None


def _is_ndp_claim(frame: bytes, packed: bytes) -> bool:
    if len(frame) < _ETHERNET.size + _IPV6.size + _NEIGHBOUR.size:
        return False
    _, _, protocol, hops, source, _ = _IPV6.unpack_from(frame, _ETHERNET.size)
    kind, code, _, _, target = _NEIGHBOUR.unpack_from(frame, _ETHERNET.size + _IPV6.size)
    if (protocol, hops, code, target) != (_ICMPV6, _HOP_LIMIT, 0, packed):
        return False
    return bool(kind == _ADVERTISEMENT or (kind == _SOLICITATION and source == _UNSPECIFIED))


def _arp(mac: Mac, operation: int, sender: bytes, target_mac: Mac, target: bytes) -> bytes:
    header = _ETHERNET.pack(BROADCAST, mac, ETH_P_ARP)
    return header + _ARP.pack(1, 0x0800, 6, 4, operation, mac, sender, target_mac, target)


def _ndp(mac: Mac, to: Mac, source: bytes, destination: bytes, body: bytes) -> bytes:
    pseudo = source + destination + struct.pack("!II", len(body), _ICMPV6)
    body = body[:2] + struct.pack("!H", _checksum(pseudo + body)) + body[4:]
    packet = _IPV6.pack(6 << 28, len(body), _ICMPV6, _HOP_LIMIT, source, destination)
    return _ETHERNET.pack(to, mac, ETH_P_IPV6) + packet + body


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while carry := total >> 16:
        total = (total & 0xFFFF) + carry
    return ~total & 0xFFFF


def _solicited_node(packed: bytes) -> bytes:
    """Return ff02::1:ffXX:XXXX (RFC 4291, section 2.7.1)."""
    return ipaddress.IPv6Address("ff02::1:ff00:0").packed[:13] + packed[13:]


def _group_mac(group: bytes) -> Mac:
    return Mac(b"\x33\x33" + group[12:])
