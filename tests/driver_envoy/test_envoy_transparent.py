"""Pods that see the client's own address, through a real Envoy between network namespaces."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Iterator
from typing import cast

import pytest

from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import ListenerId
from onehop.model.listener import ForwardTcp, ForwardUdp, Handler, Listener, Transport
from onehop.model.model import Row
from onehop.model.pool import BackendProtocol, Pool
from onehop.net.transparent import Transparency
from tests.driver_envoy.world import envoy, pool
from tests.net.crossroads import CLIENT, CLIENTS, POD, VIP, Crossroads, crossroads

pytestmark = [pytest.mark.root, pytest.mark.envoy]

PORT = 5000
BALANCER = {4: "10.244.9.1", 6: "2001:db8:9::1"}


@pytest.fixture
def roads() -> Iterator[Crossroads]:
    """A client, a balancer, a Pod."""
    with crossroads() as made:
        yield made


@contextlib.asynccontextmanager
async def telling(roads: Crossroads, version: int) -> AsyncGenerator[None]:
    """Tell everybody who speaks to the Pod, by TCP or UDP, whom it sees."""

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(str(writer.get_extra_info("peername")[0]).encode())
        writer.close()

    class Tell(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.DatagramTransport", transport)  # what the caller asked

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(addr[0].encode() if data == b"?" else b"", addr)

    stream = roads.pod.do(lambda: _bound(POD[version], socket.SOCK_STREAM))
    datagram = roads.pod.do(lambda: _bound(POD[version], socket.SOCK_DGRAM))
    server = await asyncio.start_server(tell, sock=stream)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Tell, sock=datagram)
    try:
        yield
    finally:
        transport.close()
        server.close()
        await server.wait_closed()


async def let_in() -> None:
    """Have answers to the clients come in."""
    transparency = Transparency()
    transparency.want(CLIENTS.values())
    await transparency.put()


async def seen(roads: Crossroads, version: int, transport: Transport) -> str:
    """Ask by way of the load balancer whom the Pod sees."""
    kind = socket.SOCK_STREAM if transport is Transport.TCP else socket.SOCK_DGRAM
    loop = asyncio.get_running_loop()
    with roads.client.do(lambda: _bound(CLIENT[version], kind, 0)) as client:
        client.setblocking(False)
        async with asyncio.timeout(30):
            await loop.sock_connect(client, (VIP[version], PORT))
            await loop.sock_sendall(client, b"?")
            return (await loop.sock_recv(client, 100)).decode()


def _bound(address: str, kind: socket.SocketKind, port: int = PORT) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    made.bind((address, port))
    return made


def rows(version: int, transport: Transport, *, is_transparent: bool) -> tuple[Row, ...]:
    """Return a listener on the VIP and its pool, which holds the Pod."""
    protocol = BackendProtocol.TCP if transport is Transport.TCP else BackendProtocol.UDP
    name = f"{transport}-{is_transparent}"
    behind: Pool = pool(name, protocol=protocol, is_transparent=is_transparent)
    handler: Handler = (
        ForwardTcp(pool=behind.id) if transport is Transport.TCP else ForwardUdp(pool=behind.id)
    )
    listener = Listener(
        id=ListenerId(f"{transport}@{VIP[version]}"),
        owner=None,
        address=VIP[version],
        port=PORT,
        transport=transport,
        handler=handler,
    )
    pod = Endpoint(address=POD[version], port=PORT)
    return behind, PoolEndpoints(behind.id, (pod,)), listener


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("version", [4, 6])
def test_the_pod_sees_the_client(roads: Crossroads, version: int, transport: Transport) -> None:
    """And gets to see the load balancer again when that is what is wanted."""

    async def main() -> None:
        await let_in()
        async with envoy() as world, telling(roads, version):
            await world.serve(*rows(version, transport, is_transparent=True))
            assert await seen(roads, version, transport) == CLIENT[version]
            assert await seen(roads, version, transport) == CLIENT[version]

            await world.serve(*rows(version, transport, is_transparent=False))
            assert await seen(roads, version, transport) == BALANCER[version]

            await world.serve(*rows(version, transport, is_transparent=True))
            assert await seen(roads, version, transport) == CLIENT[version]

    roads.balancer.run(main)


@pytest.mark.parametrize("transport", list(Transport))
def test_answers_that_bypass_us_never_reach_the_client(
    roads: Crossroads, transport: Transport
) -> None:
    """Which is why transparent is only granted on proof."""
    roads.bypass()

    async def main() -> None:
        await let_in()
        async with envoy() as world, telling(roads, 4):
            await world.serve(*rows(4, transport, is_transparent=True))
            async with asyncio.TaskGroup() as group:
                asked = group.create_task(seen(roads, 4, transport))
                done, _ = await asyncio.wait([asked], timeout=1)
                assert not done or asked.result() == ""
                asked.cancel()

    roads.balancer.run(main)
