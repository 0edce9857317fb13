"""HTTP/3, by a client of another make, through a real Envoy."""

import socket

import pytest

from onehop.model.ident import ObjectRef, RouterId
from onehop.model.listener import ClientCheck, ForwardHttp, Passthrough
from onehop.model.model import Row
from onehop.model.route import Respond
from tests.driver_envoy.http3 import h3_connected
from tests.driver_envoy.world import (
    ADDRESS,
    HTTPS,
    Backend,
    Identity,
    backend,
    connected,
    envoy,
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
    trusting,
    until,
)

pytestmark = pytest.mark.envoy

ONE, TWO, WILD = "one.example", "two.example", "*.wild.example"
SITE = identity("site", ONE, WILD)
OTHER = identity("other", TWO)
NEXT = identity("site", ONE, WILD)


def rows(port: int, to: Backend, names: dict[str, Identity], **fields: object) -> tuple[Row, ...]:
    """Return a site of a few names."""
    web = pool()
    handler = ForwardHttp(**{"router": HTTPS, "tls": True, "http3": True, **fields})  # type: ignore[arg-type]  # fields of the caller
    shown = {each.certificate.id: each.certificate for each in names.values()}
    return (
        *shown.values(),
        *(server_name(name, of) for name, of in names.items()),
        *(host(name, route(forward(web)), router=HTTPS) for name in names),
        web,
        members(web, to.endpoint),
        listener(port, handler),
    )


async def body(port: int, name: str, of: Identity) -> str | None:
    """Return the answer over HTTP/3, or None if there is no connection."""
    try:
        async with h3_connected(port, name, of.chain_pem) as client:
            return (await client.ask(name)).body
    except ConnectionError:
        return None


async def test_each_name_is_served_over_udp_with_its_own_certificate() -> None:
    """Exact names, wildcards, and what is there for all others."""
    port = free_port()
    names = {ONE: SITE, WILD: SITE, TWO: OTHER}
    async with backend("web") as web, envoy() as world:
        await world.serve(*rows(port, web, names))

        assert await body(port, ONE, SITE) == "web"
        assert await body(port, "any.wild.example", SITE) == "web"
        assert await body(port, TWO, OTHER) == "web"
        assert await body(port, TWO, SITE) is None
        assert await body(port, "nobody.example", SITE) is None


async def test_clients_hear_of_it_over_tcp() -> None:
    """By Alt-Svc, with the port that they came to; Pods see what they see of any HTTPS."""
    port = free_port()
    async with backend("web") as web, envoy() as world:
        await world.serve(*rows(port, web, {ONE: SITE}))
        async with connected(port, tls=trusting(SITE.chain_pem), sni=ONE) as client:
            told = (await client.ask(ONE)).headers
        async with h3_connected(port, ONE, SITE.chain_pem) as client:
            await client.ask(ONE)
        seen = headers_of(web.requests[-1])

    assert told["alt-svc"] == f'h3=":{port}"; ma=3600'
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-real-ip"] == "127.0.0.1"


async def test_names_come_and_go_and_a_certificate_is_renewed_without_dropping_others() -> None:
    """A held connection answers after every change; a new one sees the new certificate."""
    port = free_port()
    async with backend("web") as web, envoy(drain_grace_s=0.1) as world:
        await world.serve(*rows(port, web, {ONE: SITE}))
        async with h3_connected(port, ONE, SITE.chain_pem) as held:
            for names in ({ONE: SITE, TWO: OTHER}, {ONE: SITE}, {ONE: NEXT}):
                await world.serve(*rows(port, web, names))
                assert (await held.ask(ONE)).status == 200

            async def is_renewed() -> bool:
                return await body(port, ONE, NEXT) == "web"

            await until(is_renewed)
            assert (await held.ask(ONE)).status == 200


async def test_it_is_turned_off_again() -> None:
    """No UDP is listened to, and nobody is told."""
    port = free_port()
    async with backend("web") as web, envoy() as world:
        for is_on in (True, False):
            await world.serve(*rows(port, web, {ONE: SITE}, http3=is_on))
        async with connected(port, tls=trusting(SITE.chain_pem), sni=ONE) as client:
            assert "alt-svc" not in (await client.ask(ONE)).headers

        async def is_gone() -> bool:
            return await body(port, ONE, SITE) is None

        await until(is_gone, 60.0)


async def test_hosts_that_look_at_clients_and_hosts_that_are_passed_through_have_none() -> None:
    """Their clients are not told; who tries it all the same gets nothing of them."""
    port = free_port()
    safe, passed = "safe.wild.example", "passed.wild.example"
    check = ClientCheck(
        hostname=safe, router=RouterId(f"{HTTPS}:{safe}"), ca_pem=OTHER.chain_pem, is_required=False
    )
    owner = ObjectRef("Ingress", "shop", "passed")
    through = Passthrough(hostname=passed, owner=owner, pool=None)
    async with backend("web") as web, envoy() as world:
        await world.serve(
            *rows(port, web, {WILD: SITE}, client_checks=(check,), passthroughs=(through,)),
            host(safe, route(Respond(status=200)), router=check.router),
            *(host(name, route(Respond(status=421)), router=HTTPS) for name in (safe, passed)),
        )
        async with connected(port, tls=trusting(SITE.chain_pem), sni=safe) as client:
            told = await client.ask(safe)
        answers = []
        for name in (safe, passed):
            async with h3_connected(port, name, SITE.chain_pem) as client:
                answers.append((await client.ask(name)).status)

    assert (told.status, told.headers.get("alt-svc")) == (200, None)
    assert answers == [421, 421]


async def test_https_goes_on_if_somebody_else_has_the_udp_port() -> None:
    """No row is refused for it; that something is amiss is told."""
    port = free_port()
    async with backend("web") as web, envoy() as world:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((ADDRESS, port))
            await world.serve(*rows(port, web, {ONE: SITE}))
            async with connected(port, tls=trusting(SITE.chain_pem), sni=ONE) as client:
                assert (await client.ask(ONE)).body == "web"

        assert world.driver.describe()["quarantined"] == "1"
