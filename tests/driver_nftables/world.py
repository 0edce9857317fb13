"""Clients, a load balancer and Pods, each a network namespace, with the driver on the balancer."""

import asyncio
import contextlib
import socket
import subprocess
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from functools import partial
from pathlib import Path
from typing import cast

import msgspec

from onehop.driver import Driver
from onehop.driver.nftables import NftablesDriver
from onehop.model.address import Cidr, IpAddr
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import ListenerId, ObjectRef, PoolId
from onehop.model.listener import (
    ForwardTcp,
    ForwardUdp,
    Handler,
    Listener,
    StreamShare,
    Transport,
)
from onehop.model.model import Row, change_between, model_of
from onehop.model.pool import BackendProtocol, Balancing, HealthCheck, Persistence, Pool, PoolOf
from onehop.plan import make_plan
from tests.net.crossroads import CLIENT, POD, VIP, Crossroads, crossroads

PORT = 80
DEADLINE_S = 20.0


@contextlib.contextmanager
def forwarding() -> Generator[Crossroads]:
    """Make the machines, with a balancer that passes packets on."""
    with crossroads() as roads:

        def let_pass() -> None:
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")

        roads.balancer.do(let_pass)
        yield roads


@contextlib.asynccontextmanager
async def pod(
    roads: Crossroads, *ports: int, version: int = 4, address: IpAddr | None = None
) -> AsyncGenerator[None]:
    """Have each port of the Pod say, by TCP and UDP, which it is and whom it sees."""
    host = address or POD[version]
    open_: set[asyncio.StreamWriter] = set()

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        own = writer.get_extra_info("sockname")[1]
        peer = (writer.get_extra_info("peername") or ("gone",))[0]
        with contextlib.suppress(ConnectionError):
            while await reader.read(100):
                writer.write(f"{own} {peer}".encode())
        writer.close()
        open_.discard(writer)

    class Tell(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.DatagramTransport", transport)  # what the caller asked

        def datagram_received(self, _: bytes, addr: tuple[str, int]) -> None:
            own = self.transport.get_extra_info("sockname")[1]
            self.transport.sendto(f"{own} {addr[0]}".encode(), addr)

    servers: list[asyncio.Server] = []
    async with contextlib.AsyncExitStack() as stack:
        for port in ports:
            stream = roads.pod.do(partial(bound, host, socket.SOCK_STREAM, port))
            server = await asyncio.start_server(tell, sock=stream)
            servers.append(server)
            datagram = roads.pod.do(partial(bound, host, socket.SOCK_DGRAM, port))
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                Tell, sock=datagram
            )
            stack.callback(transport.close)
        try:
            yield
        finally:
            await closed(*servers)
            async with asyncio.timeout(3 * DEADLINE_S):
                while open_:
                    for writer in tuple(open_):
                        writer.transport.abort()
                    await asyncio.sleep(0.01)  # until whoever reads from one has noticed


async def closed(*servers: asyncio.Server) -> None:
    """Close servers once each connection that the loop has accepted has begun.

    A server that is closed in between leaves a socket that nobody closes: the transport cannot
    attach to it (CPython 3.11, `Server._attach`).
    """
    loop = asyncio.get_running_loop()
    for server in servers:
        for listening in server.sockets:
            loop.remove_reader(listening.fileno())
    for _ in range(10):
        await asyncio.sleep(0)
    for server in servers:
        server.close()


@contextlib.asynccontextmanager
async def nftables(leftover_grace_s: float = 60.0) -> AsyncGenerator[NftablesDriver]:
    """Run the driver in the namespace of this thread."""
    driver = NftablesDriver(leftover_grace_s=leftover_grace_s)
    async with driver.running():
        yield driver


async def serve(driver: Driver, *rows: Row) -> None:
    """Bring the driver from what it serves to these rows."""
    change = change_between(await driver.read_back(), model_of(rows))
    receipt = await driver.apply(make_plan(change))
    assert receipt.refused == ()


def pool(  # noqa: PLR0913  what tests differ in, by name
    transport: Transport = Transport.TCP,
    *,
    name: str = "web",
    persistence: Persistence | None = None,
    health_check: HealthCheck | None = None,
    balancing: Balancing = Balancing.LEAST_REQUEST,
    is_transparent: bool = False,
) -> Pool:
    """Return a pool of TCP or UDP."""
    return Pool(
        id=PoolId(f"shop/{name}:{PORT}/{transport}~{is_transparent}"),
        service=ObjectRef("Service", "shop", name),
        port=PORT,
        protocol=BackendProtocol.TCP if transport is Transport.TCP else BackendProtocol.UDP,
        persistence=persistence,
        health_check=health_check,
        balancing=balancing,
        is_transparent=is_transparent,
    )


