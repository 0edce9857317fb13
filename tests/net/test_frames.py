"""Frames, byte by byte, against the layouts of the RFCs."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.model.address import IpAddr
from onehop.net.frame import (
    Mac,
    announcement_frames,
    claimant,
    format_mac,
    parse_mac,
    probe_frames,
    solicited_node_mac,
)

OURS = parse_mac("02:00:00:00:00:01")
THEIRS = parse_mac("02:00:00:00:00:02")
V4 = IpAddr("192.0.2.10")
V6 = IpAddr("2001:db8::1234:5678")

ETHERNET_BROADCAST = "ffffffffffff 020000000001 0806"


def checksum_is_right(frame: bytes) -> bool:
    """RFC 8200, section 8.1: pseudo-header and message sum up to all ones."""
    packet = frame[14:]
    body = packet[40:]
    data = packet[8:40] + struct.pack("!II", len(body), 58) + body
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    return total % 0xFFFF == 0


def test_a_mac_reads_and_prints_as_usual() -> None:
    """Text and bytes are the same address."""
    assert format_mac(OURS) == "02:00:00:00:00:01"


def test_an_arp_probe_has_no_sender_address() -> None:
    """RFC 5227, section 1.1: a broadcast request whose sender address is all zero."""
    (frame,) = probe_frames(V4, OURS)

    assert frame == bytes.fromhex(
        f"{ETHERNET_BROADCAST} 0001 0800 06 04 0001020000000001 00000000 000000000000 c000020a"
    )


def test_arp_is_announced_as_request_and_as_reply() -> None:
    """RFC 5227, section 3: sender and target are both the address; the reply is to everybody."""
    request, reply = announcement_frames(V4, OURS)

    assert request == bytes.fromhex(
        f"{ETHERNET_BROADCAST} 0001 0800 06 04 0001020000000001 c000020a 000000000000 c000020a"
    )
    assert reply == bytes.fromhex(
        f"{ETHERNET_BROADCAST} 0001 0800 06 04 0002020000000001 c000020a ffffffffffff c000020a"
    )


def test_a_solicitation_for_duplicates_comes_from_nobody() -> None:
    """RFC 4862, section 5.4.2: from `::` to the solicited-node group, hop limit 255, no option."""
    (frame,) = probe_frames(V6, OURS)
    target = "20010db8 00000000 00000000 12345678"

    assert frame[:14] == bytes.fromhex("3333ff345678 020000000001 86dd")
    assert frame[14:54] == bytes.fromhex(
        "60000000 0018 3a ff" + "00" * 16 + "ff02 0000 0000 0000 0000 0001 ff34 5678"
    )
    assert frame[54:56] == bytes.fromhex("8700")
    assert frame[58:] == bytes.fromhex("00000000" + target)
    assert checksum_is_right(frame)


def test_an_advertisement_overrides_what_caches_hold() -> None:
    """RFC 4861, section 7.2.6: to all nodes, unsolicited, Override, with our link-layer address."""
    (frame,) = announcement_frames(V6, OURS)
    address = "20010db8 00000000 00000000 12345678"

    assert frame[:14] == bytes.fromhex("333300000001 020000000001 86dd")
    assert frame[14:54] == bytes.fromhex(
        "60000000 0020 3a ff" + address + "ff02 0000 0000 0000 0000 0000 0000 0001"
    )
    assert frame[54:56] == bytes.fromhex("8800")
    assert frame[58:] == bytes.fromhex("20000000" + address + "02 01 020000000001")
    assert checksum_is_right(frame)


@pytest.mark.parametrize("address", [V4, V6])
def test_probes_and_announcements_of_others_are_claims(address: IpAddr) -> None:
    """Whoever announces the address has it; whoever probes for it is about to take it."""
    for frame in (*announcement_frames(address, THEIRS), *probe_frames(address, THEIRS)):
        assert claimant(frame, address) == THEIRS


@pytest.mark.parametrize("address", [V4, V6])
def test_frames_about_other_addresses_claim_nothing(address: IpAddr) -> None:
    """Neither another address of the same family, nor one of the other family."""
    neighbour = IpAddr(str(ipaddress.ip_address(address) + 1))
    for frame in (*announcement_frames(neighbour, THEIRS), *probe_frames(neighbour, THEIRS)):
        assert claimant(frame, address) is None
        assert claimant(frame, V6 if address == V4 else V4) is None


def test_a_question_for_the_address_is_no_claim() -> None:
    """A neighbour that looks for the address does not have it."""
    question = bytes.fromhex(
        f"{ETHERNET_BROADCAST} 0001 0800 06 04 0001020000000002 c0000201 000000000000 c000020a"
    )

    assert claimant(question, V4) is None


def test_a_forwarded_advertisement_is_no_claim() -> None:
    """RFC 4861, section 7.1.2: a hop limit below 255 means that it came from another link."""
    (frame,) = announcement_frames(V6, THEIRS)

    assert claimant(frame[:21] + b"\xfe" + frame[22:], V6) is None


def test_the_group_of_an_address_is_made_of_its_last_three_bytes() -> None:
    """RFC 4291, section 2.7.1, and RFC 2464, section 7."""
    assert format_mac(solicited_node_mac(V6)) == "33:33:ff:34:56:78"


@given(st.binary(max_size=120), st.sampled_from([V4, V6]))
def test_no_frame_from_the_link_breaks_the_parser(frame: bytes, address: IpAddr) -> None:
    """Whatever comes, cut short or made up, is a claim or is not."""
    for protocol in (b"", b"\x08\x06", b"\x86\xdd"):
        mac: Mac | None = claimant(frame[:12] + protocol + frame[12:], address)

        assert mac is None or len(mac) == 6
