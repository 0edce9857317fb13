"""Answers to CAs that look just now, by TLS-ALPN-01 and by HTTP-01, through a real Envoy."""

import asyncio
import ssl
import tempfile
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from onehop.model.certificate import Certificate, challenge_certificate
from onehop.model.ident import RouterId
from onehop.model.listener import ClientCheck, ForwardHttp, Passthrough, TlsChallenge, TlsPolicy
from onehop.model.model import Row
from onehop.model.route import Respond
from tests.driver_envoy.world import (
    HTTPS,
    SERVICE,
    Identity,
    backend,
    challenge,
    connected,
    endpoint,
    envoy,
    exact,
    forward,
    free_port,
    get,
    host,
    identity,
    listener,
    members,
    pool,
    prefix,
    route,
    server_name,
    tcp_server,
    trusting,
    until,
)

pytestmark = pytest.mark.envoy

WWW, SAFE, PASSED, UNDER, NEW = (
    "www.example.com",
    "safe.example.com",
    "passed.example.com",
    "a.wild.example.com",
    "new.example.net",
)
SITE = identity("site", WWW, SAFE)
CA = "acme-tls/1"


class Seen(NamedTuple):
    """What a client saw of a handshake.

    Attributes:
        ends: whether the server closed the connection and said nothing before.
    """

    der: bytes
    protocol: str | None
    ends: bool = False


def entry(port: int, *shown: Certificate, **fields: object) -> Row:
    """Return the listener of the site while CAs look."""
    names = sorted(each.id.removeprefix(challenge_certificate("")) for each in shown)
    challenges = tuple(
        TlsChallenge(hostname=name, certificate=challenge_certificate(name)) for name in names
    )
    handler = ForwardHttp(router=HTTPS, tls=True, challenges=challenges)
    return listener(port, msgspec.structs.replace(handler, **fields))


def site(certificate: Identity = SITE) -> tuple[Row, ...]:
    """Return two hosts with HTTPS."""
    return (
        certificate.certificate,
        *(server_name(name, certificate) for name in (WWW, SAFE)),
        *(host(name, route(Respond(status=200)), router=HTTPS) for name in (WWW, SAFE)),
    )


