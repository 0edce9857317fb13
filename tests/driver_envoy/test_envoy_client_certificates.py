"""Clients that show certificates, host by host, through a real Envoy."""

import ssl
import tempfile
from pathlib import Path

import pytest

from onehop.model.ident import RouterId
from onehop.model.listener import ClientCheck, ForwardHttp
from onehop.model.model import Row
from onehop.model.route import Respond
from tests.driver_envoy.http2 import H2Client
from tests.driver_envoy.world import (
    HTTPS,
    Backend,
    Identity,
    Reply,
    backend,
    connected,
    envoy,
    forward,
    free_port,
    get,
    headers_of,
    host,
    identity,
    listener,
    members,
    pool,
    route,
    server_name,
    trusting,
    until,
)

pytestmark = pytest.mark.envoy

OPEN, SAFE, OTHER = "open.example", "safe.example", "other.example"
SITE = identity("site", OPEN, SAFE, OTHER)
ALICE = identity("alice", "alice.client")
MALLORY = identity("mallory", "alice.client")
MISDIRECTED = Respond(status=421)


def check(hostname: str, ca: Identity, *, is_required: bool = True) -> ClientCheck:
    return ClientCheck(
        hostname=hostname,
        router=RouterId(f"{HTTPS}:{hostname}"),
        ca_pem=ca.chain_pem,
        is_required=is_required,
    )


def rows(port: int, plain_port: int, one: Backend, *checks: ClientCheck) -> tuple[Row, ...]:
    """Return a site of three hosts, and what keeps connections and hosts together."""
    web = pool()
    answer = route(forward(web))
    checked = {each.hostname: each.router for each in checks}
    return (
        SITE.certificate,
        *(server_name(name, SITE) for name in (OPEN, SAFE, OTHER)),
        web,
        members(web, one.endpoint),
        listener(port, ForwardHttp(router=HTTPS, tls=True, client_checks=checks)),
        listener(plain_port),
        host(OPEN, answer),
        *(
            host(name, route(MISDIRECTED) if name in checked else answer, router=HTTPS)
            for name in (OPEN, SAFE, OTHER)
        ),
        *(host(name, answer, router=router) for name, router in checked.items()),
        *(host("*", route(MISDIRECTED), router=router) for router in checked.values()),
    )


async def ask(
    port: int, name: str, shows: Identity | None = None, *, sni: str | None = None, **headers: str
) -> Reply | None:
    """Return the answer on a new connection, or None if there is none to be had on it."""
    try:
        async with connected(port, tls=_context(shows), sni=sni or name) as client:
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            return await client.ask(name, headers=named)
    except (ssl.SSLError, ConnectionError, EOFError):
        return None


async def status(port: int, name: str, shows: Identity | None = None) -> int | None:
    reply = await ask(port, name, shows)
    return reply.status if reply else None


async def test_a_host_lets_in_clients_with_a_good_certificate_alone() -> None:
    """Without one, or with one of somebody else, there is no connection; other hosts ask none."""
    port, plain_port = free_port(), free_port()
    async with backend("one") as one, envoy() as world:
        await world.serve(*rows(port, plain_port, one, check(SAFE, ALICE)))

        assert await status(port, SAFE, ALICE) == 200
        assert await status(port, SAFE.upper(), ALICE) == 200
        assert await status(port, SAFE) is None
        assert await status(port, SAFE, MALLORY) is None
        assert await status(port, OPEN) == 200


async def test_a_certificate_may_be_shown_or_not_where_it_is_optional() -> None:
    """A bad one is refused all the same."""
    port, plain_port = free_port(), free_port()
    async with backend("one") as one, envoy() as world:
        await world.serve(*rows(port, plain_port, one, check(SAFE, ALICE, is_required=False)))

        assert await status(port, SAFE) == 200
        assert await status(port, SAFE, ALICE) == 200
        assert await status(port, SAFE, MALLORY) is None


