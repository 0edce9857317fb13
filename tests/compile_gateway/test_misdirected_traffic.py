"""Requests on connections that were made for others, through real data planes.

Listeners, routes and answers are those of the conformance test
HTTPRouteHTTPSListenerDetectMisdirectedRequests.
"""

import pytest

from tests.compile_gateway.planes import Stand, shows
from tests.compile_gateway.world import gateway, route, secret, service
from tests.contract.test_driver_tls import unchecking
from tests.driver_envoy.world import Reply, backend, connected, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")


def https(port: int, name: str, hostname: str = "") -> str:
    host = f", hostname: '{hostname}'" if hostname else ""
    tls = "tls: {certificateRefs: [{name: all}]}"
    return f"name: {name}, port: {port}, protocol: HTTPS{host}, {tls}"


def web(name: str, listener: str = "", hostnames: str = "") -> str:
    parent = "name: public" + (f", sectionName: {listener}" if listener else "")
    rules = f"- backendRefs: [{{name: {name}, port: 80}}]"
    return route(name, rules, hostnames=hostnames, parent=parent)


async def ask(port: int, server_name: str, host: str) -> Reply:
    """Ask with a header by which a client would pass for somebody else."""
    async with connected(port, tls=unchecking(), sni=server_name) as client:
        return await client.ask(host, headers={"x-envoy-server-name": host})


@shows("GatewayHTTPSListenerDetectMisdirectedRequests")
async def test_a_request_for_another_listener_than_the_connections_is_told_to_go_there(
    plane: Stand,
) -> None:
    """421 where handshake and host name two listeners, 404 where no route takes it."""
    port = free_port()
    listeners = (
        https(port, "https"),
        https(port, "second", "second-example.org"),
        https(port, "wild", "*.wildcard.org"),
        https(port, "fourth", "fourth-example.wildcard.org"),
    )
    async with (
        backend("one") as one,
        backend("two") as two,
        backend("three") as three,
        backend("four") as four,
        plane.serving(
            gateway(*listeners),
            secret("all", "example.org", "*.wildcard.org"),
            web("one", hostnames="example.org"),
            web("two", "second"),
            web("three", "wild"),
            web("four", "fourth"),
            *(service(each.name, each) for each in (one, two, three, four)),
        ),
    ):
        for server_name, host, expected in (
            ("example.org", "example.org", "one"),
            ("example.org", "second-example.org", 421),
            ("example.org", "unknown-example.org", 404),
            ("second-example.org", "second-example.org", "two"),
            ("second-example.org", "example.org", 421),
            ("second-example.org", "unknown-example.org", 421),
            ("third-example.wildcard.org", "third-example.wildcard.org", "three"),
            ("third-example.wildcard.org", "fifth-example.wildcard.org", "three"),
            ("third-example.wildcard.org", "fourth-example.wildcard.org", 421),
            ("third-example.wildcard.org", "second-example.org", 421),
            ("third-example.wildcard.org", "unknown-example.org", 421),
            ("fourth-example.wildcard.org", "fourth-example.wildcard.org", "four"),
            ("fourth-example.wildcard.org", "fifth-example.wildcard.org", 421),
            ("unknown-example.org", "example.org", "one"),
            ("unknown-example.org", "unknown-example.org", 404),
        ):
            reply = await ask(port, server_name, host)
            got = reply.body if reply.status == 200 else reply.status
            assert got == expected, (server_name, host)
        if plane.name == "envoy":  # to others it is a header like any
            assert "x-envoy-server-name" not in one.requests[-1].lower()
