"""TLS by every data plane: certificates by name, challenges, passthrough, client checks."""

import asyncio
import ssl
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from onehop.model.address import Cidr
from onehop.model.ident import RouterId
from onehop.model.listener import (
    ClientCheck,
    ForwardHttp,
    Passthrough,
    TlsChallenge,
    TlsPolicy,
)
from onehop.model.model import Row
from onehop.model.pool import BackendProtocol, BackendTls
from onehop.model.route import Respond
from tests.contract.drivers import RunningDriver
from tests.contract.traffic import serve
from tests.driver_envoy.world import (
    HTTPS,
    SERVICE,
    Backend,
    Identity,
    backend,
    challenge,
    connected,
    forward,
    free_port,
    host,
    identity,
    listener,
    members,
    pool,
    route,
    server_name,
    trusting,
)

TLS = ForwardHttp(router=HTTPS, tls=True)
PASSED, ENDED = "passed.example", "ended.example"
POD = identity("pod", PASSED, "*.wild.example")
SITE = identity("site", ENDED, "own.wild.example")
STREAM = pool("stream", protocol=BackendProtocol.TCP)
ACME = "acme-tls/1"


async def test_the_name_decides_which_certificate_is_shown(serving: RunningDriver) -> None:
    """Exact, then wildcard of one label, then `*`; they come, change and go while it serves."""
    port = free_port()
    www, wild, default, new = (
        identity("www", "www.a.example"),
        identity("wild", "*.a.example"),
        identity("default", "any.example"),
        identity("new", "www.a.example"),
    )
    answer = host("*", route(Respond(status=200)), router=HTTPS)
    everybody = (www, wild, default, new)
    certificates = [each.certificate for each in everybody]
    others = (server_name("*.a.example", wild), server_name("*", default))
    async with serving() as driver:
        for name_of_www, expected in ((www, www), (new, new), (None, wild)):
            names = (server_name("www.a.example", name_of_www),) if name_of_www else ()
            await serve(driver, *certificates, *names, *others, listener(port, TLS), answer)
            assert await shown(port, "www.a.example", *everybody) == expected.certificate.id
            assert await shown(port, "api.a.example", *everybody) == "shop/wild"
            assert await shown(port, "x.y.a.example", *everybody) == "shop/default"
        await serve(driver, *certificates, others[0], listener(port, TLS), answer)
        assert await shown(port, "other.example", *everybody) is None


@pytest.mark.parametrize("policy", TlsPolicy)
async def test_a_policy_decides_on_versions(serving: RunningDriver, policy: TlsPolicy) -> None:
    """TLS 1.3 always, TLS 1.2 with `intermediate` alone; HTTP/2 is offered."""
    port = free_port()
    handler = ForwardHttp(router=HTTPS, tls=True, tls_policy=policy)
    async with serving() as driver:
        await serve(
            driver,
            *(SITE.certificate, server_name(ENDED, SITE), listener(port, handler)),
            host(ENDED, route(Respond(status=200)), router=HTTPS),
        )
        for version, works in (
            (ssl.TLSVersion.TLSv1_3, True),
            (ssl.TLSVersion.TLSv1_2, policy is TlsPolicy.INTERMEDIATE),
        ):
            context = trusting(SITE.chain_pem, alpn=("h2", "http/1.1"))
            context.maximum_version = version
            assert await chosen(port, ENDED, context) == ("h2" if works else None)


async def test_a_ca_sees_the_certificate_of_its_challenge(serving: RunningDriver) -> None:
    """By ALPN and name, with and without a host there; others see what they saw."""
    port = free_port()
    first, second = (challenge(name) for name in (ENDED, "new.example"))
    challenges = tuple(
        TlsChallenge(hostname=name, certificate=each.id)
        for name, each in ((ENDED, first), ("new.example", second))
    )
    handler = ForwardHttp(router=HTTPS, tls=True, challenges=challenges)
    rest: tuple[Row, ...] = (
        SITE.certificate,
        server_name(ENDED, SITE),
        host(ENDED, route(Respond(status=200, body="site")), router=HTTPS),
    )
    async with serving() as driver:
        await serve(driver, *rest, first, second, listener(port, handler))
        for name, certificate in ((ENDED, first), ("new.example", second)):
            context = unchecking()
            context.set_alpn_protocols([ACME])
            async with connected(port, tls=context, sni=name) as client:
                session = client.writer.get_extra_info("ssl_object")
                seen = session.getpeercert(binary_form=True)
                assert seen == ssl.PEM_cert_to_DER_cert(certificate.chain_pem)
                assert session.selected_alpn_protocol() == ACME
                async with asyncio.timeout(30):
                    assert await client.reader.read() == b""
        assert await body(port, ENDED, SITE) == "site"

        await serve(driver, *rest, listener(port, TLS))
        assert await body(port, ENDED, SITE) == "site"


