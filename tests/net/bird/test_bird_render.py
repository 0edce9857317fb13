"""The configuration: golden files that BIRD itself has read, and no way in for anybody's text."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from onehop.model.address import Cidr, IpAddr
from onehop.model.certificate import SecretText
from onehop.model.network import Neighbor, Network
from onehop.net.bird import Speaker, mute_neighbors, render_bird
from onehop.net.bird.token import protocol_name
from tests.golden import check_golden
from tests.net.bird.speakers import ANY_SPEAKERS, SPEAKERS, block, node, reflector, upstream

GOLDENS: Final = Path(__file__).parent / "goldens"
_HEADER: Final = "log stderr all;\nrouter id 192.0.2.1;\nprotocol device {}\n"


def bird_reads(text: str, folder: Path) -> str:
    """Return what BIRD has against a configuration; nothing if it takes it."""
    file = folder / "bird.conf"
    file.write_text(text, encoding="utf-8")
    bird = shutil.which("bird", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert bird is not None, "Debian's bird2 is missing; tests/system-packages.sh installs it"
    done = subprocess.run([bird, "-p", "-c", file], check=False, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize("name", SPEAKERS)
def test_a_speaker_gives_its_golden_file(name: str) -> None:
    """What changes here is read in review."""
    check_golden(GOLDENS / f"{name}.conf", render_bird(SPEAKERS[name]))


@pytest.mark.root  # Debian's packages are there where tests run as root
@pytest.mark.parametrize("name", SPEAKERS)
def test_bird_reads_every_golden_file(name: str, tmp_path: Path) -> None:
    """The BIRD that the distribution ships takes it, alone or included."""
    speaker = SPEAKERS[name]
    text = (GOLDENS / f"{name}.conf").read_text()
    if speaker.version >= (2, 16):
        text = text.replace("  authentication md5;\n", "")  # unknown to Debian 12's BIRD 2.0.12
    if speaker.for_include:
        (tmp_path / "onehop.conf").write_text(text)
        text = f'{_HEADER}include "{tmp_path}/onehop.conf";\n'

    assert bird_reads(text, tmp_path) == ""


@pytest.mark.root
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(speaker=ANY_SPEAKERS)
def test_bird_reads_any_network(speaker: Speaker, tmp_path: Path) -> None:
    """Whatever names, passwords and prefixes there are."""
    assert bird_reads(render_bird(speaker), tmp_path) == ""


@given(first=st.text(max_size=200), second=st.text(max_size=200))
def test_names_never_collide(first: str, second: str) -> None:
    """Two neighbours are two protocols, and a name is a token of fewer than 64 characters."""
    assume(first != second)
    for name in (protocol_name(first), protocol_name(second)):
        assert name.isascii()
        assert name.replace("_", "").isalnum()
        assert len(name) < 64
    assert protocol_name(first) != protocol_name(second)


@given(speaker=ANY_SPEAKERS)
def test_a_neighbour_speaks_or_is_named_as_mute(speaker: Speaker) -> None:
    """None gets lost, and none of its text gets in."""
    text = render_bird(speaker)
    mute = [each.name for each in mute_neighbors(speaker)]

    speaking = text.count("protocol bgp ")
    if speaker.network.asn is not None:
        assert speaking + len(mute) == len(speaker.network.neighbors)
    else:
        assert speaking == 0


@pytest.mark.parametrize(
    ("neighbor", "reason"),
    [
        (node("n", "192.0.2.1", password=SecretText('a"b')), "no quotation mark"),
        (node("n", "192.0.2.1", password=SecretText("a\nb")), "printable ASCII"),
        (node("n", "192.0.2.1", password=SecretText("ä")), "printable ASCII"),
        (node("n", "192.0.2.1", password=SecretText("")), "1 to 80 characters"),
        (node("n", "192.0.2.1", password=SecretText("x" * 81)), "1 to 80 characters"),
        (node("n", "fe80::1"), "no address to hold a session with"),
        (node("n", "127.0.0.1"), "no address to hold a session with"),
        (node("n", "255.255.255.255"), "no address to hold a session with"),
        (node("n", "2001:db8::1", source=IpAddr("fe80::1")), "fe80::1 is no address"),
        (node("n", "192.0.2.1", source=IpAddr("2001:db8::1")), "not of the address family"),
        (node("n", "192.0.2.1", multihop=2, bfd=True), "needs a `source`"),
    ],
)
def test_a_neighbour_that_bird_would_refuse_is_left_out(neighbor: Neighbor, reason: str) -> None:
    """It is named with the reason, the others stay, and a password is in no message."""
    other = node("other", "192.0.2.99")
    speaker = Speaker(network=Network(asn=64512, neighbors=(neighbor, other)))

    (mute,) = mute_neighbors(speaker)

    assert mute.name == "n"
    assert reason in mute.message
    if neighbor.password is not None and len(neighbor.password.reveal) > 1:
        assert neighbor.password.reveal not in mute.message
    text = render_bird(speaker)
    assert protocol_name("n") not in text
    assert f"protocol bgp {protocol_name('other')} {{" in text


def test_two_neighbours_at_one_address_are_one_session() -> None:
    """BIRD could not tell their connections apart: the first by name speaks."""
    neighbors = (node("a", "192.0.2.1"), node("b", "192.0.2.1"), node("a", "192.0.2.2"))
    speaker = Speaker(network=Network(asn=64512, neighbors=neighbors))

    mute = {each.message for each in mute_neighbors(speaker)}

    assert mute == {"another neighbour has the same name", "a is at the same address"}


def test_a_node_is_believed_for_its_own_blocks_alone() -> None:
    """Found by its address, however the operator calls it; blocks of others are not named."""
    network = Network(
        asn=64512,
        neighbors=(node("rack-7", "192.0.2.11"),),
        blocks=(
            block("10.244.1.0/24", "node-1", "192.0.2.11"),
            block("10.244.2.0/24", "node-2", "192.0.2.12"),
        ),
        ranges=(Cidr("10.244.0.0/16"),),
    )

    text = render_bird(Speaker(network=network))

    assert "net ~ [ 10.244.1.0/24+ ]" in text
    assert "10.244.2.0/24" not in text


def test_a_block_within_a_block_belongs_to_its_own_node() -> None:
    """The node around it is not believed for it, by way of a reflector either."""
    text = render_bird(SPEAKERS["reflectors-over-hops"])

    assert "if net ~ [ 10.244.1.0/24+ ] && !(net ~ [ 10.244.1.64/26+ ]) then accept;" in text


def test_a_router_tells_us_nothing_and_hears_vips() -> None:
    """Nor is what it tells kept, which may be the whole Internet."""
    network = Network(
        asn=64512, neighbors=(upstream("r", "192.0.2.254"), reflector("s", "192.0.2.253"))
    )
    text = render_bird(Speaker(network=network, vips=(IpAddr("203.0.113.10"),)))
    router = text[text.index(f"protocol bgp {protocol_name('r')}") :]
    router = router[: router.index("\n}")]

    assert "import none;" in router
    assert "keep filtered" not in router
    assert 'export where proto = "onehop_vips4";' in router
    assert text.count("export where proto") == 1


def test_an_address_that_is_no_address_never_becomes_text() -> None:
    """A bug elsewhere is stopped here."""
    evil = IpAddr("192.0.2.1; }")
    with pytest.raises(ValueError, match="does not appear to be"):
        render_bird(Speaker(network=Network(), vips=(evil,)))
    with pytest.raises(ValueError, match="canonical"):
        render_bird(Speaker(network=Network(ranges=(Cidr("2001:DB8::/32"),))))
