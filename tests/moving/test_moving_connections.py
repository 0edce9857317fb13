"""No client notices that another data plane serves it: real ones, under load."""

import pytest

from onehop.model.model import Row
from tests.driver_envoy.world import (
    ADDRESS,
    Backend,
    backend,
    connected,
    forward,
    free_port,
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
    async with backend("web") as web, moving("envoy") as one:
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
