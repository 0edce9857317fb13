"""Requests that are made again, each as its own route wants it; a real HAProxy."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qsl

import pytest

from onehop.driver.haproxy.share import pool_name
from onehop.model.listener import ForwardHttp
from onehop.model.model import Row
from onehop.model.pool import BackendProtocol, SourceIpPersistence
from onehop.model.route import Forward, HeaderEdit, Retry
from tests.contract.scene import give_back
from tests.driver_envoy.http2 import H2Client, h2_backend
from tests.driver_envoy.world import (
    HTTP,
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
ACCEPT = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
ASKED = (
    b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"x-onehop-attempts: nobody:1:1\r\n\r\n"
)
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
                case "slow":
                    await asyncio.sleep(0.2)
                    writer.write(FAILED % b"500")
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
    """After silence, where an attempt has a time of its own."""
    port = free_port()
    again = Retry(attempts=2, on_silence=True, per_try_timeout_s=1.5)
    rules = wishes(
        again=forward(WEB, retry=again),
        time=forward(WEB, retry=again, timeout_s=20),
        plain=forward(WEB, retry=Retry(attempts=2, per_try_timeout_s=1.5)),
    )
    cases = (
        *((path, how, 2, 200, 3) for path in ("again", "time") for how in ("break", "middle")),
        ("again", "break", 3, 502, 3),
        ("again", "silence", 3, 504, 3),
        ("time", "silence", 2, 200, 3),
        ("plain", "break", 1, 502, 1),
        ("plain", "silence", 1, 504, 1),
    )
    async with moody() as bad, haproxy() as world:
        await world.serve(listener(port), WEB, members(WEB, endpoint(bad.port)), rules)
        for number, (path, how, fails, status, tries) in enumerate(cases):
            asked = f"/{path}?id={number}&fails={fails}&how={how}"
            assert await status_of(port, asked) == status, asked
            assert bad.tries[str(number)] == tries, asked


async def test_all_attempts_together_take_no_longer_than_a_request_may() -> None:
    """However each of them ends (GEP-1731): not one alone, which would be answered by itself."""
    port = free_port()
    again = Retry(attempts=50, codes=(500,), on_silence=True, per_try_timeout_s=0.4)
    hurried = forward(WEB, retry=again, timeout_s=4.0)
    async with moody() as bad, haproxy() as world:
        rows = (listener(port), WEB, members(WEB, endpoint(bad.port)))
        await world.serve(*rows, wishes(hurried=hurried, plain=forward(WEB)))
        assert await status_of(port, "/hurried?id=good&fails=1&how=500", body=b"x" * 1000) == 200
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(status_of(port, f"/hurried?id={how}&fails=50&how={how}"))
                for how in ("silence", "slow")
            ]
        assert [each.result() for each in asked] == [504, 504]
        assert min(bad.tries["silence"], bad.tries["slow"]) > 1
        reloads = world.driver.reloads
        await world.serve(*rows, wishes(plain=forward(WEB)))
        assert world.driver.reloads == reloads


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

        async def are_counted() -> bool:
            counted = await world.driver.count([WEB.id])
            return [each.requests for each in counted[WEB.id]] == [3]

        await until(are_counted, LONG_S)
        assert world.driver.reloads == 2


async def test_a_client_has_one_endpoint_whichever_route_it_takes() -> None:
    """Where it is remembered by its address, as a trusted proxy tells it: there is one table."""
    port, web = free_port(), pool(persistence=SourceIpPersistence())
    often = Retry(attempts=7, codes=(503,))
    rules = wishes(
        plain=forward(web),
        often=forward(web, retry=often),
        timed=forward(web, retry=often, timeout_s=30),
    )
    entry = listener(port, ForwardHttp(router=HTTP, trusted_hops=1))
    clients = tuple(f"198.51.100.{number}" for number in range(1, 7))
    async with AsyncExitStack() as stack:
        one, two, three = [await stack.enter_async_context(backend(n)) for n in ("1", "2", "3")]
        world = await stack.enter_async_context(haproxy())
        await world.serve(entry, web, members(web, one.endpoint), rules)
        assert {await _answered(port, "/timed", each) for each in clients} == {"1"}
        more = members(web, one.endpoint, two.endpoint, three.endpoint)
        await world.serve(entry, web, more, rules)
        paths = ("/plain", "/often", "/timed")
        got = {await _answered(port, path, each) for path in paths for each in clients}
        assert got == {"1"}


async def test_what_has_a_clock_is_as_anything_else() -> None:
    """WebSockets and calls of gRPC; what tenants or clients say of our own header is nothing."""
    port, calls = free_port(), pool("calls", protocol=BackendProtocol.GRPC)
    secret = HeaderEdit(set=(("x-onehop-attempts", f"{pool_name(calls.id)}:9:9"),))
    timed = {"retry": Retry(codes=(503,)), "timeout_s": 30, "idle_timeout_s": 40}

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n")
        writer.write(
            f"{ACCEPT}x-seen: {headers_of(head).get('x-onehop-attempts')}\r\n\r\n".encode()
        )
        await give_back(reader, writer)

    async with AsyncExitStack() as stack:
        sockets = await stack.enter_async_context(tcp_server(upgrade))
        called, _seen = await stack.enter_async_context(h2_backend())
        world = await stack.enter_async_context(haproxy())
        await world.serve(
            *(listener(port), WEB, members(WEB, endpoint(sockets))),
            *(calls, members(calls, endpoint(called))),
            host("a", route(forward(WEB, **timed), request_headers=secret)),
            host("calls", route(forward(calls, **timed))),
        )
        client = await stack.enter_async_context(connected(port, preface=ASKED))
        head = (await client.reader.readuntil(b"\r\n\r\n")).decode()
        assert (head.split(" ")[1], headers_of(head)["x-seen"]) == ("101", "None")
        client.writer.write(b"hello")
        async with asyncio.timeout(LONG_S):
            assert await client.reader.readexactly(5) == b"hello"
        caller = await stack.enter_async_context(connected(port))
        h2 = H2Client(caller.reader, caller.writer)
        reply = await h2.post("calls", "/pkg.Service/Method", b"\0\0\0\0\0", {"te": "trailers"})
        assert (reply.status, reply.trailers) == (200, {"grpc-status": "0"})


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


async def _answered(port: int, path: str, client: str = "198.51.100.1") -> str:
    async with connected(port) as connection:
        return (await connection.ask("a", path, headers={"x-forwarded-for": client})).body
