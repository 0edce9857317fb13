"""What BIRD said, recorded from 2.0.12, 2.17.6 and 3.1.8 on a link with two nodes and a router."""

import asyncio
import datetime as dt
from pathlib import Path
from typing import Final

import pytest

from onehop.base.errors import RejectedError, TransientError
from onehop.model.address import Cidr, IpAddr
from onehop.net.bird import OfferedRoute, SessionState
from onehop.net.bird.control import Answer, BirdControl, parse_answer, read_answer
from onehop.net.bird.reading import read_routes, read_sessions, read_since
from onehop.net.bird.token import protocol_name
from tests.net.bird.speakers import node, upstream

RECORDED: Final = Path(__file__).parent / "recorded"
VERSIONS: Final = tuple(sorted(folder.name for folder in RECORDED.iterdir()))
NOW: Final = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
NEIGHBORS: Final = {
    protocol_name(each.name): each
    for each in (
        node("n2", "192.0.2.2"),
        node("n3", "192.0.2.3"),
        upstream("up", "192.0.2.254"),
    )
}


def recorded(version: str, name: str) -> Answer:
    """Return the answer after the greeting."""
    greeting, _, answer = (RECORDED / version / f"{name}.txt").read_bytes().partition(b"\n")
    assert parse_answer(greeting).lines == (f"BIRD {version} ready.",)
    return parse_answer(answer)


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_are_read(version: str) -> None:
    """Up with its counts over both families, failing without a word, and failing with one."""
    answer = recorded(version, "protocols")

    n2, n3, router = (each.session for each in read_sessions(answer.lines, NEIGHBORS, NOW))

    assert (n2.name, n2.state, n2.last_error) == ("n2", SessionState.ESTABLISHED, "")
    assert (n2.imported, n2.filtered, n2.exported) == (2, 2, 0)
    assert n2.since_s is not None
    assert dt.datetime.fromtimestamp(n2.since_s, dt.UTC).date() == NOW.date()
    assert (n3.name, n3.state, n3.last_error) == ("n3", SessionState.CONNECT, "")
    assert (router.name, router.last_error) == ("up", "Socket: Connection refused")
    assert router.state in {SessionState.ACTIVE, SessionState.CONNECT, SessionState.IDLE}
    assert (router.address, router.asn) == ("192.0.2.254", 64600)


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_of_others_are_not_ours(version: str) -> None:
    """A BIRD that somebody else runs has protocols of its own."""
    answer = recorded(version, "protocols")

    assert read_sessions(answer.lines, {}, NOW) == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_routes_are_read(version: str) -> None:
    """Believed and refused ones, with BGP's next hop; our own announcements are none."""
    accepted = recorded(version, "routes-ipv4")
    accepted6 = recorded(version, "routes-ipv6")
    filtered = recorded(version, "filtered-ipv4")

    routes = [
        *read_routes(accepted.lines, NEIGHBORS, is_accepted=True),
        *read_routes(accepted6.lines, NEIGHBORS, is_accepted=True),
        *read_routes(filtered.lines, NEIGHBORS, is_accepted=False),
    ]

    def route(prefix: str, hop: str, *, is_accepted: bool) -> OfferedRoute:
        return OfferedRoute(
            prefix=Cidr(prefix), next_hop=IpAddr(hop), neighbor="n2", is_accepted=is_accepted
        )

    assert sorted(routes) == [
        route("10.244.2.0/24", "192.0.2.2", is_accepted=True),
        route("10.244.99.0/24", "192.0.2.2", is_accepted=False),
        route("172.20.0.0/16", "192.0.2.2", is_accepted=False),
        route("fd00:10:0:2::/64", "2001:db8::2", is_accepted=True),
    ]