async def look(
    port: int, sni: str, *alpn: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Seen | None:
    """Shake hands as a CA or a browser does; None if the server does not want to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(list(alpn))
    try:
        async with connected(port, tls=context, sni=sni) as client:
            session = client.writer.get_extra_info("ssl_object")
            der = session.getpeercert(binary_form=True)
            seen = Seen(der, session.selected_alpn_protocol())
            if seen.protocol == CA:
                async with asyncio.timeout(30):
                    seen = seen._replace(ends=await client.reader.read() == b"")
            return seen
    except (ssl.SSLError, ConnectionError):
        return None


def der(certificate: Certificate) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.chain_pem)


async def test_a_ca_sees_the_certificate_of_its_challenge() -> None:
    """By ALPN and name, also of a host without HTTPS so far; the connection ends there."""
    port = free_port()
    www, new = challenge(WWW), challenge(NEW)
    modern = TlsPolicy.MODERN
    async with envoy() as world:
        await world.serve(*site(), www, new, entry(port, www, new, tls_policy=modern))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for certificate, name in ((www, WWW), (new, NEW)):
                seen = await look(port, name, CA, version=version)
                assert seen == Seen(der(certificate), CA, ends=True)

        again = challenge(WWW)
        await world.serve(*site(), again, new, entry(port, again, new))
        assert await look(port, WWW, CA) == Seen(der(again), CA, ends=True)
        assert await look(port, NEW, CA) == Seen(der(new), CA, ends=True)


async def test_nobody_else_sees_anything_of_a_challenge() -> None:
    """Clients with h2, http/1.1 or no ALPN get the host's own certificate and its answers."""
    port = free_port()
    www = challenge(WWW)
    async with envoy() as world:
        await world.serve(*site(), www, entry(port, www))
        for offers in ((), ("h2",), ("h2", "http/1.1"), ("http/1.1",)):
            seen = await look(port, WWW, *offers)
            expected = offers[0] if offers else None
            assert seen == Seen(der(SITE.certificate), expected)
        async with connected(port, tls=trusting(SITE.chain_pem), sni=WWW) as client:
            assert (await client.ask(WWW)).status == 200
        assert await look(port, NEW, "h2") is None


async def test_a_challenge_finds_hosts_that_have_chains_of_their_own() -> None:
    """Client certificates are not asked of a CA; what is passed through is so but for its ALPN."""
    port = free_port()
    shown = tuple(challenge(name) for name in (PASSED, SAFE, UNDER, WWW))
    tenant = identity("tenant", PASSED, UNDER)
    check = ClientCheck(
        hostname=SAFE, router=RouterId(f"{HTTPS}:{SAFE}"), ca_pem=identity("ca", "ca").chain_pem
    )
    behind = pool("behind")
    passed = (
        Passthrough(hostname="*.wild.example.com", owner=SERVICE, pool=behind.id),
        Passthrough(hostname=PASSED, owner=SERVICE, pool=behind.id),
    )

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with tcp_server(hold, tls=_serving(tenant)) as backend_port, envoy() as world:
        await world.serve(
            *site(),
            *shown,
            behind,
            members(behind, endpoint(backend_port)),
            entry(port, *shown, client_checks=(check,), passthroughs=passed),
        )
        for certificate, name in zip(shown, (PASSED, SAFE, UNDER, WWW), strict=True):
            assert await look(port, name, CA) == Seen(der(certificate), CA, ends=True)
        for name in (PASSED, UNDER):
            seen = await look(port, name, "h2")
            assert seen is not None
            assert seen.der == der(tenant.certificate)
        assert await look(port, SAFE, version=ssl.TLSVersion.TLSv1_2) is None
        seen = await look(port, WWW, "h2")
        assert seen is not None
        assert seen.der == der(SITE.certificate)


async def test_a_challenge_finds_the_hosts_of_a_router_that_lists_its_names() -> None:
    """Where two routers want different certificates for one name, and names are wildcards."""
    port, there = free_port(), free_port()
    other = RouterId("gateway/shop/other")
    wild, rival = identity("wild", "*.example.com"), identity("rival", WWW)
    www, safe = challenge(WWW), challenge(SAFE)
    named = (
        *(wild.certificate, rival.certificate),
        *(server_name("*.example.com", wild), server_name("*.example.com", rival, other)),
        server_name(WWW, rival, other),
    )
    async with envoy() as world:
        await world.serve(*named, entry(there, router=other), entry(port))

        async def is_there() -> bool:
            return await look(there, SAFE, "h2") == Seen(der(rival.certificate), "h2")

        await until(is_there)
        await world.serve(
            *named, www, safe, entry(there, www, safe, router=other), entry(port, www)
        )
        assert await look(there, SAFE, CA) == Seen(der(safe), CA, ends=True)
        assert await look(there, WWW, CA) == Seen(der(www), CA, ends=True)
        seen = await look(there, SAFE, "h2")
        assert seen is not None
        assert seen.der == der(rival.certificate)
        assert await look(port, WWW, CA) == Seen(der(www), CA, ends=True)


async def test_challenges_come_and_go_without_dropping_a_connection() -> None:
    """Neither of the host they are for nor of another one, opened before or meanwhile."""
    port = free_port()
    www, safe = challenge(WWW), challenge(SAFE)
    context = trusting(SITE.chain_pem)
    async with envoy(drain_grace_s=0.1) as world:
        await world.serve(*site(), entry(port))
        async with (
            connected(port, tls=context, sni=WWW) as early,
            connected(port, tls=context, sni=SAFE) as other,
        ):
            await world.serve(*site(), www, entry(port, www))
            async with connected(port, tls=context, sni=WWW) as meanwhile:
                for shown in ((www, safe), (safe,), ()):
                    await world.serve(*site(), *shown, entry(port, *shown))
                    for client in (early, other, meanwhile):
                        name = SAFE if client is other else WWW
                        reply = await client.ask(name)
                        assert (reply.status, reply.headers.get("connection")) == (200, None)
        assert await look(port, WWW, CA) == Seen(der(SITE.certificate), None)


async def test_a_live_token_is_answered_and_any_other_is_the_tenants() -> None:
    """Also within a wildcard's host, where the answer is for one name alone."""
    port, web = free_port(), pool()
    path = "/.well-known/acme-challenge"
    live = route(Respond(status=200, body="live.thumbprint"), exact(f"{path}/live"))
    narrow = msgspec.structs.replace(live, hostname="www.example.net")
    tenant = route(forward(web), prefix(path))
    async with backend("tenant") as one, envoy() as world:
        await world.serve(
            web,
            members(web, one.endpoint),
            listener(port),
            host(WWW, live, tenant),
            host("*.example.net", narrow, tenant),
            host("*", narrow),
        )
        for name, where, status, body in (
            (WWW, "live", 200, "live.thumbprint"),
            (f"{WWW}:80", "live", 200, "live.thumbprint"),
            (WWW, "live?x=1", 200, "live.thumbprint"),
            (WWW, "other", 200, "tenant"),
            (WWW, "live/more", 200, "tenant"),
            ("www.example.net", "live", 200, "live.thumbprint"),
            ("WWW.example.net:8080", "live", 200, "live.thumbprint"),
            ("www.example.net", "other", 200, "tenant"),
            ("api.example.net", "live", 200, "tenant"),
            ("www.www.example.net", "live", 200, "tenant"),
            ("wwwxexample.net", "live", 404, ""),
        ):
            reply = await get(port, name, f"{path}/{where}")
            assert (reply.status, reply.body) == (status, body), (name, where)


def _serving(of: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.pem"
        file.write_text(of.chain_pem + of.certificate.key_pem.reveal)
        context.load_cert_chain(file)
    return context
