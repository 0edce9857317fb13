"""What it costs to say on which connections hosts are served; a real HAProxy."""

import msgspec
import pytest

from onehop.model.listener import ForwardHttp
from onehop.model.model import Row
from onehop.model.route import MadeFor
from tests.contract.test_driver_tls import unchecking
from tests.driver_envoy.world import (
    HTTPS,
    backend,
    connected,
    forward,
    free_port,
    host,
    identity,
    listener,
    members,
    pool,
    route,
    server_name,
)
from tests.driver_haproxy.world import haproxy

pytestmark = pytest.mark.haproxy

SITE = identity("site", "a.example")


async def test_hosts_for_other_connections_come_and_go_without_a_reload() -> None:
    """Names of listeners, too; a connection that is open has the class it was made with."""
    port, web = free_port(), pool()
    all_, a = MadeFor("*", ("a.example",)), MadeFor("a.example")
    wild = MadeFor("*.of.many.labels.example")

    def made(name: str, made_for: MadeFor) -> Row:
        row = host(name, route(forward(web)), router=HTTPS)
        return msgspec.structs.replace(row, made_for=made_for)

    async def status(sni: str, asked: str) -> int:
        async with connected(port, tls=unchecking(), sni=sni) as client:
            return (await client.ask(asked)).status

    async with backend("web") as served, haproxy() as world:
        handler = ForwardHttp(router=HTTPS, tls=True, splits_names=True)
        behind = (web, members(web, served.endpoint))
        base = (SITE.certificate, server_name("*", SITE), listener(port, handler), *behind)
        await world.serve(*base, made("a.example", a), made("*", all_))
        assert await status("a.example", "a.example") == 200
        assert await status("a.example", "b.example") == 421
        async with connected(port, tls=unchecking(), sni="x.of.many.labels.example") as client:
            assert (await client.ask("b.example")).status == 200
            more = MadeFor("*", ("*.of.many.labels.example", "a.example"))
            hosts = (made("a.example", a), made("*", more), made("x.of.many.labels.example", wild))
            await world.serve(*base, *hosts)
            assert (await client.ask("b.example")).status == 200
            assert (await client.ask("x.of.many.labels.example")).status == 421
        assert await status("x.of.many.labels.example", "x.of.many.labels.example") == 200
        assert await status("x.of.many.labels.example", "b.example") == 421
        await world.serve(*base, made("*", MadeFor("*")))
        assert await status("a.example", "b.example") == 200
        assert world.driver.reloads == 1, world.driver.last_reload


async def test_a_name_that_no_lookup_would_find_is_refused() -> None:
    """The host alone: a wildcard over more labels than are looked at."""
    deep = msgspec.structs.replace(host("a.example"), made_for=MadeFor(f"*{'.x' * 11}"))
    async with haproxy() as world:
        (refusal,) = (await world.offer(deep, host("b.example"))).refused
    assert refusal.key.id == deep.id
    assert "more than 10 labels" in refusal.reason
