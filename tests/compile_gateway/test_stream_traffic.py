"""TLSRoutes, TCPRoutes and UDPRoutes through real data planes: by listener, name and weight."""

import asyncio
import ssl
from collections import Counter

import pytest

from tests.compile_gateway.planes import Stand, shows
from tests.compile_gateway.world import gateway, secret, service, stream_route
from tests.contract.scene import dial, named
from tests.contract.test_driver_tls import unchecking
from tests.driver_envoy.test_envoy_layer4 import ask_udp, echo, udp_echo
from tests.driver_envoy.test_envoy_passthrough import POD, pod
from tests.driver_envoy.world import (
    ADDRESS,
    connected,
    free_port,
    tcp_server,
    trusting,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _is_open(port: int) -> bool:
    try:
        async with connected(port):
            return True
    except ConnectionRefusedError:
        return False


@shows("TLSRouteModeMixed", "TLSRouteModeTerminate")
async def test_tls_ends_or_passes_on_one_port_by_the_name_that_is_asked_for(plane: Stand) -> None:
    """What is in the TLS of one host goes on as it is, and the TLS of the other whole."""
    port = free_port()
    ends = "tls: {mode: Terminate, certificateRefs: [{name: own}]}"
    listeners = (
        f"name: ends, port: {port}, protocol: TLS, hostname: '*.ended.example', {ends}",
        f"name: passes, port: {port}, protocol: TLS, tls: {{mode: Passthrough}}",
    )
    ended = stream_route("TLSRoute", "inside", listener="ends").replace(
        "  rules:", "  hostnames: [a.ended.example]\n  rules:"
    )
    passed = stream_route("TLSRoute", "pod", listener="passes").replace(
        "  rules:", "  hostnames: [passed.example]\n  rules:"
    )
    async with (
        named("inside") as inside,
        pod() as behind,
        plane.serving(
            gateway(*listeners),
            secret("own", "*.ended.example"),
            ended,
            passed,
            service("inside", inside),
            service("pod", behind),
        ),
    ):
        await until(lambda: _is_open(port), 30)  # nothing is asked for after the listener
        async with connected(port, tls=unchecking(), sni="a.ended.example") as client:
            assert await client.reader.read(100) == b"inside"
        async with connected(port, tls=trusting(POD.chain_pem), sni="passed.example") as client:
            assert (await client.ask("passed.example")).body == "pod"


@shows("TCPRoute")
async def test_connections_are_shared_out_and_a_missing_backends_share_is_closed(
    plane: Stand,
) -> None:
    """Six parts, two parts, and two for a Service that is not there."""
    port = free_port()
    refs = ", ".join(
        f"{{name: {name}, port: 80, weight: {weight}}}"
        for name, weight in (("one", 6), ("two", 2), ("absent", 2))
    )
    shared = stream_route("TCPRoute", "one", listener="tcp").replace("{name: one, port: 80}", refs)
    async with (
        named("one") as one,
        named("two") as two,
        plane.serving(
            gateway(f"name: tcp, port: {port}, protocol: TCP"),
            shared,
            service("one", one),
            service("two", two),
        ),
    ):
        await until(lambda: _is_open(port), 30)
        taken = Counter([await dial(port) for _ in range(200)])
    assert taken["one"] > max(taken["two"], taken[""])
    assert taken.keys() == {"one", "two", ""}


@shows("UDPRoute")
async def test_flows_of_packets_are_shared_out_and_a_missing_backends_share_is_dropped(
    plane: Stand,
) -> None:
    """A flow is a port of a client: each of these asks from one of its own."""
    port = free_port()
    refs = ", ".join(
        f"{{name: {name}, port: 80, weight: {weight}}}"
        for name, weight in (("one", 6), ("two", 2), ("absent", 1))
    )
    shared = stream_route("UDPRoute", "one", listener="udp").replace("{name: one, port: 80}", refs)
    async with (
        udp_echo(b"one") as one,
        udp_echo(b"two") as two,
        plane.serving(
            gateway(f"name: udp, port: {port}, protocol: UDP"),
            shared,
            service("one", one, protocol="UDP"),
            service("two", two, protocol="UDP"),
        ),
    ):

        async def is_answered() -> bool:
            return await ask_udp(port, ADDRESS, timeout_s=0.5) != b""

        await until(is_answered, 30)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(ask_udp(port, ADDRESS, timeout_s=10)) for _ in range(200)]
    taken = Counter(each.result() for each in asked)
    assert taken[b"onex"] > taken[b"twox"] > 0
    assert taken[b""] > 0


@shows("TCPRoute")
async def test_streams_go_to_their_routes_backend(plane: Stand) -> None:
    """A listener that no route has refuses connections."""
    port, idle = free_port(), free_port()
    listeners = (
        f"name: tcp, port: {port}, protocol: TCP",
        f"name: idle, port: {idle}, protocol: TCP",
    )
    async with (
        tcp_server(echo) as stream_port,
        plane.serving(
            gateway(*listeners),
            stream_route("TCPRoute", "stream", listener="tcp"),
            service("stream", stream_port),
        ),
    ):
        assert await _echoed(port) == b"hello"
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(ADDRESS, idle)


@shows("TCPRoute", "UDPRoute")
async def test_streams_and_packets_go_to_their_routes_backends(plane: Stand) -> None:
    """TCP and UDP on one port."""
    port = free_port()
    listeners = (
        f"name: tcp, port: {port}, protocol: TCP",
        f"name: udp, port: {port}, protocol: UDP",
    )
    async with (
        tcp_server(echo) as stream_port,
        udp_echo() as packet_port,
        plane.serving(
            gateway(*listeners),
            stream_route("TCPRoute", "stream", listener="tcp"),
            stream_route("UDPRoute", "packet", listener="udp"),
            service("stream", stream_port),
            service("packet", packet_port, protocol="UDP"),
        ),
    ):
        assert await _echoed(port) == b"hello"
        assert await ask_udp(port, "127.0.0.1", b"hello") == b"hello"


async def _echoed(port: int) -> bytes:
    async with connected(port, preface=b"hello") as client, asyncio.timeout(30):
        return await client.reader.readexactly(5)


@shows("TLSRoute")
async def test_tls_goes_past_us_by_the_name_that_is_asked_for(plane: Stand) -> None:
    """Wildcards take names of any depth; a name without a route is closed, as is a stranger."""
    port = free_port()
    tls = f"port: {port}, protocol: TLS, tls: {{mode: Passthrough}}"
    listeners = (f"name: tls, {tls}", f"name: own, hostname: own.wild.example, {tls}")
    routes = stream_route("TLSRoute", "pod", listener="tls").replace(
        "  rules:", "  hostnames: [passed.example, '*.wild.example']\n  rules:"
    )

    async def said(name: str) -> str:
        trusted = trusting(POD.chain_pem)
        trusted.check_hostname = False  # a certificate's wildcard is one label deep
        async with connected(port, tls=trusted, sni=name) as client:
            return (await client.ask(name)).body

    async with pod() as behind, plane.serving(gateway(*listeners), routes, service("pod", behind)):
        await until(
            lambda: _is_open(port), 30
        )  # nothing is asked for after the listener that would tell
        for name in ("passed.example", "a.wild.example", "a.b.wild.example"):
            assert await said(name) == "pod"
        for name in ("own.wild.example", "stranger.example"):
            with pytest.raises((ConnectionError, ssl.SSLError)):
                await said(name)
