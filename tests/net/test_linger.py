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
    """Have a route to the Pod's block, and go on once it has a shadow."""
    host.ip("route", "add", *WAY)
    async with running(routes.run()):
        await until(lambda: "10.1.0.0/24" in lingering(host))
        yield


def test_what_is_withdrawn_lingers_for_tcp_and_is_no_proof(host: Machine) -> None:
    """A connection finds its way; whoever asks about reach is told of the default route."""
    host.ip("route", "add", "default", "via", "192.0.2.8")

    async def main() -> None:
        await RoutingTable().put()
        async with kept(host, LingeringRoutes()), Fib() as fib:
            host.ip("route", "del", *WAY)
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
    """It ends by the clock, and so does what one of us that was killed has left."""
    left = ("10.2.0.0/24", "via", "192.0.2.9", "proto", "111", "table", str(LINGER_TABLE))
    host.ip("route", "add", *left)
    now = 0.0

    async def main() -> None:
        nonlocal now
        routes = LingeringRoutes(linger_s=60, look_s=0.01, clock=lambda: now)
        async with kept(host, routes):
            now = 59.0
            host.ip("route", "del", *WAY)
            now = 61.0
            await until(lambda: lingering(host) == ["10.1.0.0/24"])
            now = 125.0
            await until(lambda: lingering(host) == [])

    host.run(main)


def test_a_route_that_changes_or_comes_back_has_its_shadow_follow(host: Machine) -> None:
    """The last way counts, and it is not taken away while its route is there."""
    now = 0.0

    async def main() -> None:
        nonlocal now
        routes = LingeringRoutes(linger_s=60, look_s=0.01, clock=lambda: now)
        async with kept(host, routes):
            host.ip("route", "replace", "10.1.0.0/24", "via", "192.0.2.8", *WAY[3:])
            await until(lambda: gateways(host) == {"10.1.0.0/24": "192.0.2.8"})
            host.ip("route", "del", "10.1.0.0/24", "via", "192.0.2.8", *WAY[3:])
            host.ip("route", "add", *WAY)
            await until(lambda: gateways(host) == {"10.1.0.0/24": "192.0.2.9"})
            now = 100.0
            host.ip("route", "add", "10.3.0.0/24", "via", "192.0.2.9")  # not of our table
            host.ip("route", "add", "10.4.0.0/24", "via", "192.0.2.9", *WAY[3:])
            await until(lambda: sorted(gateways(host)) == ["10.1.0.0/24", "10.4.0.0/24"])

    host.run(main)


def gateways(host: Machine) -> dict[str, str]:
    """Return by which gateway each lingering prefix is reached."""
    routes = host.show("route", "show", "table", "all")
    return {each["dst"]: each["gateway"] for each in routes if each.get("table") == "113"}
