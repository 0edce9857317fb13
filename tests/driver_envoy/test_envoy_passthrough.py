"""TLS that is passed through by SNI, beside TLS that ends here, through a real Envoy."""

import asyncio
import ssl
import tempfile
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from onehop.model.address import Cidr
from onehop.model.ident import ObjectRef, RouterId
from onehop.model.listener import ClientCheck, ForwardHttp, Passthrough
from onehop.model.model import Row
from onehop.model.pool import BackendProtocol, Pool, ProxyProtocol
from onehop.model.route import Respond
from tests.driver_envoy.world import (
    ADDRESS,
    HTTPS,
    Backend,
    Identity,
    Reply,
    backend,
    connected,
    endpoint,
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
    tcp_server,
    trusting,
    until,
)

pytestmark = pytest.mark.envoy

PASSED, OTHER, ENDED = "passed.example", "other.example", "ended.example"
POD = identity("pod", PASSED, OTHER, "*.wild.example", "*.deep.wild.example")
SITE = identity("site", ENDED, "own.wild.example", "x.deep.wild.example")
INGRESS = ObjectRef("Ingress", "shop", "passed")
STREAM = pool("stream", protocol=BackendProtocol.TCP)


def passed(hostname: str, to: Pool | None = STREAM, **fields: Any) -> Passthrough:
    pool_id = to.id if to is not None else None
    return Passthrough(hostname=hostname, owner=INGRESS, pool=pool_id, **fields)


@asynccontextmanager
async def pod(name: str = "pod") -> AsyncGenerator[Backend]:
    """An endpoint that ends TLS itself."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.pem"
        file.write_text(POD.chain_pem + POD.certificate.key_pem.reveal)
        context.load_cert_chain(file)
    async with backend(name, tls=context) as served:
        yield served


def rows(
    port: int, stream: Backend, site: Backend, *hosts: Passthrough, names: Iterable[str] = (ENDED,)
) -> tuple[Row, ...]:
    """Return a listener that ends TLS for some names, and passes on that of others."""
    web = pool("web")
    handler = ForwardHttp(router=HTTPS, tls=True, passthroughs=hosts)
    return (
        *(STREAM, members(STREAM, stream.endpoint), web, members(web, site.endpoint)),
        SITE.certificate,
        *(server_name(name, SITE) for name in names),
        *(host(name, route(forward(web)), router=HTTPS) for name in names),
        listener(port, handler),
    )


async def ask(port: int, name: str, of: Identity, **options: Any) -> Reply | None:
    """Return the answer of one who trusts a certificate, or None if there is no connection."""
    try:
        async with connected(port, tls=trusting(of.chain_pem), sni=name, **options) as client:
            return await client.ask(name.lower())
    except (ssl.SSLError, ConnectionError, EOFError):
        return None


async def body(port: int, name: str, of: Identity, **options: Any) -> str | None:
    reply = await ask(port, name, of, **options)
    return reply.body if reply else None


async def test_the_pod_ends_the_tls_of_its_host_and_we_that_of_others() -> None:
    """By the name that is asked for, in upper case too; the Pod's certificate is what is seen."""
    port = free_port()
    async with pod() as stream, backend("site") as site, envoy() as world:
        await world.serve(*rows(port, stream, site, passed(OTHER), passed(PASSED)))

        assert await body(port, PASSED, POD) == "pod"
        assert await body(port, PASSED.upper(), POD) == "pod"
        assert await body(port, OTHER, POD) == "pod"
        assert await body(port, ENDED, SITE) == "site"
        assert await body(port, PASSED, SITE) is None


async def test_a_wildcard_is_one_label_and_leaves_alone_what_others_end() -> None:
    """Exact names and deeper wildcards of others keep their certificate; deeper ones are closed."""
    port = free_port()
    exceptions = ("*.deep.wild.example", "own.wild.example")
    hosts = (passed("*.wild.example", exceptions=exceptions), passed("mine.wild.example"))
    ended = ("*.deep.wild.example", "own.wild.example")
    async with pod() as stream, backend("site") as site, envoy() as world:
        await world.serve(*rows(port, stream, site, *hosts, names=ended))

        assert await body(port, "any.wild.example", POD) == "pod"
        assert await body(port, "mine.wild.example", POD) == "pod"
        assert await body(port, "own.wild.example", SITE) == "site"
        assert await body(port, "x.deep.wild.example", SITE) == "site"
        assert await body(port, "y.any.wild.example", POD) is None


