"""Connections from a client's address: what the kernel needs for them, and whether they work."""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator

import pytest

from onehop.model.address import Cidr, IpAddr
from onehop.model.endpoint import Endpoint
from onehop.net.returnpath import client_of, comes_back, return_path
from onehop.net.transparent import NFT_TABLE, PRIORITY, TABLE, Transparency
from tests.net.crossroads import CLIENT, CLIENTS, POD, Crossroads, crossroads
from tests.net.namespaces import running, until

pytestmark = pytest.mark.root

PORT = 8080
QUICK_S = 2.0


@pytest.fixture
def roads() -> Iterator[Crossroads]:
    """A client, a balancer, a Pod."""
    with crossroads() as made:
        yield made


@contextlib.contextmanager
def listening(roads: Crossroads) -> Generator[socket.socket]:
    """Accept connections on the Pod."""

    def listen() -> socket.socket:
        return socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)

    with roads.pod.do(listen) as server:
        yield server


def wanting(*clients: str) -> Transparency:
    """Return what lets answers to these clients in, or to those of the crossroads."""
    transparency = Transparency()
    transparency.want(map(Cidr, clients or CLIENTS.values()))
    return transparency


def pod(version: int, node: str = "node1", address: str = "") -> Endpoint:
    return Endpoint(address=IpAddr(address or POD[version]), port=PORT, node=node)


@pytest.mark.parametrize("version", [4, 6])
def test_what_a_pod_answers_to_a_client_comes_back(roads: Crossroads, version: int) -> None:
    """Accepted or refused: either is an answer."""

    async def main() -> None:
        await wanting().put()
        with listening(roads):
            assert await comes_back((POD[version], PORT), CLIENT[version], QUICK_S) is True
        assert await comes_back((POD[version], PORT), CLIENT[version], QUICK_S) is True

    roads.balancer.run(main)


@pytest.mark.parametrize("version", [4, 6])
def test_answers_that_take_another_way_are_found_out(roads: Crossroads, version: int) -> None:
    """The Pod answers us, and answers the client past us."""
    roads.bypass()

    async def main() -> None:
        await wanting().put()
        with listening(roads):
            assert await comes_back((POD[version], PORT), CLIENT[version], QUICK_S) is False

    roads.balancer.run(main)


def test_a_pod_that_answers_nobody_proves_nothing(roads: Crossroads) -> None:
    """It may be gone; that says nothing about the way back."""

    async def main() -> None:
        await wanting().put()
        gone = (IpAddr("10.244.9.99"), PORT)
        assert await comes_back(gone, CLIENT[4], QUICK_S) is None
        assert await return_path(CLIENTS[4], [pod(4, address=gone[0])], timeout_s=QUICK_S) is None
        assert await return_path(CLIENTS[4], [], timeout_s=QUICK_S) is None
        assert await return_path(CLIENTS[6], [pod(4)], timeout_s=QUICK_S) is None

    roads.balancer.run(main)


def test_one_node_that_answers_past_us_is_one_too_many(roads: Crossroads) -> None:
    """Nodes have routes of their own; a node of which nothing is known does not count."""
    roads.pod.ip("address", "add", "10.244.9.3/24", "dev", "pod")
    # What is sent from the second address goes over the short cut.
    roads.pod.ip("rule", "add", "from", "10.244.9.3", "lookup", "7")
    roads.pod.ip("route", "add", CLIENTS[4], "via", "10.99.0.10", "table", "7")
    roads.pod.ip("route", "add", "10.244.9.0/24", "dev", "pod", "table", "7")
    good, gone = pod(4), pod(4, "node2", "10.244.9.99")
    bad = pod(4, "node3", "10.244.9.3")

    async def main() -> None:
        await wanting().put()
        assert await return_path(CLIENTS[4], [good, gone], timeout_s=QUICK_S) is True
        assert await return_path(CLIENTS[4], [good, gone, bad], timeout_s=QUICK_S) is False

    roads.balancer.run(main)


