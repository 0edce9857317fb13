"""TLS by server name, towards clients and endpoints, through a real Envoy."""

import ssl
import tempfile
from pathlib import Path

import pytest

from onehop.model.ident import RouterId
from onehop.model.listener import ForwardHttp, TlsPolicy
from onehop.model.model import Row
from onehop.model.pool import BackendTls
from onehop.model.route import Respond
from tests.driver_envoy.http2 import H2Client
from tests.driver_envoy.world import (
    HTTPS,
    Identity,
    World,
    backend,
    connected,
    envoy,
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
    until,
)

pytestmark = pytest.mark.envoy

TLS = ForwardHttp(router=HTTPS, tls=True)


async def shown(port: int, sni: str, *candidates: Identity) -> str | None:
    """Return which of the certificates a client gets for a name, or None if none at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with connected(port, tls=context, sni=sni) as client:
            der = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    except (ssl.SSLError, ConnectionError):
        return None
    pem = ssl.DER_cert_to_PEM_cert(der)
    return next(each.certificate.id for each in candidates if each.chain_pem == pem)


async def test_the_name_decides_which_certificate_is_shown() -> None:
    """Exact, then wildcard of one label, then `*`; without `*`, others fail at once."""
    www, wild, default = (
        identity("www", "www.a.example"),
        identity("wild", "*.a.example"),
        identity("default", "any.example"),
    )
    everything = (www, wild, default)
    port = free_port()
    rows: tuple[Row, ...] = (
        *(each.certificate for each in everything),
        server_name("www.a.example", www),
        server_name("*.a.example", wild),
        listener(port, TLS),
        host("www.a.example", route(Respond(status=200)), router=HTTPS),
    )
    async with envoy() as world:
        await world.serve(*rows)
        assert await shown(port, "www.a.example", *everything) == "shop/www"
        assert await shown(port, "WWW.A.example", *everything) == "shop/www"
        assert await shown(port, "api.a.example", *everything) == "shop/wild"
        assert await shown(port, "x.y.a.example", *everything) is None
        assert await shown(port, "other.example", *everything) is None
        assert await shown(port, "127.0.0.1", *everything) is None  # sends no name

        await world.serve(*rows, server_name("*", default))
        assert await shown(port, "other.example", *everything) == "shop/default"
        assert await shown(port, "x.y.a.example", *everything) == "shop/default"
        assert await shown(port, "127.0.0.1", *everything) == "shop/default"
        assert await shown(port, "www.a.example", *everything) == "shop/www"

        await world.serve(*rows)
        assert await shown(port, "other.example", *everything) is None


async def test_certificates_come_and_change_without_dropping_a_connection() -> None:
    """A renewed certificate is shown to the next client; open connections go on."""
    old, new = identity("www", "www.a.example"), identity("www", "www.a.example")
    port = free_port()
    rest = (
        server_name("www.a.example", old),
        listener(port, TLS),
        host("www.a.example", route(Respond(status=200)), router=HTTPS),
    )
    async with envoy() as world:
        await world.serve(old.certificate, *rest)
        context = trusting(old.chain_pem)
        async with connected(port, tls=context, sni="www.a.example") as client:
            assert (await client.ask("www.a.example")).status == 200

            more = identity("more", "more.example")
            for certificates in (
                (new.certificate,),
                (new.certificate, more.certificate, server_name("more.example", more)),
            ):
                await world.serve(*certificates, *rest)
                assert (await client.ask("www.a.example")).status == 200

        async with connected(port, tls=trusting(new.chain_pem), sni="www.a.example") as client:
            assert (await client.ask("www.a.example")).status == 200
        assert await shown(port, "more.example", more) == "shop/more"


async def test_a_host_of_another_router_is_not_found() -> None:
    """The https router serves its own hosts, whatever name the client said in the handshake."""
    www = identity("www", "www.a.example")
    port = free_port()
    async with envoy() as world:
        await world.serve(
            www.certificate,
            server_name("www.a.example", www),
            listener(port, TLS),
            host("www.a.example", route(Respond(status=200)), router=HTTPS),
            host("plain.example", route(Respond(status=200))),
        )
        context = trusting(www.chain_pem)
        async with connected(port, tls=context, sni="www.a.example") as client:
            assert (await client.ask("plain.example")).status == 404
            assert (await client.ask("www.a.example")).status == 200


async def test_the_intermediate_policy_speaks_tls_1_2_and_1_3_and_offers_http2() -> None:
    """It is the default. Mozilla's list of TLS 1.2 and no more; ALPN chooses h2."""
    www = identity("www", "www.a.example")
    port = free_port()
    async with envoy() as world:
        await world.serve(*_one_host(www, port, TLS))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(www.chain_pem, alpn=("h2", "http/1.1"))
            context.minimum_version = context.maximum_version = version
            async with connected(port, tls=context, sni="www.a.example") as client:
                assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
                speaker = H2Client(client.reader, client.writer)
                reply = await speaker.post("www.a.example", "/", b"", {}, scheme="https")
                assert reply.status == 200
        for cipher in _OLD_CIPHERS:
            with pytest.raises(ssl.SSLError):
                await _agreed(port, www, cipher)


