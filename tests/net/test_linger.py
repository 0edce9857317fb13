"""Routes that linger: TCP goes on by them, nobody else sees them, and they end."""

import contextlib
from collections.abc import AsyncGenerator, Iterator

import pytest

from onehop.model.address import Cidr
from onehop.net.fib import Fib
from onehop.net.linger import LingeringRoutes
from onehop.net.table import LINGER_TABLE, RoutingTable
from tests.net.namespaces import Machine, machines, running, until

pytestmark = pytest.mark.root

POD = "10.1.0.7"
WAY = ("10.1.0.0/24", "via", "192.0.2.9", "table", "111", "metric", "32")


@pytest.fixture
def host() -> Iterator[Machine]:
    with machines("linger") as (machine,):
        yield machine


def lingering(host: Machine) -> list[str]:
    """Return the prefixes that linger."""
    routes = host.show("route", "show", "table", "all")
    return [each["dst"] for each in routes if each.get("table") == str(LINGER_TABLE)]


@contextlib.asynccontextmanager
async def kept(host: Machine, routes: LingeringRoutes) -> AsyncGenerator[None]:
    """Run it, and go on once it listens: what one of us that was killed has left is gone then."""
    left = ("10.2.0.0/24", "via", "192.0.2.9", "proto", "111", "table", str(LINGER_TABLE))
    host.ip("route", "add", *left)
    async with running(routes.run()):
        await until(lambda: lingering(host) == [])
        yield


def test_what_is_withdrawn_lingers_for_tcp_and_is_no_proof(host: Machine) -> None:
    """A connection finds its way; whoever asks about reach is told of the default route."""
    host.ip("route", "add", "default", "via", "192.0.2.8")
    host.ip("route", "add", *WAY)

    async def main() -> None:
        await RoutingTable().put()
        async with kept(host, LingeringRoutes()), Fib() as fib:
            host.ip("route", "del", *WAY)
            await until(lambda: lingering(host) == ["10.1.0.0/24"])
            (area,) = fib.want([Cidr("10.1.0.0/24")])
            assert area.stretches[0].route is not None
            assert area.stretches[0].route.prefix == "0.0.0.0/0"
            (by_tcp,) = host.show("route", "get", POD, "ipproto", "tcp")
            assert by_tcp["gateway"] == "192.0.2.9"
            (by_udp,) = host.show("route", "get", POD, "ipproto", "udp")
            assert by_udp["gateway"] == "192.0.2.8"

    host.run(main)

    assert lingering(host) == []  # stopping takes them along


def test_a_route_lingers_no_longer_than_it_shall(host: Machine) -> None:
    """It ends by itself, by the clock."""
    host.ip("route", "add", *WAY)
    now = 0.0

    async def main() -> None:
        nonlocal now
        routes = LingeringRoutes(linger_s=60, look_s=0.01, clock=lambda: now)
        async with kept(host, routes):
            host.ip("route", "del", *WAY)
            await until(lambda: lingering(host) == ["10.1.0.0/24"])
            now = 61.0
            await until(lambda: lingering(host) == [])

    host.run(main)


def test_what_is_replaced_or_somebody_elses_does_not_linger(host: Machine) -> None:
    """Only what leaves our table, and leaves a gap there."""
    host.ip("route", "add", *WAY)
    host.ip("route", "add", "10.3.0.0/24", "via", "192.0.2.9")
    other = ("10.4.0.0/24", "via", "192.0.2.9", "table", "111", "metric", "32")

    async def main() -> None:
        async with kept(host, LingeringRoutes()):
            host.ip("route", "replace", "10.1.0.0/24", "via", "192.0.2.8", *WAY[3:])
            host.ip("route", "del", "10.3.0.0/24")
            host.ip("route", "add", *other)
            host.ip("route", "del", *other)
            await until(lambda: lingering(host) != [])
            assert lingering(host) == ["10.4.0.0/24"]

    host.run(main)
