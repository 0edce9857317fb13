"""dns-01: a real name server that takes signed updates, and a webhook."""

import contextlib
import json
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from aiohttp import web

from onehop.acme.issuer import Rfc2136, Webhook
from onehop.acme.leaf import read_leaf
from onehop.model.certificate import SecretText
from tests.acme.knot import TSIG, running_knot
from tests.acme.pebble import Pebble, free_ports, running_pebble
from tests.acme.responder import LiveResponder
from tests.acme.world import issuer_of, tended, wish


def solver_at(port: int, secret: str = TSIG) -> Rfc2136:
    return Rfc2136(
        server="127.0.0.1", port=port, tsig_name="onehop", tsig_secret=SecretText(secret)
    )


async def test_a_wildcard_is_proven_by_signed_updates(tmp_path: Path) -> None:
    """Host and wildcard have their records at the same name; the zone is found by itself."""
    shop = wish("*.shop.example.com", "shop.example.com")
    with (
        running_knot(tmp_path) as port,
        running_pebble(tmp_path, dns_server=f"127.0.0.1:{port}") as pebble,
    ):
        issuer = issuer_of(pebble, solvers=(solver_at(port),))
        async with tended([issuer], [shop]) as world:
            await world.issued(shop)
            leaf = read_leaf(world.held(shop))
            assert leaf is not None
            assert leaf.hosts == shop.hosts


async def test_a_wrong_key_is_said_to_be_one(tmp_path: Path) -> None:
    """What the name server refuses is named, with the key."""
    shop = wish("shop.example.com")
    with (
        running_knot(tmp_path) as port,
        running_pebble(tmp_path, dns_server=f"127.0.0.1:{port}") as pebble,
    ):
        issuer = issuer_of(pebble, solvers=(solver_at(port, "d3Jvbmc="),))
        async with tended([issuer], [shop]) as world:
            await world.until(lambda: (s := world.state(shop)) is not None and bool(s.last_error))
            state = world.state(shop)
            assert state is not None
            assert "TSIG" in state.last_error


@contextlib.asynccontextmanager
async def running_webhook(pebble: Pebble, heard: list[str]) -> AsyncGenerator[str]:
    """Run a webhook that hands records to the CA's DNS."""

    async def act(request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        heard.append(request.path)
        if request.path == "/present":
            await pebble.set_dns("set-txt", host=body["fqdn"], value=body["value"])
        else:
            await pebble.set_dns("clear-txt", host=body["fqdn"])
        return web.Response()

    (port,) = free_ports(1)
    app = web.Application()
    app.router.add_post("/{action}", act)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pebble.ca.certificate, pebble.ca.key)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        yield f"https://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def test_a_webhook_sets_and_removes_the_record(
    pebble: Pebble, responder: LiveResponder
) -> None:
    """The requests are those of lego's httpreq; the record is gone in the end."""
    shop, heard = wish("*.example.com"), list[str]()
    async with running_webhook(pebble, heard) as url:
        issuer = issuer_of(pebble, solvers=(Webhook(url=url, ca_pem=pebble.ca.ca_pem),))
        async with tended([issuer], [shop], responder=responder) as world:
            await world.issued(shop)
    assert heard == ["/present", "/cleanup"]


@pytest.mark.parametrize("host", ["*.example.com"])
async def test_a_wildcard_without_dns_is_said_to_need_it(
    host: str, pebble: Pebble, responder: LiveResponder
) -> None:
    """http-01 alone proves no wildcard, and the state says what to do."""
    shop = wish(host)
    async with tended([issuer_of(pebble)], [shop], responder=responder) as world:
        await world.until(lambda: (s := world.state(shop)) is not None and s.failures == 1)
        state = world.state(shop)
        assert state is not None
        assert "dns-01" in state.advice
