"""What a BIRD shall say and hear, and which neighbours it cannot be told about."""

import ipaddress
from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.model.address import Cidr, IpAddr, is_ipv6
from onehop.model.network import Neighbor, Network

TABLE: Final = 111
"""The kernel's table that Pod routes are kept in."""

_LONGEST_PASSWORD: Final = 80
"""TCP_MD5SIG_MAXKEYLEN of <linux/tcp.h>."""


class Speaker(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that BIRD's configuration is made of.

    Attributes:
        vips: announced to whoever hears VIPs, as /32 and /128.
        returns: announced to whoever hears the ways back to transparent clients.
        router_id: an IPv4 address (RFC 6286); None has BIRD choose one of this host's.
        table: the kernel's table that Pod routes are written into.
        for_include: whether the text is included by the configuration of a BIRD that somebody
            else runs: then router id, logging, devices and BFD are theirs.
        version: of BIRD, as `(2, 17, 6)`.
    """

    network: Network
    vips: tuple[IpAddr, ...] = ()
    returns: tuple[Cidr, ...] = ()
    router_id: IpAddr | None = None
    table: int = TABLE
    for_include: bool = False
    version: tuple[int, ...] = (2, 0)


class MuteNeighbor(msgspec.Struct, frozen=True, order=True):
    """A neighbour that is left out, because BIRD would refuse the whole configuration for it."""

    name: str
    message: str


def mute_neighbors(speaker: Speaker) -> tuple[MuteNeighbor, ...]:
    """Return the neighbours that are left out, and why, in order of their names."""
    return tuple(mute for _, mute in _judged(speaker) if mute is not None)


def speaking_neighbors(speaker: Speaker) -> tuple[Neighbor, ...]:
    """Return the neighbours that BIRD is told about, in order of their names."""
    return tuple(neighbor for neighbor, mute in _judged(speaker) if mute is None)


def _judged(speaker: Speaker) -> Iterator[tuple[Neighbor, MuteNeighbor | None]]:
    names: set[str] = set()
    sockets: dict[tuple[IpAddr, int], str] = {}
    for neighbor in sorted(speaker.network.neighbors, key=lambda each: each.name):
        socket = (neighbor.address, neighbor.port)
        if neighbor.name in names:
            fault = "another neighbour has the same name"
        elif socket in sockets:
            fault = f"{sockets[socket]} is at the same address"
        else:
            fault = _fault(neighbor)
        names.add(neighbor.name)
        if fault:
            yield neighbor, MuteNeighbor(neighbor.name, fault)
        else:
            sockets[socket] = neighbor.name
            yield neighbor, None


def _fault(neighbor: Neighbor) -> str:
    """Return why BIRD could not take this neighbour, or nothing."""
    source = neighbor.source
    for address in (neighbor.address, source):
        if address is not None and not _can_speak(address):
            return f"{address} is no address to hold a session with"
    if source is not None and is_ipv6(source) != is_ipv6(neighbor.address):
        return f"source {source} is not of the address family of {neighbor.address}"
    if neighbor.bfd and neighbor.multihop is not None and source is None:
        return "BFD over several hops needs a `source` (RFC 5883); name one, or switch BFD off"
    if neighbor.password is not None:
        return _password_fault(neighbor.password.reveal)
    return ""


def _can_speak(address: IpAddr) -> bool:
    """Tell whether a session may begin or end at an address: BIRD knows no zone of `fe80::1`."""
    parsed = ipaddress.ip_address(address)
    return not (
        parsed.is_link_local
        or parsed.is_loopback
        or parsed.is_multicast
        or parsed.is_unspecified
        or address == "255.255.255.255"
    )


def _password_fault(password: str) -> str:
    """Return why BIRD's configuration has no way to spell this password; never the password."""
    if not password or len(password) > _LONGEST_PASSWORD:
        return f"the password must have 1 to {_LONGEST_PASSWORD} characters"
    if not (password.isascii() and password.isprintable()) or '"' in password:
        return "the password may hold printable ASCII characters only, and no quotation mark"
    return ""
