"""Connections: bytes that are passed on, PROXY headers, sources, limits; by every data plane."""

import asyncio
from typing import Any

import msgspec
import pytest

from onehop.model.address import Cidr
from onehop.model.listener import ForwardTcp
from onehop.model.pool import BackendProtocol, Balancing, ProxyProtocol
from tests.contract.drivers import RunningDriver
from tests.contract.traffic import serve
from tests.driver_envoy.world import (
    Client,
    backend,
    connected,
    endpoint,
    forward,
    free_port,
    host,
    listener,
    members,
    pool,
    route,
    tcp_server,
    until,
)

STREAM = pool("stream", protocol=BackendProtocol.TCP)
PROXIED = b"PROXY TCP4 198.51.100.7 192.0.2.1 5000 80\r\n"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def say(client: Client, data: bytes) -> bytes:
    """Return what comes back; nothing if the connection is closed."""
    try:
        async with asyncio.timeout(30):
            client.writer.write(data)
            await client.writer.drain()
            return await client.reader.read(65_536)
    except ConnectionError:
        return b""


async def once(port: int, **options: Any) -> bytes:
    """Return what comes back on a connection of its own; nothing if it is closed, or is none."""
    try:
        async with connected(port, **options) as client:
            return await say(client, b"hello")
    except ConnectionError:
        return b""


async def test_bytes_go_through_and_back(serving: RunningDriver) -> None:
    """And another endpoint is tried where one refuses."""
    port, dead = free_port(), free_port()
    stream = msgspec.structs.replace(STREAM, balancing=Balancing.ROUND_ROBIN)
    async with tcp_server(echo) as behind, serving() as driver:
        await serve(
            driver,
            *(stream, members(stream, endpoint(behind), endpoint(dead))),
            listener(port, ForwardTcp(pool=stream.id)),
        )
        for _ in range(6):
            async with connected(port) as client:
                assert await say(client, b"hello") == b"hello"


async def test_only_admitted_sources_may_connect(serving: RunningDriver) -> None:
    """Others are closed before anything is said."""
    port = free_port()
    sources = (Cidr("127.0.0.0/24"), Cidr("2001:db8::/32"))
    async with tcp_server(echo) as behind, serving() as driver:
        await serve(
            driver,
            *(STREAM, members(STREAM, endpoint(behind))),
            listener(port, ForwardTcp(pool=STREAM.id), sources=sources),
        )
        for source, answer in (("127.0.0.5", b"hello"), ("127.9.9.9", b"")):
            assert await once(port, source=source) == answer


async def test_connections_are_limited(serving: RunningDriver) -> None:
    """What comes beyond is closed; room that is made is used."""
    port = free_port()
    async with tcp_server(echo) as behind, serving() as driver:
        await serve(
            driver,
            *(STREAM, members(STREAM, endpoint(behind))),
            listener(port, ForwardTcp(pool=STREAM.id), max_connections=1),
        )
        async with connected(port) as first:
            assert await say(first, b"hello") == b"hello"
            assert await once(port) == b""
            assert await say(first, b"again") == b"again"

        async def is_free() -> bool:
            return await once(port) == b"hello"

        await until(is_free)


async def test_the_proxy_header_tells_who_the_client_is(serving: RunningDriver) -> None:
    """For `sources` and for the application; a connection without it is closed."""
    port, tcp_port, web = free_port(), free_port(), pool()
    sources = (Cidr("198.51.100.0/24"),)
    async with backend("one") as one, tcp_server(echo) as behind, serving() as driver:
        await serve(
            driver,
            *(web, members(web, one.endpoint), STREAM, members(STREAM, endpoint(behind))),
            listener(port, accepts_proxy_protocol=True),
            listener(
                tcp_port,
                ForwardTcp(pool=STREAM.id),
                accepts_proxy_protocol=True,
                sources=sources,
            ),
            host("*", route(forward(web))),
        )
        async with connected(port, preface=PROXIED) as client:
            assert (await client.ask("a.example")).status == 200
        assert "x-real-ip: 198.51.100.7\r\n" in one.requests[0]
        async with connected(port) as client:
            assert await say(client, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n") == b""

        for preface, answer in ((PROXIED, b"hello"), (PROXIED.replace(b"198.51", b"192.51"), b"")):
            assert await once(tcp_port, preface=preface) == answer


@pytest.mark.parametrize(
    ("version", "starts_with"),
    [
        (ProxyProtocol.V1, b"PROXY TCP4 127.0.0.5 "),
        (ProxyProtocol.V2, b"\r\n\r\n\0\r\nQUIT\n"),
    ],
)
async def test_endpoints_are_told_the_client_by_a_proxy_header(
    serving: RunningDriver, version: ProxyProtocol, starts_with: bytes
) -> None:
    """Before anything else."""
    first: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.append(await reader.readexactly(len(starts_with)))
        writer.close()

    port, web = free_port(), pool(proxy_protocol=version)
    async with tcp_server(listen) as behind, serving() as driver:
        await serve(
            driver,
            *(web, members(web, endpoint(behind)), listener(port)),
            host("*", route(forward(web))),
        )
        async with connected(port, source="127.0.0.5") as client:
            await client.ask("a.example")

    assert first[0] == starts_with
