"""HTTP/2 to backends, and gRPC, through real data planes."""

import pytest

from tests.compile_gateway.planes import Stand, shows
from tests.compile_gateway.world import gateway, http, route, service
from tests.driver_envoy.http2 import H2Client, H2Reply, h2_backend
from tests.driver_envoy.world import connected, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")


@shows("HTTPRouteBackendProtocolH2C")
async def test_h2c_is_spoken_to_a_service_that_says_so(plane: Stand) -> None:
    """AppProtocol kubernetes.io/h2c (KEP-3726)."""
    port = free_port()
    async with h2_backend() as (backend_port, seen):
        said = service("web", backend_port, app_protocol="kubernetes.io/h2c")
        rules = "- backendRefs: [{name: web, port: 80}]"
        async with plane.serving(gateway(http(port)), route("web", rules), said):
            assert (await plane.ask(port, "/x")).status == 200
    assert [request[":path"] for request in seen] == ["/x"]


@shows("GRPCRoute")
async def test_calls_go_by_service_and_method(plane: Stand) -> None:
    """By HTTP/2 without TLS on either side; what nobody takes is UNIMPLEMENTED (gRPC status 12).

    As clients of gRPC see it: some data planes say it by HTTP.
    """
    port = free_port()
    rules = """
- matches: [{method: {service: shop.Basket, method: Add}}]
  backendRefs: [{name: web, port: 80}]
- matches: [{method: {method: Login}}]
  backendRefs: [{name: web, port: 80}]
- matches: [{method: {service: shop.Order}}]
  backendRefs: [{name: absent, port: 80}]
"""

    async def call(path: str) -> H2Reply:
        headers = {"content-type": "application/grpc", "te": "trailers"}
        async with connected(port) as connection:
            client = H2Client(connection.reader, connection.writer)
            return await client.post("a.example", path, b"\0\0\0\0\0", headers)

    async with (
        h2_backend() as (backend_port, seen),
        plane.serving(
            gateway(http(port)),
            route("calls", rules, kind="GRPCRoute"),
            service("web", backend_port),
        ),
    ):
        assert (await call("/shop.Basket/Add")).trailers == {"grpc-status": "0"}
        assert (await call("/any.Service/Login")).trailers == {"grpc-status": "0"}
        assert _grpc_status(await call("/shop.Basket/Drop")) == "12"
        assert _grpc_status(await call("/shop.Order/Get")) == "14"  # UNAVAILABLE
    assert [request[":path"] for request in seen] == ["/shop.Basket/Add", "/any.Service/Login"]


def _grpc_status(reply: H2Reply) -> str:
    """Return the status of a call without an answer (gRPC, HTTP to gRPC Status Code Mapping)."""
    by_http = {404: "12", 429: "14", 502: "14", 503: "14", 504: "14"}
    return reply.headers.get("grpc-status") or by_http[reply.status]
