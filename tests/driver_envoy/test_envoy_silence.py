"""Endpoints that die without a word, and those that only look like it."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Generator

import pytest

from onehop.driver.envoy.cluster import render_cluster
from onehop.model.listener import ForwardTcp
from onehop.model.pool import BackendProtocol, Balancing
from tests.driver_envoy.world import (
    ADDRESS,
    backend,
    connected,
    endpoint,
    envoy,
    forward,
    free_port,
    get,
    host,
    listener,
    members,
    pool,
    route,
)

_BGP_HOLD_S = 9
_CONNECT_S = 0.5


@pytest.mark.parametrize("protocol", sorted(set(BackendProtocol) - {BackendProtocol.UDP}))
def test_a_silent_connection_ends_after_three_lost_probes(protocol: BackendProtocol) -> None:
    """Before nobody believes in the node, nothing ends; and a single lost probe never ends it."""
    cluster = render_cluster(pool(protocol=protocol))
    (option,) = cluster.upstream_bind_config.socket_options
    alive = cluster.upstream_connection_options.tcp_keepalive
    silent_s = option.int_value / 1000
    third_s = alive.keepalive_time.value + 2 * alive.keepalive_interval.value

    assert (option.level, option.name) == (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert silent_s > _BGP_HOLD_S
    assert silent_s == third_s + alive.keepalive_interval.value
    assert alive.keepalive_probes.value == 3


def test_datagrams_have_no_connection_to_watch() -> None:
    """A socket for UDP would refuse the options."""
    cluster = render_cluster(pool(protocol=BackendProtocol.UDP))

    assert not cluster.HasField("upstream_bind_config")
    assert not cluster.HasField("upstream_connection_options")


@contextlib.contextmanager
def deaf() -> Generator[int]:
    """Yield a port where SYNs get no answer: its queue is full, and nobody accepts."""
    with socket.socket() as full, contextlib.ExitStack() as queued:
        full.bind((ADDRESS, 0))
        full.listen(0)
        for _ in range(2):
            filler = queued.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@pytest.mark.envoy
async def test_an_endpoint_that_takes_no_connection_is_ejected_and_no_request_fails() -> None:
    """Connections that time out count as failures; each request goes elsewhere meanwhile."""
    port = free_port()
    web = pool(balancing=Balancing.ROUND_ROBIN, connect_timeout_s=_CONNECT_S)
    tried: list[int] = []
    async with backend("good") as good, envoy() as world:
        with deaf() as dead:
            await world.serve(
                web,
                members(web, good.endpoint, endpoint(dead)),
                listener(port),
                host("*", route(forward(web))),
            )
            for _ in range(30):
                assert (await get(port, "a.example")).body == "good"
                counts = (await world.driver.count([web.id]))[web.id]
                tried.append(sum(each.failed for each in counts if each.port == dead))

    assert 1 <= tried[-1] <= 2 * 6  # each try is a connection and a request that failed
    assert tried[-10] == tried[-1]


@pytest.mark.envoy
async def test_an_endpoint_that_refuses_new_sessions_keeps_those_it_has() -> None:
    """A Pod that ends closes its port and finishes what it has: being ejected must not cut that."""
    port = free_port()
    ends = pool("ends", protocol=BackendProtocol.TCP, balancing=Balancing.ROUND_ROBIN)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                writer.write(data)
        finally:
            writer.close()

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"other")
        writer.close()

    ending = await asyncio.start_server(echo, ADDRESS, 0)
    other = await asyncio.start_server(greet, ADDRESS, 0)
    ports = [each.sockets[0].getsockname()[1] for each in (ending, other)]
    async with other, envoy() as world:
        forwarding = listener(port, ForwardTcp(pool=ends.id))
        await world.serve(ends, members(ends, endpoint(ports[0])), forwarding)
        async with connected(port) as session:
            session.writer.write(b"1")
            assert await session.reader.read(100) == b"1"
            await world.serve(ends, members(ends, *map(endpoint, ports)), forwarding)
            ending.close()
            for _ in range(20):
                async with connected(port) as client:
                    assert await client.reader.read(100) == b"other"
            states = json.loads(await world.driver.admin.clusters([ends.id]))
            assert "failed_outlier_check" in str(states)

            session.writer.write(b"2")
            assert await session.reader.read(100) == b"2"
