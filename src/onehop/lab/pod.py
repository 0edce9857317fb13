"""A Pod one can talk to: small real HTTP, TCP and UDP servers that say who they are.

Each answers with its own name and with the source address it saw, which is what a load balancer's
user wants to know.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import cast

import msgspec
from aiohttp import web


class Answer(msgspec.Struct, frozen=True):
    """What a Pod says to an HTTP request.

    Attributes:
        saw: the peer's address, as the Pod's socket has it.
        forwarded_for: the X-Forwarded-For header, the client as the load balancer saw it.
        node: where it runs; empty where there are no nodes.
    """

    app: str
    pod: str
    host: str
    path: str
    saw: str
    forwarded_for: str = ""
    forwarded_proto: str = ""
    node: str = ""


@contextlib.asynccontextmanager
async def serve_http(
    app: str, pod: str, address: str, port: int, *, node: str = ""
) -> AsyncGenerator[None]:
    """Answer every HTTP request with an `Answer` in JSON."""

    async def answer(request: web.Request) -> web.Response:
        body = Answer(
            app=app,
            pod=pod,
            host=request.host,
            path=request.path_qs,
            saw=request.remote or "",
            forwarded_for=request.headers.get("X-Forwarded-For", ""),
            forwarded_proto=request.headers.get("X-Forwarded-Proto", ""),
            node=node,
        )
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    server = web.Application()
    server.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port).start()
        yield
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def serve_tcp(pod: str, address: str, port: int) -> AsyncGenerator[None]:
    """Greet every connection with a line, then echo."""
    open_writers: set[asyncio.StreamWriter] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.add(writer)
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            writer.write(f"{pod} saw {writer.get_extra_info('peername')[0]}\n".encode())
            await writer.drain()
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        open_writers.discard(writer)

    server = await asyncio.start_server(talk, address, port)
    try:
        yield
    finally:
        server.close()
        for writer in open_writers:
            writer.close()


class _Echo(asyncio.DatagramProtocol):
    def __init__(self, pod: str) -> None:
        self._pod = pod
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The selector loop's own class does not derive from it before 3.12.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None:
            self._transport.sendto(f"{self._pod} saw {addr[0]}: ".encode() + data, addr)


@contextlib.asynccontextmanager
async def serve_udp(pod: str, address: str, port: int) -> AsyncGenerator[None]:
    """Answer every datagram with the Pod's name, the peer's address and the datagram."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Echo(pod), local_addr=(address, port)
    )
    try:
        yield
    finally:
        transport.close()
