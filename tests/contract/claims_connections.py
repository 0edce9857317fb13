"""What is claimed of connections."""

import asyncio
import os
from collections import Counter

import msgspec

from onehop.driver import Capability
from onehop.model.address import Cidr
from onehop.model.listener import ForwardTcp, ForwardUdp, Listener, StreamShare
from onehop.model.pool import BackendProtocol, ProxyProtocol
from tests.contract.scene import Scene, Told, dial, named, proves, stream
from tests.driver_envoy.test_envoy_layer4 import ask_udp, udp_echo
from tests.driver_envoy.world import (
    connected,
    endpoint,
    members,
    pool,
    tcp_server,
    udp_listener,
    until,
)

PREFACE = b"PROXY TCP4 198.51.100.7 192.0.2.1 5000 80\r\n"


@proves(Capability.UDP)
async def datagrams_go_through_and_back(scene: Scene) -> None:
    behind = pool("dns", protocol=BackendProtocol.UDP)
    async with udp_echo(b"one") as port:
        handler = ForwardUdp(pool=behind.id)
        entrance = udp_listener(scene.port, handler)
        await scene.serve(behind, members(behind, endpoint(port)), entrance)
        entered = scene.traffic()

        async def is_answered() -> bool:
            return await ask_udp(entered, "127.0.0.5", timeout_s=1.0) == b"onex"

        await until(is_answered, 20)


@proves(Capability.SOURCE_RANGES)
async def only_admitted_networks_may_connect(scene: Scene) -> None:
    async with named("one") as port:
        admitted = {"sources": (Cidr("127.0.0.0/24"),)}
        await scene.serve(*stream(scene, endpoint(port), on_listener=admitted))
        entered = scene.traffic()
        assert await dial(entered, "127.0.0.5") == "one"
        assert await dial(entered, "127.9.9.9") == ""


@proves(Capability.CONNECTION_LIMIT)
async def what_comes_beyond_the_limit_is_closed(scene: Scene) -> None:
    async with named("one") as port:
        await scene.serve(*stream(scene, endpoint(port), on_listener={"max_connections": 1}))
        entered = scene.traffic()
        async with connected(entered) as first, asyncio.timeout(20):
            assert await first.reader.read(100) == b"one"
            assert await dial(entered) == ""


@proves(Capability.STREAM_IDLE_TIMEOUT)
async def a_silent_connection_is_closed(scene: Scene) -> None:
    async with named("one") as port:
        await scene.serve(*stream(scene, endpoint(port), on_listener={"idle_s": 1.0}))
        async with connected(scene.traffic()) as client, asyncio.timeout(30):
            assert await client.reader.read() == b"one"


@proves(Capability.WEIGHTED_STREAMS)
async def connections_are_shared_out_by_weight(scene: Scene) -> None:
    async with named("one") as one, named("two") as two:
        *rows, entrance = stream(scene, endpoint(one))
        other = pool("other", protocol=BackendProtocol.TCP)
        assert isinstance(entrance, Listener)
        assert isinstance(entrance.handler, ForwardTcp)
        shares = (
            StreamShare(entrance.handler.pool, 6),
            StreamShare(other.id, 2),
            StreamShare(None, 2),
        )
        handler = msgspec.structs.replace(entrance.handler, shares=shares)
        split = msgspec.structs.replace(entrance, handler=handler)
        await scene.serve(*rows, other, members(other, endpoint(two)), split)
        entered = scene.traffic()
        taken = Counter([await dial(entered) for _ in range(120)])
        assert taken["one"] > max(taken["two"], taken[""])
        assert taken.keys() == {"one", "two", ""}


@proves(Capability.WEIGHTED_FLOWS)
async def flows_of_packets_are_shared_out_by_weight(scene: Scene) -> None:
    async with udp_echo(b"one") as one, udp_echo(b"two") as two:
        many = pool("many", protocol=BackendProtocol.UDP)
        few = pool("few", protocol=BackendProtocol.UDP)
        shares = (StreamShare(many.id, 4), StreamShare(few.id, 1))
        await scene.serve(
            *(many, members(many, endpoint(one)), few, members(few, endpoint(two))),
            udp_listener(scene.port, ForwardUdp(pool=many.id, shares=shares)),
        )
        entered = scene.traffic()

        async def is_answered() -> bool:
            return await ask_udp(entered, "127.0.0.5", timeout_s=1.0) != b""

        await until(is_answered, 20)
        taken = Counter([await ask_udp(entered, "127.0.0.5") for _ in range(100)])
        assert taken[b"onex"] > taken[b"twox"] > 0


@proves(Capability.PROXY_PROTOCOL_IN)
async def a_connection_begins_with_a_proxy_header(scene: Scene) -> None:
    fields = {"accepts_proxy_protocol": True, "sources": (Cidr("198.51.100.0/24"),)}
    async with named("one") as port:
        await scene.serve(*stream(scene, endpoint(port), on_listener=fields))
        entered = scene.traffic()
        async with connected(entered, preface=PREFACE) as client, asyncio.timeout(20):
            assert await client.reader.read(100) == b"one"


@proves(Capability.PROXY_PROTOCOL_OUT)
async def endpoints_are_told_the_client(scene: Scene) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())
        writer.write(b"heard")
        writer.close()

    async with tcp_server(listen) as port:
        await scene.serve(*stream(scene, endpoint(port), proxy_protocol=ProxyProtocol.V1))
        assert await dial(scene.traffic(), "127.0.0.5") == "heard"
    assert heard[0].startswith(b"PROXY TCP4 127.0.0.5 ")


@proves(Capability.TRANSPARENT)
async def endpoints_see_the_client_itself(scene: Scene) -> None:
    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(writer.get_extra_info("peername")[0].encode())
        writer.close()

    async with tcp_server(tell) as port:
        await scene.serve(*stream(scene, endpoint(port), is_transparent=True))
        if os.geteuid() != 0:  # no other may take a foreign address
            raise Told
        assert await dial(scene.traffic(), "127.0.0.5") == "127.0.0.5"
