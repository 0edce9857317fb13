"""Requests that are made again, each as its own route wants it; a real HAProxy."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qsl

import pytest

from onehop.model.model import Row
from onehop.model.pool import SourceIpPersistence
from onehop.model.route import Forward, Retry
from tests.driver_envoy.world import (
    Backend,
    backend,
    connected,
    endpoint,
    forward,
    free_port,
    headers_of,
    host,
    listener,
    members,
    pool,
    prefix,
    route,
    tcp_server,
    until,
)
from tests.driver_haproxy.world import LONG_S, haproxy

pytestmark = pytest.mark.haproxy

WEB = pool()
ALL = (500, 502, 503, 504)
FAILED = b"HTTP/1.1 %s X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Moody(NamedTuple):
    """An endpoint that fails the first times; a request says how often, and how."""

    port: int
    tries: Counter[str]


@asynccontextmanager
async def moody() -> AsyncGenerator[Moody]:
    """Serve requests for `?id=ID&fails=TIMES&how=HOW`."""
    tries: Counter[str] = Counter()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        body = await reader.readexactly(int(headers_of(head).get("content-length", "0")))
        asked = dict(parse_qsl(head.split(" ")[1].partition("?")[2]))
        tries[asked["id"]] += 1
        if tries[asked["id"]] <= int(asked["fails"]):
            match asked["how"]:
                case "silence":
                    await asyncio.sleep(LONG_S)
                case "break":
                    return
                case "middle":
                    writer.write(b"HTTP/1.1 200 X\r\ncontent-")
                case status:
                    writer.write(FAILED % status.encode())
            return
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()

    async with tcp_server(answer) as port:
        yield Moody(port, tries)


def wishes(**retries: Forward) -> Row:
    """Return a host with a route for each."""
    return host("a", *(route(action, prefix(f"/{path}")) for path, action in retries.items()))


async def status_of(port: int, path: str, *, body: bytes = b"") -> int:
    async with connected(port) as client:
        return (await client.ask("a", path, method="POST", body=body)).status


async def test_each_route_to_a_pool_has_attempts_of_its_own() -> None:
    """As many as it wants, after the codes that it wants (GEP-1731); no other one's."""
    port = free_port()
    rules = wishes(
        three=forward(WEB, retry=Retry(attempts=3, codes=(500,), on_silence=True)),
        two=forward(WEB, retry=Retry(attempts=2, codes=ALL, on_silence=True)),
        none=forward(WEB, retry=Retry(attempts=0, codes=ALL, on_silence=True)),
        plain=forward(WEB),
    )
    cases = (
        ("three", 500, 3, 200, 4),
        ("three", 500, 4, 500, 4),
        ("three", 503, 1, 503, 1),
        *(("two", code, 2, 200, 3) for code in ALL),
        *(("two", code, 3, code, 3) for code in ALL),
        ("none", 500, 1, 500, 1),
        ("plain", 500, 1, 500, 1),
    )
    async with moody() as bad, haproxy() as world:
        await world.serve(listener(port), WEB, members(WEB, endpoint(bad.port)), rules)
        for number, (path, how, fails, status, tries) in enumerate(cases):
            asked = f"/{path}?id={number}&fails={fails}&how={how}"
            assert await status_of(port, asked, body=b"x" * 1000) == status, asked
            assert bad.tries[str(number)] == tries, asked


async def test_what_broke_off_or_was_silent_is_sent_again_where_a_route_wants_it() -> None:
    """After silence, as long as all attempts together have time for it."""
    port = free_port()
    again = Retry(attempts=2, on_silence=True, per_try_timeout_s=0.7)
    rules = wishes(
        again=forward(WEB, retry=again),
        time=forward(WEB, retry=again, timeout_s=20),
        hurry=forward(WEB, retry=again, timeout_s=1),
        plain=forward(WEB, retry=Retry(attempts=2, per_try_timeout_s=0.7)),
    )
    cases = (
        *((path, how, 2, 200, 3) for path in ("again", "hurry") for how in ("break", "middle")),
        ("again", "break", 3, 502, 3),
        ("again", "silence", 3, 504, 3),
        ("time", "silence", 2, 200, 3),
        ("hurry", "silence", 1, 504, 1),
        ("plain", "break", 1, 502, 1),
        ("plain", "silence", 1, 504, 1),
    )
    async with moody() as bad, haproxy() as world:
        await world.serve(listener(port), WEB, members(WEB, endpoint(bad.port)), rules)
        for number, (path, how, fails, status, tries) in enumerate(cases):
            asked = f"/{path}?id={number}&fails={fails}&how={how}"
            assert await status_of(port, asked) == status, asked
            assert bad.tries[str(number)] == tries, asked


async def test_a_wish_that_is_known_costs_no_reload_and_endpoints_reach_all_sections() -> None:
    """The first route with it does; for those that want the usual there is one section, as ever."""
    port, often = free_port(), forward(WEB, retry=Retry(attempts=7))
    async with backend("one") as one, backend("two") as two, haproxy() as world:
        rows = (listener(port), WEB, members(WEB, one.endpoint))
        await world.serve(*rows, wishes(plain=forward(WEB)))
        await world.serve(*rows, wishes(plain=forward(WEB), often=often))
        assert world.driver.reloads == 2
        assert "new backend b-shop_web_80" in world.driver.last_reload
        more = wishes(plain=forward(WEB), often=often, more=often)
        await world.serve(*rows, more)
        await world.serve(listener(port), WEB, members(WEB, two.endpoint), more)
        for path in ("/plain", "/often", "/more"):
            assert await _answered(port, path) == "two"
        counted = await world.driver.count([WEB.id])
        assert [each.requests for each in counted[WEB.id]] == [3]
        assert world.driver.reloads == 2


async def test_a_client_has_one_endpoint_whichever_route_it_takes() -> None:
    """Where it is remembered by its address: the sections of a pool have one table."""
    port, web = free_port(), pool(persistence=SourceIpPersistence())
    rules = wishes(plain=forward(web), often=forward(web, retry=Retry(attempts=7)))
    async with AsyncExitStack() as stack:
        one, two, three = [await stack.enter_async_context(backend(n)) for n in ("1", "2", "3")]
        world = await stack.enter_async_context(haproxy())
        await world.serve(listener(port), web, members(web, one.endpoint), rules)
        assert await _answered(port, "/often") == "1"
        more = members(web, one.endpoint, two.endpoint, three.endpoint)
        await world.serve(listener(port), web, more, rules)
        assert {await _answered(port, path) for path in ("/plain", "/often")} == {"1"}


async def test_the_connections_of_a_pool_are_counted_over_all_routes() -> None:
    """One of each fills a pool that may have two."""
    port, web = free_port(), pool(max_connections=2)
    rules = wishes(plain=forward(web), often=forward(web, retry=Retry(attempts=7)))
    paths = ("/plain", "/often")
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(backend("slow", delay_s=60))
        world = await stack.enter_async_context(haproxy())
        await world.serve(listener(port), web, members(web, slow.endpoint), rules)
        for number, path in enumerate(paths, start=1):
            client = await stack.enter_async_context(connected(port))
            client.writer.write(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
            await until(partial(_has_seen, slow, number), LONG_S)
        assert {await status_of(port, path) for path in paths} == {503}


async def _has_seen(endpoint: Backend, requests: int) -> bool:
    return len(endpoint.requests) >= requests


async def _answered(port: int, path: str) -> str:
    async with connected(port) as client:
        return (await client.ask("a", path)).body
