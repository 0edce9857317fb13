"""A node dies while something is under way to it; a real HAProxy on a link of two machines."""

import asyncio
import socket
import time
from contextlib import AbstractAsyncContextManager

import pytest

from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint
from onehop.model.listener import ForwardTcp
from onehop.model.pool import BackendProtocol
from tests.driver_envoy.world import (
    backend,
    connected,
    forward,
    free_port,
    host,
    listener,
    members,
    pool,
    route,
    tcp_server,
)
from tests.driver_haproxy.world import LONG_S, haproxy
from tests.net.namespaces import Machine, machines

pytestmark = [pytest.mark.haproxy, pytest.mark.root]

POD = {4: IpAddr("192.0.2.2"), 6: IpAddr("2001:db8::2")}
SILENT_S = 3.0
SLOW_S = 8.0


async def test_a_request_to_a_dead_node_ends_when_its_endpoint_has_gone() -> None:
    """One to a Pod that is only slow is answered, although its endpoint has gone as well."""
    with machines("lb", "node") as (lb, node):
        await asyncio.to_thread(lb.run, lambda: _requests(node))


async def _requests(node: Machine) -> None:
    port, gone, slow = free_port(), pool("gone"), pool("slow")
    async with (
        backend("slow", delay_s=SLOW_S) as late,
        haproxy(silent_s=SILENT_S) as world,
        _answering(node, POD[4]),
    ):
        rows = (
            *(listener(port), host("gone", route(forward(gone))), gone),
            *(host("slow", route(forward(slow))), slow),
        )
        dead = members(gone, Endpoint(address=POD[4], port=8080))
        await world.serve(*rows, dead, members(slow, late.endpoint))
        async with connected(port) as to_slow, connected(port) as to_dead:
            assert (await to_dead.ask("gone")).body == "here"
            await asyncio.to_thread(node.ip, "link", "set", "eth0", "down")
            waiting = asyncio.create_task(to_slow.ask("slow"))
            asked = time.monotonic()
            lost = asyncio.create_task(to_dead.ask("gone"))
            await asyncio.sleep(0.5)  # both are under way
            for each in (gone, slow):
                world.driver.set_endpoints(members(each))
            # As ever, where it is not the connection's first: so clients make it again.
            with pytest.raises(asyncio.IncompleteReadError):
                await lost
            assert time.monotonic() - asked >= SILENT_S
            assert (await waiting).body == "slow"


async def test_a_session_with_a_dead_node_ends_when_its_endpoint_has_gone() -> None:
    """As long as it is there the session is let be; over IPv6."""
    with machines("lb", "node") as (lb, node):
        await asyncio.to_thread(lb.run, lambda: _session(node))


async def _session(node: Machine) -> None:
    port, web = free_port(), pool(protocol=BackendProtocol.TCP)
    there = members(web, Endpoint(address=POD[6], port=8080))
    async with haproxy(silent_s=SILENT_S) as world, _answering(node, POD[6]):
        await world.serve(listener(port, ForwardTcp(pool=web.id)), web, there)
        async with connected(port) as session:
            assert (await session.ask("any")).body == "here"
            await asyncio.to_thread(node.ip, "link", "set", "eth0", "down")
            session.writer.write(b"is anybody there?\n")
            ended = asyncio.create_task(session.reader.read())
            await asyncio.sleep(2 * SILENT_S)
            assert not ended.done()
            world.driver.set_endpoints(members(web))
            async with asyncio.timeout(LONG_S):
                assert await ended == b""


def _answering(node: Machine, address: IpAddr) -> AbstractAsyncContextManager[int]:
    """Answer each request on a machine."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line == b"\r\n":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere")

    bound = node.do(lambda: socket.create_server((address, 8080), family=family))
    return tcp_server(answer, bound=bound)