async def test_the_client_chooses_among_the_ciphers_of_tls_1_2() -> None:
    """A telephone without AES instructions asks for ChaCha20 first, and gets it."""
    www = identity("www", "www.a.example")
    port = free_port()
    chacha, aes = "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384"
    async with envoy() as world:
        await world.serve(*_one_host(www, port, TLS))

        assert await _agreed(port, www, f"{chacha}:{aes}") == chacha
        assert await _agreed(port, www, f"{aes}:{chacha}") == aes


async def test_the_modern_policy_speaks_tls_1_3_alone() -> None:
    """A client of TLS 1.2 is turned away; and the policy may change while it runs."""
    www = identity("www", "www.a.example")
    port = free_port()
    modern = ForwardHttp(router=HTTPS, tls=True, tls_policy=TlsPolicy.MODERN)
    async with envoy() as world:
        await world.serve(*_one_host(www, port, modern))
        context = trusting(www.chain_pem)
        async with connected(port, tls=context, sni="www.a.example") as client:
            assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        with pytest.raises(ssl.SSLError):
            await _agreed(port, www, "ECDHE-ECDSA-AES128-GCM-SHA256")

        await world.serve(*_one_host(www, port, TLS))

        async def is_spoken() -> bool:
            try:
                return bool(await _agreed(port, www, "ECDHE-ECDSA-AES128-GCM-SHA256"))
            except ssl.SSLError:
                return False

        await until(is_spoken)


_OLD_CIPHERS = (
    "ECDHE-ECDSA-AES128-SHA256",  # CBC
    "ECDHE-ECDSA-AES256-SHA",  # CBC and SHA-1
    "AES128-GCM-SHA256",  # no forward secrecy
)


async def _agreed(port: int, www: Identity, ciphers: str) -> str:
    """Return the cipher suite of a TLS 1.2 connection by a client that offers only these."""
    context = trusting(www.chain_pem)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    async with connected(port, tls=context, sni="www.a.example") as client:
        name: str = client.writer.get_extra_info("cipher")[0]
        return name


def _one_host(www: Identity, port: int, handler: ForwardHttp) -> tuple[Row, ...]:
    return (
        www.certificate,
        server_name("www.a.example", www),
        listener(port, handler),
        host("www.a.example", route(Respond(status=200)), router=HTTPS),
    )


async def test_routers_may_want_different_certificates_for_one_name() -> None:
    """Two Gateways, each with a default certificate: each shows its own, whoever came first."""
    first, second, third = identity("a", "x.a"), identity("b", "x.b"), identity("c", "x.c")
    everything = (first, second, third)
    other = RouterId("gateway/shop/other")
    here, there = free_port(), free_port()
    rows: tuple[Row, ...] = (
        *(each.certificate for each in everything),
        server_name("*", first),
        server_name("www.a.example", third),
        server_name("*", second, router=other),
        listener(here, TLS),
        listener(there, ForwardHttp(router=other, tls=True)),
        host("*", route(Respond(status=200)), router=HTTPS),
        host("*", route(Respond(status=200)), router=other),
    )
    async with envoy() as world:
        await world.serve(*rows)
        for name in ("any.example", "127.0.0.1"):
            assert await shown(here, name, *everything) == "shop/a"
            assert await shown(there, name, *everything) == "shop/b"
        assert await shown(here, "www.a.example", *everything) == "shop/c"
        assert await shown(there, "www.a.example", *everything) == "shop/b"

        await world.serve(*(row for row in rows if row != server_name("*", first)))
        assert await shown(there, "any.example", *everything) == "shop/b"


async def test_endpoints_are_asked_over_tls() -> None:
    """A pool with a CA demands it and the name; one without takes any certificate."""
    good = identity("good", "backend.example")
    port = free_port()
    asked = {
        "right.example": BackendTls(ca_pem=good.chain_pem, server_name="backend.example"),
        "any.example": BackendTls(),
        "name.example": BackendTls(ca_pem=good.chain_pem, server_name="other.example"),
        "ca.example": BackendTls(
            ca_pem=identity("x", "backend.example").chain_pem, server_name="backend.example"
        ),
    }
    pools = {name: pool(name.partition(".")[0], tls=tls) for name, tls in asked.items()}
    async with backend("one", tls=_server_context(good)) as one, envoy() as world:
        await world.serve(
            *pools.values(),
            *(members(each, one.endpoint) for each in pools.values()),
            listener(port),
            *(host(name, route(forward(each))) for name, each in pools.items()),
        )
        statuses = {name: await _status(port, name) for name in asked}

    assert statuses == {
        "right.example": 200,
        "any.example": 200,
        "name.example": 503,
        "ca.example": 503,
    }


async def test_names_that_clients_invent_are_forgotten() -> None:
    """What nobody serves is answered and dropped again: on Envoy's side and on ours."""
    www = identity("www", "www.a.example")
    port = free_port()
    async with envoy() as world:
        await world.serve(www.certificate, server_name("www.a.example", www), listener(port, TLS))
        for number in range(20):
            assert await shown(port, f"{number}.invented.example", www) is None

        async def is_forgotten() -> bool:
            return _demanded(world) == 0

        await until(is_forgotten)


def _demanded(world: World) -> int:
    return world.driver.names_asked_for


async def _status(port: int, name: str) -> int:
    async with connected(port) as client:
        return (await client.ask(name)).status


def _server_context(of: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.pem"
        file.write_text(of.chain_pem + of.certificate.key_pem.reveal)
        context.load_cert_chain(file)
    return context
