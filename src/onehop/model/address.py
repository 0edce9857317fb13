"""IP addresses and networks as canonical text.

msgspec cannot decode `IPv4Address | IPv6Address`, and text compares, hashes and prints cheaper;
so an address is a string that was parsed once, here.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final, NewType

import msgspec

IpAddr = NewType("IpAddr", str)
Cidr = NewType("Cidr", str)

_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_CANONICAL_IPV4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")

_NEVER_A_BACKEND: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "127.0.0.0/8",  # the load balancer itself
        "::1/128",
        "0.0.0.0/8",  # "this host": Linux connects to loopback
        "::/128",
        "169.254.0.0/16",  # link-local: cloud metadata servers live here
        "fe80::/10",
        "224.0.0.0/4",  # multicast
        "ff00::/8",
        "255.255.255.255/32",
    )
)
# The IPv4 ones begin with these, so that nearly every address is cleared by one look-up.
_SUSPICIOUS_FIRST_OCTETS: Final = frozenset(("0", "127", "169", "255", *map(str, range(224, 240))))


def parse_ip(text: str) -> IpAddr | None:
    """Return the canonical form of an IPv4 or IPv6 address, or None if it is not one.

    An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) comes out as the IPv4 address it means, so that
    no second spelling slips past an address check. A zone (`fe80::1%eth0`) is refused.
    """
    if _CANONICAL_IPV4.fullmatch(text):  # at a third of the price of ipaddress
        return IpAddr(text)
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    if address.scope_id is not None:
        return None
    return IpAddr(str(address.ipv4_mapped or address))


def parse_cidr(text: str) -> Cidr | None:
    """Return the canonical form of a network; host bits are cleared, a bare address is a /32."""
    try:
        return Cidr(str(ipaddress.ip_network(text.strip(), strict=False)))
    except ValueError:
        return None


def is_ipv6(address: IpAddr | Cidr) -> bool:
    """Tell the family; canonical text needs no parsing for it."""
    return ":" in address


def is_within(inner: Cidr, outer: Cidr) -> bool:
    """Tell whether a network holds all of another one, or is that one."""
    network, other = ipaddress.ip_network(inner), ipaddress.ip_network(outer)
    return (
        network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]  # both are of one version
    )


def ip_number(address: IpAddr) -> int:
    """Return the address as a number, to be compared within its family."""
    if is_ipv6(address):
        return int(ipaddress.IPv6Address(address))
    return int.from_bytes(map(int, address.split(".")), "big")


def ends_of(prefix: Cidr) -> tuple[int, int]:
    """Return the first and the last address of a network as numbers."""
    network = ipaddress.ip_network(prefix)
    return int(network.network_address), int(network.broadcast_address)


def single(address: IpAddr) -> Cidr:
    """Return the network of one address."""
    return Cidr(f"{address}/{128 if is_ipv6(address) else 32}")


class AddressSet(msgspec.Struct, frozen=True):
    """Addresses as inclusive ranges of their numbers: made once, asked often."""

    ipv4: tuple[tuple[int, int], ...] = ()
    ipv6: tuple[tuple[int, int], ...] = ()

    def __contains__(self, address: IpAddr) -> bool:
        return self.has(ip_number(address), ipv6=is_ipv6(address))

    def has(self, number: int, *, ipv6: bool) -> bool:
        """Tell the same of an address as a number of its family."""
        return any(first <= number <= last for first, last in (self.ipv6 if ipv6 else self.ipv4))


def address_set(ranges: Iterable[tuple[IpAddr, IpAddr]]) -> AddressSet:
    """Return the set of all addresses from each first to its last."""
    numbers: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    for first, last in ranges:
        numbers[is_ipv6(first)].append((ip_number(first), ip_number(last)))
    return AddressSet(ipv4=tuple(numbers[False]), ipv6=tuple(numbers[True]))


def prefix_set(prefixes: Iterable[Cidr]) -> AddressSet:
    """Return the set of all addresses in any of the networks."""
    ends: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    for prefix in prefixes:
        ends[is_ipv6(prefix)].append(ends_of(prefix))
    return AddressSet(ipv4=tuple(ends[False]), ipv6=tuple(ends[True]))


def is_loopback(address: IpAddr) -> bool:
    """Tell whether the address is 127.0.0.0/8 or ::1."""
    return ipaddress.ip_address(address).is_loopback


def is_never_a_backend(address: IpAddr) -> bool:
    """Tell whether traffic to this address would reach the load balancer or its link instead.

    Loopback, link-local, multicast and unspecified addresses (design rule 6): a tenant who may
    write an EndpointSlice must not reach our admin socket or a cloud's metadata server.
    """
    if not is_ipv6(address) and address.partition(".")[0] not in _SUSPICIOUS_FIRST_OCTETS:
        return False
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in _NEVER_A_BACKEND)