def test_further_routes_to_a_prefix_stand_below_it() -> None:
    """BIRD names the prefix once."""
    name = protocol_name("n2")
    other = protocol_name("n3")
    lines = [
        "Table onehop4:",
        f"10.244.2.0/24        unicast [{name} 10:28:04.550] * (100) [i]",
        "\tvia 192.0.2.2 on eth0",
        "\tBGP.next_hop: 192.0.2.2",
        f"                     unicast [{other} 10:28:04.550 from 192.0.2.3] (100) [i]",
        "\tvia 192.0.2.2 on eth0",
        "\tBGP.next_hop: 192.0.2.2",
    ]

    routes = sorted(read_routes(lines, NEIGHBORS, is_accepted=True))

    assert [(route.prefix, route.neighbor) for route in routes] == [
        ("10.244.2.0/24", "n2"),
        ("10.244.2.0/24", "n3"),
    ]


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("2026-11-23 10:28:04.481223", dt.datetime(2026, 11, 23, 10, 28, 4, 481223, dt.UTC)),
        ("2026-11-23 10:28:04", dt.datetime(2026, 11, 23, 10, 28, 4, 0, dt.UTC)),
        ("10:28:04.481", dt.datetime(2026, 11, 23, 10, 28, 4, 481000, dt.UTC)),
        ("13:28:04.481", dt.datetime(2026, 11, 22, 13, 28, 4, 481000, dt.UTC)),
        ("2026-11-20", dt.datetime(2026, 11, 20, tzinfo=dt.UTC)),
    ],
)
def test_times_are_read_as_bird_may_write_them(text: str, then: dt.datetime) -> None:
    """With the date as ours does; without it as BIRD does by default, where today is left out."""
    assert read_since(text, NOW) == then.timestamp()


def test_a_time_of_the_operators_own_format_is_no_time() -> None:
    """Rather none than a wrong one."""
    assert read_since("1.2.3", NOW) is None
    assert read_since("23:00:99", NOW) is None


async def answering(tmp_path: Path, answer: bytes, *, within_s: float = 5.0) -> Answer:
    """Ask a BIRD that always answers the same."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"0001 BIRD 2.0.12 ready.\n")
        await reader.readline()
        writer.write(answer)
        await writer.drain()
        if answer:
            writer.close()
        else:
            await reader.read()  # says nothing until it is left
            writer.close()

    path = tmp_path / "ctl"
    server = await asyncio.start_unix_server(serve, path)
    async with server:
        return await BirdControl(path, within_s=within_s).ask("show status")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_refusal_carries_birds_own_words(version: str, tmp_path: Path) -> None:
    """With the place of the mistake."""
    text = (RECORDED / version / "check-refused.txt").read_text().partition("\n")[2]

    with pytest.raises(RejectedError, match="syntax error"):
        await answering(tmp_path, text.encode())


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_configuration_that_is_taken_is_no_refusal(version: str, tmp_path: Path) -> None:
    """At once, or in progress, as BIRD 3 says."""
    text = (RECORDED / version / "configure.txt").read_text().partition("\n")[2]

    answer = await answering(tmp_path, text.encode())

    assert answer.code in {3, 4}
    assert answer.version == "2.0.12"


async def test_an_answer_may_come_in_pieces() -> None:
    """Of several lines, and cut anywhere."""
    text = b"1000-BIRD 2.0.12\n1011-Router ID is 192.0.2.1\n Hostname is lb\n0013 Daemon is up\n"
    reader = asyncio.StreamReader()

    async def feed() -> None:
        for byte in text:
            reader.feed_data(bytes((byte,)))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        answer = await read_answer(reader)

    assert answer == Answer(
        13, ("BIRD 2.0.12", "Router ID is 192.0.2.1", "Hostname is lb", "Daemon is up")
    )


async def test_a_bird_that_does_not_answer_is_worth_another_try(tmp_path: Path) -> None:
    """Not there, silent, or gone in the middle of its answer."""
    with pytest.raises(TransientError, match="No such file"):
        await BirdControl(tmp_path / "nobody").ask("show status")
    with pytest.raises(TransientError, match="no answer in time"):
        await answering(tmp_path, b"", within_s=0.05)
    with pytest.raises(TransientError, match="cut off"):
        await answering(tmp_path, b"1000-BIRD 2.0.12\n1011-Rou")
