"""Strict-Transport-Security through a real Envoy: with HTTPS answers, and never without TLS."""

import asyncio

import pytest

from onehop.compile.policy import Policy
from onehop.compile.rule import claim_route
from onehop.model.address import Cidr
from onehop.model.ident import ObjectRef
from onehop.model.listener import ForwardHttp
from tests.driver_envoy.world import (
    HTTPS,
    connected,
    endpoint,
    envoy,
    free_port,
    get,
    host,
    identity,
    listener,
    members,
    pool,
    prefix,
    server_name,
    tcp_server,
    trusting,
)

pytestmark = pytest.mark.envoy

HSTS = "max-age=31536000; includeSubDomains; preload"
NAME = "www.a.example"


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (Policy(hsts=HSTS), 200),
        (Policy(hsts=HSTS, ssl_redirect=True), 200),
        (Policy(hsts=HSTS, deny_sources=(Cidr("127.0.0.0/8"),)), 403),
        (
            Policy(hsts=HSTS, response_headers_set=(("strict-transport-security", "max-age=1"),)),
            200,
        ),
    ],
    ids=["plain", "redirect", "denied", "set-by-hand"],
)
async def test_hsts_goes_with_https_answers_alone(policy: Policy, status: int) -> None:
    """Ours in place of the Pod's; also with answers of the load balancer itself (RFC 6797, 7)."""
    www, web = identity("www", NAME), pool()
    plain_port, tls_port = free_port(), free_port()
    claim = claim_route(
        ObjectRef("Ingress", "shop", "web"),
        policy,
        hostname=NAME,
        match=prefix("/"),
        pool=web.id,
        is_tls=True,
    )

    async with tcp_server(_answer) as port, envoy() as world:
        await world.serve(
            www.certificate,
            server_name(NAME, www),
            web,
            members(web, endpoint(port)),
            listener(plain_port),
            listener(tls_port, ForwardHttp(router=HTTPS, tls=True)),
            host(NAME, claim.route(tls=False)),
            host(NAME, claim.route(tls=True), router=HTTPS),
        )
        async with connected(tls_port, tls=trusting(www.chain_pem), sni=NAME) as client:
            secure = await client.ask(NAME)
        plain = await get(plain_port, NAME)

    assert (secure.status, secure.headers.get("strict-transport-security")) == (status, HSTS)
    assert "strict-transport-security" not in plain.headers


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as an application that says it itself, whatever the connection."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(
        b"HTTP/1.1 200 X\r\nstrict-transport-security: max-age=5\r\nconnection: close\r\n"
        b"content-length: 0\r\n\r\n"
    )
    await writer.drain()
    writer.close()