async def test_hosts_come_and_go_without_dropping_others_connections() -> None:
    """Held connections, passed through and ended, answer after every change."""
    port = free_port()
    async with pod() as stream, backend("site") as site, envoy(drain_grace_s=0.1) as world:
        await world.serve(*rows(port, stream, site, passed(PASSED)))
        async with (
            connected(port, tls=trusting(POD.chain_pem), sni=PASSED) as through,
            connected(port, tls=trusting(SITE.chain_pem), sni=ENDED) as ended,
        ):
            for hosts in (
                (passed(OTHER), passed(PASSED)),
                (passed("*.wild.example"), passed(OTHER, idle_timeout_s=9.0), passed(PASSED)),
                (passed("*.wild.example", exceptions=("own.wild.example",)), passed(PASSED)),
                (passed(PASSED),),
            ):
                await world.serve(*rows(port, stream, site, *hosts))
                for name, client in ((PASSED, through), (ENDED, ended)):
                    reply = await client.ask(name)
                    assert (reply.status, reply.headers.get("connection")) == (200, None)

            async def is_gone() -> bool:
                return await ask(port, OTHER, POD) is None

            await until(is_gone)


async def test_a_host_without_a_backend_is_closed() -> None:
    """Nobody else's certificate is shown for it, though there is one for all names."""
    port = free_port()
    async with pod() as stream, backend("site") as site, envoy() as world:
        every = (*rows(port, stream, site, passed(PASSED, None)), server_name("*", SITE))
        await world.serve(*every)

        with pytest.raises((ssl.SSLError, ConnectionError)) as failure:
            async with connected(port, tls=trusting(SITE.chain_pem), sni=PASSED):
                pass

    assert not isinstance(failure.value, ssl.SSLCertVerificationError)


async def test_client_networks_are_let_in_or_not() -> None:
    """As `allow` and `deny` say; denied wins."""
    port = free_port()
    lists: dict[str, Any] = {
        PASSED: {"allow": (Cidr("192.0.2.0/24"),)},
        OTHER: {"deny": (Cidr("192.0.2.0/24"),)},
        "a.wild.example": {"allow": (Cidr(f"{ADDRESS}/32"),), "deny": (Cidr(f"{ADDRESS}/32"),)},
        "b.wild.example": {"allow": (Cidr("127.0.0.0/8"),)},
    }
    async with pod() as stream, backend("site") as site, envoy() as world:
        hosts = (passed(name, **fields) for name, fields in lists.items())
        await world.serve(*rows(port, stream, site, *hosts))

        answers = {name: await body(port, name, POD, source=ADDRESS) for name in lists}

    assert list(answers.values()) == [None, "pod", None, "pod"]


async def test_the_pod_hears_who_the_client_is() -> None:
    """A PROXY header goes before the TLS, as on any TCP pool that asks for it."""
    port = free_port()
    told = pool("told", protocol=BackendProtocol.TCP, proxy_protocol=ProxyProtocol.V1)
    heads: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readline())
        heads.append(await reader.readexactly(1))
        writer.close()

    async with tcp_server(note) as there, envoy() as world:
        handler = ForwardHttp(router=HTTPS, tls=True, passthroughs=(passed(PASSED, told),))
        await world.serve(told, members(told, endpoint(there)), listener(port, handler))

        async def is_heard() -> bool:
            await ask(port, PASSED, POD, source=ADDRESS)
            return len(heads) > 1

        await until(is_heard)

    header, first, *_ = heads
    assert header.decode().split()[:4] == ["PROXY", "TCP4", ADDRESS, ADDRESS]
    assert first == b"\x16"  # a TLS handshake record


async def test_a_router_that_lists_its_names_passes_through_as_well() -> None:
    """Chains of its own, of client checks and of exceptions stand beside each other."""
    port, there = free_port(), free_port()
    other = RouterId("gateway/shop/other")
    check = ClientCheck(hostname="own.wild.example", router=HTTPS, ca_pem=POD.chain_pem)
    async with pod() as stream, backend("site") as site, envoy() as world:
        hosts = (passed("*.wild.example", exceptions=("own.wild.example",)), passed(PASSED))
        handler = ForwardHttp(router=HTTPS, tls=True, passthroughs=hosts, client_checks=(check,))
        names = (ENDED, "own.wild.example", PASSED)
        await world.serve(
            *rows(port, stream, site, names=names)[:-1],
            listener(port, handler),
            POD.certificate,
            server_name(ENDED, POD, router=other),
            listener(there, ForwardHttp(router=other, tls=True)),
            host("*", route(Respond(status=200)), router=other),
        )

        assert await body(port, PASSED, POD) == "pod"
        assert await body(port, "any.wild.example", POD) == "pod"
        assert await body(port, ENDED, SITE) == "site"
        assert await body(port, "own.wild.example", SITE) is None