async def test_applications_hear_of_the_certificate_from_us_alone() -> None:
    """What a client says of its certificate is thrown away: with one, without, and over HTTP."""
    port, plain_port = free_port(), free_port()
    forged = 'Hash=00;Subject="CN=root"'
    async with backend("one") as one, envoy() as world:
        optional = check(SAFE, ALICE, is_required=False)
        await world.serve(*rows(port, plain_port, one, optional))
        await ask(port, SAFE, ALICE, x_forwarded_client_cert=forged)
        await ask(port, SAFE, x_forwarded_client_cert=forged)
        await ask(port, OPEN, x_forwarded_client_cert=forged)
        await get(plain_port, OPEN, x_forwarded_client_cert=forged)

        told = [headers_of(head).get("x-forwarded-client-cert") for head in one.requests]
    expected = f'Hash={ALICE.certificate.fingerprint};Subject="CN=alice";URI=;DNS=alice.client'
    assert told == [expected, None, None, None]


async def test_a_connection_for_one_host_gets_nothing_of_another() -> None:
    """Neither past a check nor from one host that checks to another one: 421 (RFC 9110)."""
    port, plain_port = free_port(), free_port()
    async with backend("one") as one, envoy() as world:
        checks = (check(OTHER, MALLORY), check(SAFE, ALICE))
        await world.serve(*rows(port, plain_port, one, *checks))

        past = await ask(port, SAFE, sni=OPEN)
        across = await ask(port, SAFE, MALLORY, sni=OTHER)
        out = await ask(port, OPEN, ALICE, sni=SAFE)
        nameless = await ask(port, SAFE, sni="127.0.0.1")
        async with connected(port, tls=_context(None, "h2"), sni=OPEN) as client:
            speaker = H2Client(client.reader, client.writer)
            replies = [
                (await speaker.post(name, "/", b"", {}, scheme="https")).status
                for name in (OPEN, SAFE)
            ]

        assert len(one.requests) == 1
    assert [reply.status if reply else None for reply in (past, across, out)] == [421] * 3
    assert nameless is None
    assert replies == [200, 421]


async def test_a_check_comes_and_goes_without_dropping_others_connections() -> None:
    """Only connections of the host itself end, for they were made without the check."""
    port, plain_port = free_port(), free_port()
    async with backend("one") as one, envoy(drain_grace_s=0.1) as world:
        await world.serve(*rows(port, plain_port, one, check(OTHER, ALICE)))
        async with (
            connected(port, tls=_context(None), sni=OPEN) as client,
            connected(port, tls=_context(ALICE), sni=OTHER) as checked,
        ):
            for checks in (
                (check(OTHER, ALICE), check(SAFE, ALICE)),
                (check(OTHER, ALICE), check(SAFE, MALLORY)),
                (check(OTHER, ALICE),),
            ):
                await world.serve(*rows(port, plain_port, one, *checks))
                for name, speaker in ((OPEN, client), (OTHER, checked)):
                    reply = await speaker.ask(name)
                    assert (reply.status, reply.headers.get("connection")) == (200, None)

        async def is_open() -> bool:
            return await status(port, SAFE) == 200

        await until(is_open)


async def test_a_router_that_lists_its_names_checks_them_as_well() -> None:
    """Two routers that want different certificates for one name have chains of their own."""
    port, plain_port, there = free_port(), free_port(), free_port()
    other = RouterId("gateway/shop/other")
    async with backend("one") as one, envoy() as world:
        checks = (check("nameless.example", ALICE), check(SAFE, ALICE))
        await world.serve(
            *rows(port, plain_port, one, *checks),
            MALLORY.certificate,
            server_name(OPEN, MALLORY, router=other),
            listener(there, ForwardHttp(router=other, tls=True)),
            host("*", route(Respond(status=200)), router=other),
        )

        assert await status(port, SAFE) is None
        assert await status(port, SAFE, ALICE) == 200
        assert await status(port, OTHER) == 200
        assert await status(port, "nameless.example", ALICE) is None


def _context(shows: Identity | None, alpn: str = "http/1.1") -> ssl.SSLContext:
    context = trusting(SITE.chain_pem, alpn=(alpn,))
    context.check_hostname = False
    if shows is not None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pair.pem"
            file.write_text(shows.chain_pem + shows.certificate.key_pem.reveal)
            context.load_cert_chain(file)
    return context
