"""No client notices that another data plane serves it: real ones, under load."""

import asyncio

import pytest

from onehop.base.errors import DriverUnavailable
from onehop.driver.moving.handover import HANDSHAKE_S
from onehop.model.model import Change, Row
from onehop.plan import make_plan
from tests.driver_envoy.world import (
    ADDRESS,
    Backend,
    backend,
    connected,
    forward,
    free_port,
    get,
    host,
    listener,
    members,
    pool,
    route,
)
from tests.moving.world import HOST, Site, load, moving, until

pytestmark = pytest.mark.haproxy


def shop(port: int, web: Backend) -> tuple[Row, ...]:
    """Return the rows of one host."""
    of = pool()
    return of, members(of, web.endpoint), listener(port), host(HOST, route(forward(of)))


async def test_all_new_connections_succeed_while_data_planes_change() -> None:
    """To HAProxy, and back to Envoy: each request has its whole answer."""
    port = free_port()
    async with backend("web") as web, moving("envoy", handshake_s=HANDSHAKE_S) as one:
        await one.serve(*shop(port, web))
        async with load(Site(ADDRESS, port)) as clients:
            await clients.more(50)
            for name in ("haproxy", "envoy"):
                await one.to(name)
                assert one.driver.name == name
                await clients.more(50)
    assert clients.failures == {}


@pytest.mark.parametrize(("first", "second"), [("envoy", "haproxy"), ("haproxy", "envoy")])
async def test_a_connection_that_is_kept_open_is_closed_with_an_answer(
    first: str, second: str
) -> None:
    """The old one says `Connection: close` with its next answer, and ends when all have gone."""
    port = free_port()
    async with backend("web") as web, moving(first) as one:
        await one.serve(*shop(port, web))
        async with connected(port) as kept:
            assert "connection" not in (await kept.ask(HOST)).headers
            await one.to(second)
            assert [each.name for each in one.driver.others] == [first]
            last = await kept.ask(HOST)
            assert (last.status, last.headers["connection"]) == (200, "close")
        await until(lambda: not one.driver.others)


async def test_two_moves_in_a_row_leave_the_first_ones_connections_alone() -> None:
    """There and back while a connection is open: three data planes for as long as it is."""
    port = free_port()
    async with backend("web") as web, moving("envoy") as one:
        await one.serve(*shop(port, web))
        async with connected(port) as kept:
            assert (await kept.ask(HOST)).status == 200
            async with load(Site(ADDRESS, port)) as clients:
                await one.to("haproxy")
                await one.to("envoy")
                await clients.more(20)
            assert one.driver.others[0].name == "envoy"
            assert (await kept.ask(HOST)).status == 200
    assert clients.failures == {}


async def test_edits_and_endpoints_during_a_move_are_not_lost() -> None:
    """Endpoints reach both at once; a plan waits for the new one, with endpoints newer than its."""
    port, of = free_port(), pool()
    async with backend("a") as first, backend("b") as second, moving("envoy") as one:
        await one.serve(*shop(port, first))
        async with load(Site(ADDRESS, port)) as clients, asyncio.TaskGroup() as tasks:
            await clients.more(10)
            move = tasks.create_task(one.to("haproxy"))
            await until(lambda: bool(one.driver.move_under_way))
            news = host("news.example", route(forward(of)))
            change = Change((of, members(of, first.endpoint), news))
            edit = tasks.create_task(one.driver.apply(make_plan(change)))
            while not (move.done() and edit.done()):
                for each in (first, second):
                    one.driver.set_endpoints(members(of, each.endpoint))
                    await asyncio.sleep(0.02)
            await until(lambda: bool(second.requests))
            assert (await get(port, "news.example")).status == 200
            assert (await bodies(port, 10)) == {"b"}
    assert clients.failures == {}


async def test_one_that_does_not_come_up_is_not_waited_for_by_anybody() -> None:
    """A HAProxy that ends at once: it is said, plans go on, and the next move works."""
    port = free_port()
    async with backend("web") as web, moving("envoy") as one:
        await one.serve(*shop(port, web))
        async with load(Site(ADDRESS, port)) as clients:
            with pytest.raises(DriverUnavailable, match="did not come up"):
                await one.to("broken")
            assert (one.driver.name, one.driver.others) == ("envoy", ())
            await one.to("haproxy")
            await clients.more(20)
    assert clients.failures == {}


async def bodies(port: int, count: int) -> set[str]:
    """Return what a few requests are answered."""
    return {(await get(port, HOST)).body for _ in range(count)}
