"""What the test CA makes of what it finds at a host: RFC 8555, section 8.3, and RFC 8737."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncGenerator, Callable
from functools import partial

import pytest
from aiohttp import web

from onehop.lab.api import self_signed
from onehop.lab.ca import CaOptions
from onehop.lab.ca.book import CHALLENGES
from onehop.lab.ca.refusal import Refused
from onehop.lab.ca.validation import Expected, look
from tests.acme.pebble import free_ports

EXPECTED = Expected(host="shop.example.com", token="t0ken", thumbprint="thumb")
PATH = "/.well-known/acme-challenge/t0ken"


@contextlib.asynccontextmanager
async def host(
    answer: Callable[[web.BaseRequest], web.StreamResponse], alpn: str = "http/1.1"
) -> AsyncGenerator[CaOptions]:
    """Run a host that answers by HTTP and HTTPS, and say where it is."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0)
        return answer(request)

    certificate = self_signed(hosts=(EXPECTED.host,), now=dt.datetime.now(dt.UTC))
    context = certificate.context()
    context.set_alpn_protocols([alpn])
    http, tls = free_ports(2)
    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", http).start()
        await web.TCPSite(runner, "127.0.0.1", tls, ssl_context=context).start()
        yield CaOptions(http_port=http, tls_port=tls, patience_s=2.0)
    finally:
        await runner.cleanup()


def _right(request: web.BaseRequest) -> web.Response:
    is_it = request.path == PATH and request.host == EXPECTED.host
    return web.Response(text=f"{EXPECTED.authorization}\r\n" if is_it else "what?")


async def test_the_host_is_asked_by_its_name() -> None:
    """Without a port in `Host`, as on port 80; whitespace at the end does no harm."""
    async with host(_right) as options:
        await look("http-01", EXPECTED, options)


async def test_redirects_are_followed_wherever_they_lead() -> None:
    """To https too, where any certificate will do; a real CA does the same."""

    def lead(request: web.BaseRequest) -> web.Response:
        if request.secure and request.query_string == "a=1":
            return web.Response(text=EXPECTED.authorization)
        where = f"https://{EXPECTED.host}{PATH}?a=1" if request.path == "/next" else "/next"
        return web.Response(status=302, headers={"Location": where})

    async with host(lead) as options:
        await look("http-01", EXPECTED, options)


@pytest.mark.parametrize(
    ("location", "says"),
    [("/again", "more than 10 redirects"), ("ftp://a.example/", "http or https only")],
)
async def test_redirects_have_an_end(location: str, says: str) -> None:
    """Ten of them, and only within the web."""

    def lead(_: web.BaseRequest) -> web.Response:
        return web.Response(status=301, headers={"Location": location})

    async with host(lead) as options:
        with pytest.raises(Refused, match=says) as caught:
            await look("http-01", EXPECTED, options)
    assert caught.value.kind == "connection"


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (partial(web.Response, status=404), "answers 404"),
        (partial(web.Response, text="x" * 200_000), "says 'xxx"),
    ],
    ids=["404", "endless"],
)
async def test_another_answer_is_quoted(response: Callable[[], web.Response], says: str) -> None:
    """Unauthorized, with what was found there; of much text only the beginning is read."""
    async with host(lambda _: response()) as options:
        with pytest.raises(Refused, match=says) as caught:
            await look("http-01", EXPECTED, options)
    assert caught.value.kind == "unauthorized"
    assert len(caught.value.detail) < 300


async def test_who_does_not_answer_is_not_waited_for_longer_than_patience() -> None:
    """A connection error that says how long."""
    (port,) = free_ports(1)
    ended = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", port)
    try:
        options = CaOptions(http_port=port, tls_port=port, patience_s=0.2)
        for kind in CHALLENGES:
            with pytest.raises(Refused, match="no answer within") as caught:
                await look(kind, EXPECTED, options)
            assert caught.value.kind == "connection"
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("alpn", "says"), [("http/1.1", "does not speak"), ("acme-tls/1", "another")]
)
async def test_an_ordinary_certificate_proves_nothing(alpn: str, says: str) -> None:
    """RFC 8737: it takes the protocol, and a certificate made for the challenge."""
    async with host(_right, alpn) as options:
        with pytest.raises(Refused, match=says) as caught:
            await look("tls-alpn-01", EXPECTED, options)
    assert caught.value.kind == "unauthorized"


async def test_plain_http_on_the_tls_port_is_a_fault_of_tls() -> None:
    """Its own kind, so that its owner is told what to mend."""
    async with host(_right) as options:
        swapped = CaOptions(http_port=options.tls_port, tls_port=options.http_port, patience_s=2.0)
        with pytest.raises(Refused) as caught:
            await look("tls-alpn-01", EXPECTED, swapped)
    assert caught.value.kind == "tls"