def known(*pools: Pool) -> PoolOf:
    """Return what says which pool has an id."""
    return {pool.id: pool for pool in pools}.get


def members(of: Pool, *endpoints: Endpoint) -> PoolEndpoints:
    """Return the members of a pool."""
    return PoolEndpoints(of.id, endpoints)


def at(port: int, version: int = 4, weight: int = 1) -> Endpoint:
    """Return the endpoint at a port of the Pod."""
    return Endpoint(address=POD[version], port=port, weight=weight)


def listener(
    of: Pool,
    *,
    version: int = 4,
    port: int = PORT,
    sources: tuple[Cidr, ...] = (),
    address: IpAddr | None = None,
) -> Listener:
    """Return a listener on the VIP for a pool."""
    is_udp = of.protocol is BackendProtocol.UDP
    handler: Handler = ForwardUdp(pool=of.id) if is_udp else ForwardTcp(pool=of.id)
    transport = Transport.UDP if is_udp else Transport.TCP
    return Listener(
        id=ListenerId(f"{of.id}:{port}@{VIP[version]}"),
        owner=None,
        address=address or VIP[version],
        port=port,
        transport=transport,
        handler=handler,
        sources=sources,
    )


def shared(of: Listener, *shares: StreamShare) -> Listener:
    """Return a listener whose connections are divided, or its datagrams."""
    handler = msgspec.structs.replace(of.handler, shares=shares)
    return msgspec.structs.replace(of, handler=handler)


class Client:
    """A socket on the client's machine, connected to the VIP."""

    def __init__(self, roads: Crossroads, transport: Transport, version: int, port: int) -> None:
        kind = socket.SOCK_STREAM if transport is Transport.TCP else socket.SOCK_DGRAM
        self._socket = roads.client.do(lambda: bound(CLIENT[version], kind, 0))
        self._socket.setblocking(False)
        self._to = VIP[version], port

    async def connect(self) -> None:
        """Connect.

        Raises:
            OSError: it was refused.
        """
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.get_running_loop().sock_connect(self._socket, self._to)

    async def ask(self) -> tuple[int, str]:
        """Return which port of the Pod answers, and whom it sees."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE_S):
            await loop.sock_sendall(self._socket, b"?")
            port, seen = (await loop.sock_recv(self._socket, 100)).decode().split()
            return int(port), seen

    async def moves_to(self, port: int | None) -> None:
        """Ask until a port of the Pod answers, or with None until the client is told that none is.

        What is under way when a flow is moved is lost.
        """
        answered: int | None = 0
        async with asyncio.timeout(3 * DEADLINE_S):
            while answered != port:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        try:
                            answered, _ = await self.ask()
                        except ConnectionRefusedError:
                            answered = None
                await asyncio.sleep(0.02)

    def close(self) -> None:
        """Close it."""
        self._socket.close()


@contextlib.asynccontextmanager
async def client(
    roads: Crossroads, transport: Transport = Transport.TCP, version: int = 4, port: int = PORT
) -> AsyncGenerator[Client]:
    """Open a connection to the VIP."""
    made = Client(roads, transport, version, port)
    try:
        await made.connect()
        yield made
    finally:
        made.close()


async def once(
    roads: Crossroads, transport: Transport = Transport.TCP, version: int = 4, port: int = PORT
) -> tuple[int, str]:
    """Open a connection, ask, and close it."""
    async with client(roads, transport, version, port) as asked:
        return await asked.ask()


async def spread(roads: Crossroads, times: int) -> Counter[int]:
    """Return how many of some connections each port of the Pod got."""
    return Counter([(await once(roads))[0] for _ in range(times)])


def load(roads: Crossroads, script: str) -> None:
    """Have nft on the balancer carry out a script, as somebody else's program."""
    command = ("nft", "-f", "-")
    roads.balancer.do(lambda: subprocess.run(command, input=script, text=True, check=True))


def bound(address: str, kind: socket.SocketKind, port: int) -> socket.socket:
    """Return a socket at an address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    return made