async def test_the_pod_ends_the_tls_of_its_host_and_we_that_of_others(
    serving: RunningDriver,
) -> None:
    """A wildcard is one label, and leaves alone what others end; networks are let in or not."""
    port, web = free_port(), pool()
    passed = (
        Passthrough(hostname=PASSED, owner=SERVICE, pool=STREAM.id, deny=(Cidr("127.0.0.9/32"),)),
        Passthrough(
            hostname="*.wild.example",
            owner=SERVICE,
            pool=STREAM.id,
            exceptions=("own.wild.example",),
        ),
        Passthrough(hostname="closed.example", owner=SERVICE, pool=None),
    )
    handler = ForwardHttp(router=HTTPS, tls=True, passthroughs=passed)
    names = (ENDED, "own.wild.example")
    async with pod_with_tls() as pod, backend("site") as site, serving() as driver:
        await serve(
            driver,
            *(STREAM, members(STREAM, pod.endpoint), web, members(web, site.endpoint)),
            SITE.certificate,
            *(server_name(name, SITE) for name in names),
            *(host(name, route(forward(web)), router=HTTPS) for name in names),
            listener(port, handler),
        )
        assert await body(port, PASSED, POD) == "pod"
        assert await body(port, PASSED.upper(), POD) == "pod"
        assert await body(port, "a.wild.example", POD) == "pod"
        assert await body(port, PASSED, POD, source="127.0.0.9") is None
        assert await body(port, "closed.example", POD) is None
        assert await body(port, ENDED, SITE) == "site"
        assert await body(port, "own.wild.example", SITE, source="127.0.0.7") == "site"
        assert "x-real-ip: 127.0.0.7\r\n" in site.requests[-1]
        assert "x-forwarded-proto: https\r\n" in site.requests[-1]
        assert f"x-forwarded-port: {port}\r\n" in site.requests[-1]


async def test_a_host_lets_in_clients_with_a_good_certificate_alone(
    serving: RunningDriver,
) -> None:
    """Its connections have a router of their own; other hosts ask for nothing."""
    port, own = free_port(), RouterId(f"{HTTPS}:{ENDED}")
    alice, mallory = identity("alice", "alice.client"), identity("mallory", "mallory.client")
    site = identity("site", ENDED, "open.example")
    check = ClientCheck(hostname=ENDED, router=own, ca_pem=alice.chain_pem)
    handler = ForwardHttp(router=HTTPS, tls=True, client_checks=(check,))
    async with serving() as driver:
        await serve(
            driver,
            *(site.certificate, server_name(ENDED, site), server_name("open.example", site)),
            listener(port, handler),
            host("*", route(Respond(status=200, body="open")), router=HTTPS),
            host(ENDED, route(Respond(status=200, body="safe")), router=own),
        )
        assert await body(port, ENDED, site, shows=alice) == "safe"
        assert await body(port, ENDED, site) is None
        assert await body(port, ENDED, site, shows=mallory) is None
        assert await body(port, "open.example", site) == "open"
        assert await body(port, "open.example", site, asks=ENDED) == "open"


async def test_endpoints_are_asked_over_tls(serving: RunningDriver) -> None:
    """Of the name and the CA that the pool demands; of any, if it demands nothing."""
    port = free_port()
    cases = {
        "good": (BackendTls(ca_pem=POD.chain_pem, server_name=PASSED), 200),
        "name": (BackendTls(ca_pem=POD.chain_pem, server_name="other.example"), 503),
        "ca": (BackendTls(ca_pem=SITE.chain_pem, server_name=PASSED), 503),
        "any": (BackendTls(), 200),
    }
    pools = {name: pool(name, tls=tls) for name, (tls, _) in cases.items()}
    async with pod_with_tls() as pod, serving() as driver:
        await serve(
            driver,
            *pools.values(),
            *(members(each, pod.endpoint) for each in pools.values()),
            *(host(f"{name}.example", route(forward(each))) for name, each in pools.items()),
            listener(port),
        )
        for name, (_, status) in cases.items():
            async with connected(port) as client:
                assert (await client.ask(f"{name}.example")).status == status, name


async def shown(port: int, sni: str, *candidates: Identity) -> str | None:
    """Return which of the certificates a client gets for a name, or None if none at all."""
    try:
        async with connected(port, tls=unchecking(), sni=sni) as client:
            der = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    except (ssl.SSLError, ConnectionError):
        return None
    pem = ssl.DER_cert_to_PEM_cert(der)
    return next(each.certificate.id for each in candidates if each.chain_pem == pem)


async def chosen(port: int, sni: str, context: ssl.SSLContext) -> str | None:
    """Return the protocol that the server chooses, or None if there is no connection."""
    try:
        async with connected(port, tls=context, sni=sni) as client:
            protocol: str | None = client.writer.get_extra_info(
                "ssl_object"
            ).selected_alpn_protocol()
            return protocol
    except (ssl.SSLError, ConnectionError):
        return None


async def body(
    port: int,
    name: str,
    of: Identity,
    *,
    shows: Identity | None = None,
    asks: str | None = None,
    **options: Any,
) -> str | None:
    """Return the answer to one who trusts a certificate, or None if there is no connection."""
    context = trusting(of.chain_pem)
    if shows is not None:
        loaded(context, shows)
    try:
        async with connected(port, tls=context, sni=name, **options) as client:
            return (await client.ask(asks or name.lower())).body
    except (ssl.SSLError, ConnectionError, EOFError):
        return None


@asynccontextmanager
async def pod_with_tls(clients: Identity | None = None) -> AsyncGenerator[Backend]:
    """An endpoint that ends TLS itself, and wants to be shown the certificate of `clients`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    loaded(context, POD)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.chain_pem)
    async with backend("pod", tls=context) as served:
        yield served


def loaded(context: ssl.SSLContext, of: Identity) -> ssl.SSLContext:
    """Return the context, which now has a certificate to show."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.pem"
        file.write_text(of.chain_pem + of.certificate.key_pem.reveal)
        context.load_cert_chain(file)
    return context


def unchecking() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
