"""`onehop check` says what this host's network lacks for what the configuration asks."""

import socket
from pathlib import Path

import pytest

from onehop.control.configfile import parse_config
from onehop.control.finding import Finding
from onehop.control.netcheck import network_findings


async def findings(text: str) -> dict[str, Finding]:
    config = parse_config(text, name="test")
    return {finding.check: finding async for finding in network_findings(config)}


async def test_a_plain_configuration_needs_nothing() -> None:
    """No BGP, no routes of ours: nothing to look at."""
    assert await findings("{}") == {}


async def test_a_missing_bird_is_named_with_what_to_install() -> None:
    """And so is the right to change routes, if it is missing."""
    found = await findings("bgp: {asn: 64512, bird: {binary: no-such-bird}}")

    assert not found["BIRD"].is_good
    assert "bird2" in found["BIRD"].advice
    assert "CAP_NET_ADMIN" in found


async def test_the_socket_of_another_bird_must_be_there(tmp_path: Path) -> None:
    """Who runs that BIRD is told before onehop waits for it."""
    path = tmp_path / "bird.ctl"
    text = f"bgp: {{asn: 64512, bird: {{socket: {path}, include: {tmp_path}/onehop.conf}}}}"

    before = await findings(text)
    with socket.socket(socket.AF_UNIX) as bird:
        bird.bind(str(path))
        after = await findings(text)

    assert (before["BIRD"].is_good, after["BIRD"].is_good) == (False, True)


async def test_transparent_clients_need_nft(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a program of its own in Debian."""
    monkeypatch.setenv("PATH", "/nonexistent")

    found = await findings("transparent: {clients: [192.0.2.0/24]}")

    assert not found["nft"].is_good
    assert "nftables" in found["nft"].advice
