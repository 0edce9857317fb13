"""Asking a link who has an address, and telling it who has: frames over AF_PACKET sockets.

Raw sockets and not the kernel's own duplicate detection, because IPv4 has none, and because a VIP
that the kernel calls "tentative" takes no connections while it waits.
"""

import asyncio
import contextlib
import ctypes
import socket
import struct
from collections.abc import Generator, Iterable, Sequence
from typing import Final

import msgspec

from onehop.base.errors import ConfigError, TransientError
from onehop.model.address import IpAddr, is_ipv6
from onehop.net.frame import (
    ETH_P_ARP,
    ETH_P_IPV6,
    Mac,
    announcement_frames,
    claimant,
    probe_frames,
    solicited_node_mac,
)

_ALL_NODES: Final = Mac(bytes.fromhex("333300000001"))
_SEND_TIMEOUT_S: Final = 1.0
_FRAME_BYTES: Final = 2048

# <linux/if_packet.h>, <linux/filter.h>; Python's socket module knows the level only by number.
_SOL_PACKET: Final = 263
_PACKET_ADD_MEMBERSHIP: Final = 1
_PACKET_MR_MULTICAST: Final = 0
_SO_ATTACH_FILTER: Final = 26

_ONLY_NEIGHBOUR_DISCOVERY: Final = (
    (0x30, 0, 0, 20),  # A = next header
    (0x15, 0, 4, 58),  # not ICMPv6: drop
    (0x30, 0, 0, 54),  # A = ICMPv6 type
    (0x15, 1, 0, 135),  # solicitation: keep
    (0x15, 0, 1, 136),  # not an advertisement: drop
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)
"""Classic BPF: of all the IPv6 traffic of a load balancer, only neighbour discovery gets here."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a link is asked, and how often it is told.

    RFC 5227 asks for seven seconds, which is what a failover cannot wait. On one Ethernet an
    answer takes a millisecond; three questions are for the one that gets lost.

    Attributes:
        probes: questions, each followed by `probe_s` of listening.
        announcements: at most as many as RFC 5227 and RFC 4861 allow (2 and 3) is polite.
    """

    probes: int = 3
    probe_s: float = 0.2
    announcements: int = 3
    announce_s: float = 0.1


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """An interface at one moment.

    Attributes:
        asks: whether neighbours can be asked at all: not on loopback, nor with NOARP.
        is_up: administratively, and with a carrier.
    """

    name: str
    index: int
    mac: Mac
    asks: bool
    is_up: bool


async def find_claimant(link: Link, address: IpAddr, patience: Patience) -> Mac | None:
    """Ask whether another machine on the link has the address; return its MAC, or None.

    Raises:
        ConfigError: CAP_NET_RAW is missing.
        TransientError: the link went away while it was asked.
    """
    with _open_socket(link, hears=address) as packets:
        for _ in range(patience.probes):
            await _send(packets, link, probe_frames(address, link.mac))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience.probe_s):
                    return await _hear_claimant(packets, link, address)
    return None


async def announce(link: Link, addresses: Sequence[IpAddr], patience: Patience) -> None:
    """Tell everybody on the link that the addresses are ours; raises as `find_claimant`."""
    frames = [frame for address in addresses for frame in announcement_frames(address, link.mac)]
    with _open_socket(link, hears=None) as packets:
        for number in range(patience.announcements):
            if number:
                await asyncio.sleep(patience.announce_s)
            await _send(packets, link, frames)


async def _hear_claimant(packets: socket.socket, link: Link, address: IpAddr) -> Mac:
    loop = asyncio.get_running_loop()
    while True:
        try:
            frame = await loop.sock_recv(packets, _FRAME_BYTES)
        except OSError as err:
            raise TransientError(f"lost {link.name} while asking for {address}: {err}") from err
        mac = claimant(frame, address)
        if mac is not None and mac != link.mac:  # a switch may hand our own question back
            return mac


async def _send(packets: socket.socket, link: Link, frames: Iterable[bytes]) -> None:
    try:
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            for frame in frames:
                await asyncio.get_running_loop().sock_sendall(packets, frame)
    except OSError as err:  # TimeoutError is one
        raise TransientError(f"cannot send on {link.name}: {err or 'it takes no frames'}") from err


@contextlib.contextmanager
def _open_socket(link: Link, *, hears: IpAddr | None) -> Generator[socket.socket]:
    """Open a socket that sends on the link, and hears who speaks of this address, if any."""
    try:
        # Protocol 0 hears nothing until bind(): no frame of another interface gets in before.
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    except PermissionError as err:
        raise ConfigError(
            f"asking {link.name} who has an address needs CAP_NET_RAW; "
            "grant it (AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW) or set addresses.bind.none"
        ) from err
    with packets:
        try:
            if hears is None:
                packets.bind((link.name, 0))
            elif is_ipv6(hears):
                _hear_neighbour_discovery(packets, link, hears)
                packets.bind((link.name, ETH_P_IPV6))
            else:
                packets.bind((link.name, ETH_P_ARP))
        except OSError as err:
            raise TransientError(f"cannot open {link.name}: {err.strerror}") from err
        yield packets


def _hear_neighbour_discovery(packets: socket.socket, link: Link, address: IpAddr) -> None:
    program = b"".join(struct.pack("HBBI", *step) for step in _ONLY_NEIGHBOUR_DISCOVERY)
    buffer = ctypes.create_string_buffer(program, len(program))  # the kernel copies it at once
    filtering = struct.pack("HP", len(_ONLY_NEIGHBOUR_DISCOVERY), ctypes.addressof(buffer))
    packets.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filtering)
    for group in (_ALL_NODES, solicited_node_mac(address)):
        membership = struct.pack("iHH8s", link.index, _PACKET_MR_MULTICAST, len(group), group)
        packets.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, membership)
