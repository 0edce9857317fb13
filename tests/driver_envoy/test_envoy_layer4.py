"""TCP and UDP listeners, the PROXY protocol, and who may connect, through a real Envoy."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import cast

import msgspec
import pytest

from onehop.model.address import Cidr, IpAddr
from onehop.model.ident import ListenerId
from onehop.model.listener import ForwardTcp, ForwardUdp, Handler, Listener
from onehop.model.pool import BackendProtocol, BackendTls, Balancing, Pool, ProxyProtocol
from tests.driver_envoy.world import (
    ADDRESS,
    Client,
    backend,
    connected,
    endpoint,
    envoy,
    forward,
    free_port,
    host,
    listener,
    members,
    pool,
    route,
    tcp_server,
    udp_listener,
    until,
)

pytestmark = pytest.mark.envoy

TCP = pool("tcp", protocol=BackendProtocol.TCP)
UDP = pool("udp", protocol=BackendProtocol.UDP)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, until the other side is done."""
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def udp_echo(name: bytes = b"") -> AsyncGenerator[int]:
    """Send each datagram back with a name in front; yield the port."""

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.DatagramTransport", transport)  # what the caller asked

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(name + data, addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=(ADDRESS, 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def ask_udp(port: int, source: str, data: bytes = b"x", timeout_s: float = 30.0) -> bytes:
    """Send a datagram from an address, and return the answer, or nothing."""
    loop = asyncio.get_running_loop()
    with udp_client(port, source) as sock:
        await loop.sock_sendall(sock, data)
        try:
            async with asyncio.timeout(timeout_s):
                return await loop.sock_recv(sock, 65_536)
        except TimeoutError:
            return b""


@contextmanager
def udp_client(port: int, source: str) -> Generator[socket.socket]:
    """Open a socket at an address, for datagrams to a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((source, 0))
        sock.connect((ADDRESS, port))
        yield sock


async def say(client: Client, data: bytes) -> bytes:
    """Send, and return what comes back; nothing when the connection is closed."""
    client.writer.write(data)
    async with asyncio.timeout(30):
        try:
            return await client.reader.read(65_536)
        except ConnectionError:
            return b""


async def test_bytes_go_through_and_back() -> None:
    """A TCP listener passes a stream on, and its end."""
    port = free_port()
    async with tcp_server(echo) as behind, envoy() as world:
        await world.serve(
            TCP, members(TCP, endpoint(behind)), listener(port, ForwardTcp(pool=TCP.id))
        )
        async with connected(port) as client:
            assert await say(client, b"hello") == b"hello"
            client.writer.write_eof()
            assert await client.reader.read() == b""


async def test_tcp_tries_another_endpoint() -> None:
    """One of two refuses: every client is served."""
    port, tcp = free_port(), msgspec.structs.replace(TCP, balancing=Balancing.ROUND_ROBIN)
    async with tcp_server(echo) as behind, envoy() as world:
        await world.serve(
            tcp,
            members(tcp, endpoint(behind), endpoint(free_port())),
            listener(port, ForwardTcp(pool=tcp.id)),
        )
        for _ in range(10):
            async with connected(port) as client:
                assert await say(client, b"hello") == b"hello"


async def test_datagrams_go_through_and_back() -> None:
    """A UDP listener passes datagrams on, large ones too."""
    port = free_port(socket.SOCK_DGRAM)
    async with udp_echo() as behind, envoy() as world:
        await world.serve(
            UDP, members(UDP, endpoint(behind)), udp_listener(port, ForwardUdp(pool=UDP.id))
        )
        for size in (1, 1400, 8000):
            assert await ask_udp(port, "127.0.0.1", b"x" * size) == b"x" * size


async def test_udp_clients_stay_with_their_endpoint() -> None:
    """By their address, if the pool hashes; another client may get another endpoint."""
    hashed = pool("udp", protocol=BackendProtocol.UDP, balancing=Balancing.HASH)
    port = free_port(socket.SOCK_DGRAM)
    async with udp_echo(b"one") as one, udp_echo(b"two") as two, envoy() as world:
        await world.serve(
            hashed,
            members(hashed, endpoint(one), endpoint(two)),
            udp_listener(port, ForwardUdp(pool=hashed.id)),
        )
        taken: set[bytes] = set()
        for last in range(1, 41):
            answers = {await ask_udp(port, f"127.0.0.{last}") for _ in range(3)}
            assert len(answers) == 1
            taken |= answers
        assert taken == {b"onex", b"twox"}


async def test_udp_follows_its_endpoints() -> None:
    """A new flow goes to the new endpoint."""
    port = free_port(socket.SOCK_DGRAM)
    async with udp_echo(b"one") as one, udp_echo(b"two") as two, envoy() as world:
        await world.serve(
            UDP, members(UDP, endpoint(one)), udp_listener(port, ForwardUdp(pool=UDP.id))
        )
        assert await ask_udp(port, "127.0.0.1") == b"onex"
        world.driver.set_endpoints(members(UDP, endpoint(two)))

        async def is_there() -> bool:
            # A flow that began just before the change loses its answer with its endpoint.
            return await ask_udp(port, "127.0.0.1", timeout_s=0.3) == b"twox"

        await until(is_there)


async def test_only_admitted_sources_may_connect() -> None:
    """TCP is closed, UDP is dropped, for anybody outside `sources`."""
    port = free_port()
    udp_port = free_port(socket.SOCK_DGRAM)
    sources = (Cidr("127.0.0.0/24"), Cidr("2001:db8::/32"))
    async with tcp_server(echo) as behind, udp_echo() as udp_behind, envoy() as world:
        await world.serve(
            *(TCP, members(TCP, endpoint(behind)), UDP, members(UDP, endpoint(udp_behind))),
            listener(port, ForwardTcp(pool=TCP.id), sources=sources),
            udp_listener(udp_port, ForwardUdp(pool=UDP.id), sources=sources, id=ListenerId("udp")),
        )
        async with connected(port, source="127.0.0.5") as client:
            assert await say(client, b"hello") == b"hello"
        async with connected(port, source="127.9.9.9") as client:
            assert await say(client, b"hello") == b""
        with udp_client(udp_port, "127.9.9.9") as stranger:
            stranger.send(b"x")
            assert await ask_udp(udp_port, "127.0.0.5") == b"x"  # who came before had its turn
            with pytest.raises(BlockingIOError):
                stranger.recv(1)


async def test_connections_are_limited() -> None:
    """What comes beyond `max_connections` is closed; a place that is given back is free."""
    port = free_port()
    async with tcp_server(echo) as behind, envoy() as world:
        await world.serve(
            TCP,
            members(TCP, endpoint(behind)),
            listener(port, ForwardTcp(pool=TCP.id), max_connections=1),
        )
        async with connected(port) as first:
            assert await say(first, b"hello") == b"hello"
            async with connected(port) as second:
                assert await say(second, b"hello") == b""

        async def is_free() -> bool:
            async with connected(port) as third:
                return await say(third, b"hello") == b"hello"

        await until(is_free)


async def test_the_proxy_header_tells_who_the_client_is() -> None:
    """For `sources` and for the application; a connection without it is closed."""
    port, tcp_port, web = free_port(), free_port(), pool()
    sources = (Cidr("198.51.100.0/24"),)
    handler: Handler = ForwardTcp(pool=TCP.id)
    async with backend("one") as one, tcp_server(echo) as behind, envoy() as world:
        await world.serve(
            *(web, members(web, one.endpoint), TCP, members(TCP, endpoint(behind))),
            listener(port, accepts_proxy_protocol=True),
            listener(tcp_port, handler, accepts_proxy_protocol=True, sources=sources),
            host("*", route(forward(web))),
        )
        header = b"PROXY TCP4 198.51.100.7 192.0.2.1 5000 80\r\n"
        async with connected(port, preface=header) as client:
            assert (await client.ask("a.example")).status == 200
        assert "x-real-ip: 198.51.100.7\r\n" in one.requests[0]
        async with connected(port) as client:
            assert await say(client, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n") == b""

        async with connected(tcp_port, preface=header) as client:
            assert await say(client, b"hello") == b"hello"
        async with connected(tcp_port, preface=header.replace(b"198.51", b"192.51")) as client:
            assert await say(client, b"hello") == b""


@pytest.mark.parametrize(
    ("web", "starts_with"),
    [
        (pool(proxy_protocol=ProxyProtocol.V1), b"PROXY TCP4 127.0.0.5 "),
        (pool(proxy_protocol=ProxyProtocol.V2), b"\r\n\r\n\0\r\nQUIT\n"),
        (pool(proxy_protocol=ProxyProtocol.V1, tls=BackendTls()), b"PROXY TCP4 127.0.0.5 "),
    ],
)
async def test_endpoints_are_told_the_client_by_a_proxy_header(
    web: Pool, starts_with: bytes
) -> None:
    """Before anything else, TLS included."""
    first: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.append(await reader.readexactly(len(starts_with)))
        writer.close()

    port = free_port()
    async with tcp_server(listen) as behind, envoy() as world:
        await world.serve(
            web,
            members(web, endpoint(behind)),
            listener(port),
            host("*", route(forward(web))),
        )
        async with connected(port, source="127.0.0.5") as client:
            await client.ask("a.example")

    assert first[0] == starts_with


async def test_a_listener_may_wait_for_its_address() -> None:
    """It is bound before the address is there; IPv6 works like IPv4."""
    async with tcp_server(echo) as behind, envoy() as world:
        rows = [
            Listener(
                id=ListenerId(address),
                owner=None,
                address=IpAddr(address),
                port=free_port(),
                handler=ForwardTcp(pool=TCP.id),
            )
            for address in ("203.0.113.9", "2001:db8::9")
        ]
        receipt = await world.serve(TCP, members(TCP, endpoint(behind)), *rows)

        assert receipt.refused == ()
