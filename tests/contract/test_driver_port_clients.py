"""Clients' certificates for a whole port, by every data plane that carries traffic."""

import pytest

from onehop.model.listener import ForwardHttp, Passthrough, PortCheck
from onehop.model.pool import BackendProtocol
from tests.contract.drivers import RunningDriver
from tests.contract.scene import named
from tests.contract.test_driver_streams import said
from tests.contract.test_driver_tls import loaded, unchecking
from tests.contract.traffic import serve
from tests.driver_envoy.world import (
    HTTPS,
    SERVICE,
    Backend,
    Identity,
    backend,
    connected,
    endpoint,
    forward,
    free_port,
    headers_of,
    host,
    identity,
    listener,
    members,
    pool,
    route,
    server_name,
)

SITE = identity("site", "a.example")
ALICE, BOB, MALLORY = (identity(name, f"{name}.client") for name in ("alice", "bob", "mallory"))
WEB, STREAM = pool("web"), pool("stream", protocol=BackendProtocol.TCP)
TOLD = "x-forwarded-client-cert"
ENDED = Passthrough(hostname="ended.example", owner=SERVICE, pool=STREAM.id, ends_tls=True)


@pytest.mark.parametrize("streams", [(), (ENDED,)], ids=["https", "mixed"])
async def test_a_port_lets_clients_in_by_what_they_show(
    serving: RunningDriver, streams: tuple[Passthrough, ...]
) -> None:
    """Backends are told of good certificates alone; another CA counts; streams ask for none."""
    port = free_port()
    async with backend("web") as web, named("stream") as inside, serving() as driver:
        rows = (
            *(WEB, members(WEB, web.endpoint), STREAM, members(STREAM, endpoint(inside))),
            *(SITE.certificate, server_name("*", SITE)),
            host("*", route(forward(WEB)), router=HTTPS),
        )

        async def checking(ca_pem: str, *, is_required: bool) -> None:
            check = PortCheck(ca_pem=ca_pem, is_required=is_required)
            handler = ForwardHttp(router=HTTPS, tls=True, clients=check, passthroughs=streams)
            await serve(driver, *rows, listener(port, handler))

        await checking(ALICE.chain_pem, is_required=True)
        assert await told(port, web, ALICE) == "alice"
        assert await told(port, web, MALLORY) is None
        assert await told(port, web, None) is None
        await checking(ALICE.chain_pem + BOB.chain_pem, is_required=True)
        assert [await told(port, web, each) for each in (ALICE, BOB)] == ["alice", "bob"]
        await checking(BOB.chain_pem, is_required=True)
        assert [await told(port, web, each) for each in (ALICE, BOB)] == [None, "bob"]
        await checking(BOB.chain_pem, is_required=False)
        assert [await told(port, web, each) for each in (BOB, MALLORY, None)] == [""] * 3
        if streams:
            assert await said(port, "ended.example") == "stream"


async def told(port: int, web: Backend, client: Identity | None) -> str | None:
    """Return whose certificate a backend is told of; None if the client is turned away."""
    context = unchecking() if client is None else loaded(unchecking(), client)
    try:
        async with connected(port, tls=context, sni="a.example") as connection:
            reply = await connection.ask("a.example", headers={TOLD: "Subject=spoofed"})
    except (OSError, EOFError):
        return None
    assert reply.status == 200
    said_of = headers_of(web.requests[-1]).get(TOLD, "")
    return next((name for name in ("alice", "bob", "mallory", "spoofed") if name in said_of), "")
