"""Addresses as canonical text."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.model.address import (
    IpAddr,
    address_set,
    ip_number,
    is_ipv6,
    is_loopback,
    is_never_a_backend,
    parse_cidr,
    parse_ip,
)


@given(st.ip_addresses())
def test_every_address_is_canonical_text_of_its_family(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """The canonical form is the standard library's, and numbers compare as addresses do."""
    parsed = parse_ip(address.exploded)

    assert parsed is not None
    if ":" in parsed:
        assert parsed == str(address)
    assert is_ipv6(parsed) is (":" in parsed)
    assert ip_number(parsed) == int(ipaddress.ip_address(parsed))
    assert parse_ip(parsed) == parsed


@given(st.lists(st.tuples(st.ip_addresses(), st.integers(0, 3)), max_size=4), st.ip_addresses())
def test_a_set_of_addresses_holds_what_lies_in_its_ranges(
    starts: list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]],
    other: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Both ends included, and each family for itself."""
    ranges: list[tuple[IpAddr, IpAddr]] = []
    for start, size in starts:
        last = min(int(start) + size, 2**start.max_prefixlen - 1)
        ranges.append((IpAddr(str(start)), IpAddr(str(type(start)(last)))))
    found = address_set(ranges)

    for first, last_ip in ranges:
        assert first in found
        assert last_ip in found
    assert (IpAddr(str(other)) in found) is any(
        start.version == other.version and int(start) <= int(other) <= int(start) + size
        for start, size in starts
    )


@given(st.text())
def test_no_text_breaks_the_parsers(text: str) -> None:
    """What is not an address or a network is None, never an exception or other text."""
    assert parse_ip(text) in {None, text}
    assert parse_cidr(text) is None or "/" in (parse_cidr(text) or "")


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0", "010.0.0.1", "256.0.0.1", "10.0.0.1\n", "fe80::1%eth0", "\u0661.0.0.1", "::1::"],
)
def test_no_second_spelling_slips_through(text: str) -> None:
    """Octal-looking, zoned, non-ASCII or unfinished addresses are refused."""
    assert parse_ip(text) is None


def test_a_mapped_address_is_the_ipv4_address_it_means() -> None:
    """`::ffff:127.0.0.1` is loopback, and says so."""
    assert parse_ip("::ffff:127.0.0.1") == "127.0.0.1"
    assert parse_ip("2001:DB8:0::1") == "2001:db8::1"


def test_networks_lose_their_host_bits() -> None:
    """As kube-proxy and helper.go read them."""
    assert parse_cidr(" 10.1.2.3/8 ") == "10.0.0.0/8"
    assert parse_cidr("192.0.2.1") == "192.0.2.1/32"
    assert parse_cidr("2001:db8::1/32") == "2001:db8::/32"
    assert parse_cidr("10.0.0.0/33") is None


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "fe80::1",
        "224.0.0.1",
        "239.1.1.1",
        "ff02::1",
        "255.255.255.255",
    ],
)
def test_addresses_that_lead_back_to_us_are_never_backends(text: str) -> None:
    """Design rule 6."""
    assert is_never_a_backend(IpAddr(text))
    assert is_loopback(IpAddr(text)) is (text.startswith("127.") or text == "::1")


@pytest.mark.parametrize("text", ["10.0.0.1", "169.253.0.1", "240.0.0.1", "2001:db8::1", "fc00::1"])
def test_other_addresses_may_be_backends(text: str) -> None:
    """Pods live in private, shared and even reserved space."""
    assert not is_never_a_backend(IpAddr(text))