def test_nothing_comes_back_before_it_is_let_in(roads: Crossroads) -> None:
    """Without a way in, the answer is somebody else's packet."""

    async def main() -> None:
        assert await comes_back((POD[4], PORT), CLIENT[4], QUICK_S) is False

    roads.balancer.run(main)


@pytest.mark.parametrize(
    ("clients", "chosen"),
    [
        ("198.51.100.0/24", "198.51.100.254"),
        ("198.51.100.10/32", "198.51.100.10"),
        ("198.51.100.0/31", "198.51.100.0"),
        ("198.51.100.1/32", None),
        ("0.0.0.0/0", "192.0.2.254"),
        ("2001:db8:1::/64", "2001:db8:1:0:ffff:ffff:ffff:ffff"),
        ("2001:db8:1::/127", "2001:db8:1::"),
        ("::/0", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
)
def test_an_address_to_try_with_is_nobodys_if_possible(
    roads: Crossroads, clients: str, chosen: str | None
) -> None:
    """The last one of a network, one for documentation of all, and never one of our own."""

    async def main() -> None:
        assert await client_of(Cidr(clients)) == chosen

    roads.balancer.run(main)


def test_what_was_put_is_taken_away_and_nothing_else(roads: Crossroads) -> None:
    """Afterwards the host is as it was, what others have in the same places included."""
    roads.nft("add", "table", "inet", "theirs")
    roads.balancer.ip("rule", "add", "fwmark", "7", "lookup", "7", "priority", str(PRIORITY))
    before = roads.routing()

    async def main() -> None:
        transparency = wanting()
        assert await transparency.put()
        assert not await transparency.put()
        assert await transparency.withdraw()
        assert not await transparency.withdraw()

    roads.balancer.run(main)

    assert roads.routing() == before


def test_what_an_earlier_process_left_is_taken_over(roads: Crossroads) -> None:
    """A restart puts the same again, and one that wants nothing takes it away."""
    before = roads.routing()

    async def main() -> None:
        await wanting().put()
        again = wanting()
        await again.put()
        after = Transparency()
        async with running(after.run()):
            await until(lambda: roads.routing() == before)

    roads.balancer.run(main)


def test_what_somebody_removes_is_put_back(roads: Crossroads) -> None:
    """`systemctl reload nftables` flushes everything; a network manager may clean rules up."""

    async def main() -> None:
        transparency = wanting()
        async with running(transparency.run()):
            await until(lambda: transparency.is_in_place)
            complete = await asyncio.to_thread(roads.routing)
            roads.balancer.ip("rule", "del", "priority", str(PRIORITY))
            await until(lambda: roads.routing() == complete)
            await asyncio.to_thread(roads.nft, "flush", "ruleset")
            await until(lambda: roads.routing() == complete)
            transparency.want(())
            await until(lambda: not transparency.is_in_place)
            await until(lambda: NFT_TABLE not in roads.nft("list", "ruleset"))

    roads.balancer.run(main)


def test_the_newest_wish_counts(roads: Crossroads) -> None:
    """Also one that comes while an older one is being carried out."""

    async def main() -> None:
        transparency = wanting(CLIENTS[4])
        async with running(transparency.run()):
            for _ in range(5):
                transparency.want([CLIENTS[4]])
                await until(lambda: "ip daddr" in roads.nft("list", "ruleset"))
                transparency.want([CLIENTS[6]])
                await until(lambda: transparency.is_in_place)
                rules = await asyncio.to_thread(roads.nft, "list", "ruleset")
                assert "ip6 daddr" in rules
                assert "ip daddr" not in rules

    roads.balancer.run(main)


def test_a_table_of_somebody_else_is_not_taken(roads: Crossroads) -> None:
    """Their policy would find every address to be local; so there is trouble instead."""
    roads.balancer.ip("route", "add", "192.0.2.0/24", "via", POD[4], "table", str(TABLE))

    async def main() -> None:
        transparency = wanting()
        async with running(transparency.run()):
            await until(lambda: transparency.trouble is not None)
            assert "somebody else" in str(transparency.trouble)
            assert not transparency.is_in_place

    roads.balancer.run(main)
    assert len(roads.balancer.show("route", "show", "table", str(TABLE))) == 1


def test_a_setting_that_drops_the_answers_is_named(roads: Crossroads) -> None:
    """With src_valid_mark nothing comes back, and the reason is hard to guess."""
    sysctl = "net.ipv4.conf.all.src_valid_mark=1"
    roads.balancer.do(lambda: subprocess.run(["sysctl", "-qw", sysctl], check=True))

    async def main() -> None:
        transparency = wanting()
        async with running(transparency.run()):
            await until(lambda: transparency.is_in_place)
            assert "net.ipv4.conf.all.src_valid_mark" in str(transparency.trouble)
            assert await comes_back((POD[4], PORT), CLIENT[4], QUICK_S) is False

    roads.balancer.run(main)


def test_listeners_of_other_programs_are_left_alone(roads: Crossroads) -> None:
    """A transparent proxy that listens for everything gets only what its own rules give it."""
    roads.balancer.do(
        lambda: subprocess.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)
    )

    def proxy() -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT
        listener.bind(("0.0.0.0", PORT))
        listener.listen()
        return listener

    async def main() -> None:
        await wanting().put()

    def connect() -> socket.socket:
        return socket.create_connection((POD[4], PORT), timeout=5)

    roads.balancer.run(main)
    with roads.balancer.do(proxy), listening(roads) as server, roads.client.do(connect):
        server.settimeout(5)
        connection, peer = server.accept()
        connection.close()
    assert peer[0] == f"::ffff:{CLIENT[4]}"


@pytest.mark.parametrize(
    "attempt", ["transparent.Transparency().put()", "returnpath.comes_back(('127.0.0.1', 9), 'x')"]
)
def test_a_missing_right_is_named(roads: Crossroads, attempt: str) -> None:
    """Without CAP_NET_ADMIN neither can be done, and no way back is believed in."""
    program = (
        f"import asyncio\nfrom onehop.net import returnpath, transparent\nasyncio.run({attempt})\n"
    )
    powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

    done = roads.balancer.do(
        lambda: subprocess.run(
            [*powerless, sys.executable, "-c", program], check=False, capture_output=True, text=True
        )
    )

    assert "ConfigError" in done.stderr
    assert "CAP_NET_ADMIN" in done.stderr


@pytest.mark.parametrize(
    "clients",
    [
        ("0.0.0.0/0", "::/0"),
        ("198.51.100.0/25", "198.51.100.0/24", "198.51.100.10/32", "2001:db8::/32"),
        ("0.0.0.0/1", "128.0.0.0/1", "2001:db8:1::10/128"),
    ],
)
def test_client_networks_may_overlap_and_be_everybody(
    roads: Crossroads, clients: tuple[str, ...]
) -> None:
    """Whatever the operator writes becomes rules that nft takes."""

    async def main() -> None:
        transparency = wanting(*clients)
        assert await transparency.put()
        assert not await transparency.put()
        for version in (4, 6):
            assert await comes_back((POD[version], PORT), CLIENT[version], QUICK_S) is True

    roads.balancer.run(main)


def test_only_the_operators_clients_are_looked_at(roads: Crossroads) -> None:
    """Everybody else's packets pass as if none of this were there."""

    async def main() -> None:
        transparency = wanting("192.0.2.0/24", "2001:db8:2::/64")
        await transparency.put()
        assert await comes_back((POD[4], PORT), CLIENT[4], QUICK_S) is False
        transparency.want(CLIENTS.values())
        assert await transparency.put()
        assert await comes_back((POD[4], PORT), CLIENT[4], QUICK_S) is True

    roads.balancer.run(main)
