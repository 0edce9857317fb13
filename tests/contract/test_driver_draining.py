"""Endpoints that end, and Nodes whose Pods do: nothing new for them, and what is open goes on."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint, Path
from onehop.model.listener import ForwardTcp
from onehop.model.pool import BackendProtocol, HealthCheck
from tests.contract.drivers import RunningDriver
from tests.contract.scene import dial, give_back, named
from tests.contract.traffic import serve
from tests.driver_envoy.world import (
    ADDRESS,
    connected,
    draining,
    endpoint,
    free_port,
    listener,
    members,
    pool,
    tcp_server,
    until,
)

STREAM = pool("stream", protocol=BackendProtocol.TCP)
OTHER_NODE = IpAddr(".".join(("127.251", *ADDRESS.split(".")[2:])))
"""Of this process alone, as `ADDRESS` is."""
PATIENCE_S = 30.0


async def test_an_open_connection_outlives_that_its_endpoint_drains(
    serving: RunningDriver,
) -> None:
    """New ones go elsewhere meanwhile; if all drain, they are better than nobody (KEP-1669)."""
    port = free_port()
    entrance = listener(port, ForwardTcp(pool=STREAM.id))
    async with named("one") as one, named("two") as two, serving() as driver:
        await serve(driver, STREAM, members(STREAM, endpoint(one)), entrance)
        async with connected(port) as held, asyncio.timeout(PATIENCE_S):
            assert await held.reader.readexactly(3) == b"one"

            await serve(driver, STREAM, members(STREAM, draining(one), endpoint(two)), entrance)
            await _settled(port, "two")
            held.writer.write(b"still there?")
            assert await held.reader.readexactly(12) == b"still there?"

            await serve(driver, STREAM, members(STREAM, draining(one)), entrance)
            await _settled(port, "one")


async def test_a_node_whose_last_pod_ends_gets_nothing_new(serving: RunningDriver) -> None:
    """With `externalTrafficPolicy: Local`, kube-proxy's own check answers 503 from then on.

    The check's port is the same on all Nodes (KEP-1669); it is asked at each Node's address.
    """
    port = free_port()
    async with (
        _node("here", ADDRESS) as here,
        _node("there", OTHER_NODE, checked=here.checked) as there,
        serving() as driver,
    ):
        check = HealthCheck(
            http_path="/healthz",
            port=here.checked,
            expected=((200, 200),),
            interval_s=0.3,
            timeout_s=2.0,
            unhealthy_threshold=1,
        )
        nodes = pool("nodes", protocol=BackendProtocol.TCP, health_check=check)
        both = members(nodes, here.endpoint, there.endpoint)
        await serve(driver, nodes, both, listener(port, ForwardTcp(pool=nodes.id)))
        await _both_answer(port)

        there.has_pods = False
        await _settled(port, "here")

        there.has_pods = True
        await _both_answer(port)


class _Node:
    """A Node's NodePort, and kube-proxy's check of it."""

    def __init__(self, name: str, address: IpAddr) -> None:
        self.name = name
        self.address = address
        self.has_pods = True
        self.port = 0
        self.checked = 0

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(address=self.address, port=self.port, path=Path.LOCAL)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.name.encode())
        await give_back(reader, writer)

    async def check(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            status = b"200 OK" if self.has_pods else b"503 Service Unavailable"
            writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n")
            writer.write(b"connection: close\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a check that gave up
        finally:
            writer.close()


@asynccontextmanager
async def _node(name: str, address: IpAddr, checked: int = 0) -> AsyncGenerator[_Node]:
    node = _Node(name, address)
    async with (
        tcp_server(node.answer, address=address) as node.port,
        tcp_server(node.check, address=address, port=checked) as node.checked,
    ):
        yield node


async def _settled(port: int, name: str) -> None:
    """Wait until nobody else answers for a while."""

    async def is_alone() -> bool:
        return {await dial(port) for _ in range(10)} == {name}

    await until(is_alone, PATIENCE_S)


async def _both_answer(port: int) -> None:
    async def do_both() -> bool:
        return {await dial(port) for _ in range(10)} == {"here", "there"}

    await until(do_both, PATIENCE_S)
