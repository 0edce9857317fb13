"""Connections that go on as streams, by the name that is asked for, on one port with HTTPS."""

import ssl
from collections import Counter

from onehop.model.address import Cidr
from onehop.model.listener import ForwardHttp, Passthrough, StreamShare
from onehop.model.pool import BackendProtocol
from onehop.model.route import Respond
from tests.contract.drivers import RunningDriver
from tests.contract.scene import named
from tests.contract.test_driver_tls import SITE, pod_with_tls, unchecking
from tests.contract.traffic import serve
from tests.driver_envoy.world import (
    HTTPS,
    SERVICE,
    connected,
    endpoint,
    free_port,
    host,
    listener,
    members,
    pool,
    route,
    server_name,
)

ONE, TWO, WHOLE = (pool(name, protocol=BackendProtocol.TCP) for name in ("one", "two", "whole"))

STREAMS = (
    Passthrough(
        hostname="*.ended.example",
        owner=SERVICE,
        pool=TWO.id,
        ends_tls=True,
        any_depth=True,
        exceptions=("*.apps.ended.example", "web.ended.example"),
    ),
    Passthrough(
        hostname="*.whole.example",
        owner=SERVICE,
        pool=WHOLE.id,
        any_depth=True,
        exceptions=("web.whole.example",),
    ),
    Passthrough(hostname="closed.ended.example", owner=SERVICE, pool=None, any_depth=True),
    Passthrough(
        hostname="guarded.ended.example",
        owner=SERVICE,
        pool=ONE.id,
        ends_tls=True,
        deny=(Cidr("127.0.0.9/32"),),
    ),
    Passthrough(
        hostname="shared.ended.example",
        owner=SERVICE,
        pool=ONE.id,
        shares=(StreamShare(ONE.id, 7), StreamShare(TWO.id, 2), StreamShare(None, 2)),
        ends_tls=True,
    ),
    Passthrough(
        hostname="shared.whole.example",
        owner=SERVICE,
        pool=WHOLE.id,
        shares=(StreamShare(WHOLE.id, 1), StreamShare(None, 1)),
    ),
)


async def test_streams_and_https_stand_side_by_side_on_one_port(serving: RunningDriver) -> None:
    """TLS ends here, or goes by, or ends for HTTP; wildcards take names of any depth."""
    port = free_port()
    handler = ForwardHttp(router=HTTPS, tls=True, passthroughs=STREAMS)
    answer = host("*", route(Respond(status=200, body="site")), router=HTTPS)
    async with named("one") as one, named("two") as two, pod_with_tls() as pod, serving() as driver:
        await serve(
            driver,
            *(ONE, TWO, WHOLE, members(ONE, endpoint(one)), members(TWO, endpoint(two))),
            *(members(WHOLE, pod.endpoint), SITE.certificate, server_name("*", SITE), answer),
            listener(port, handler),
        )
        for name in ("a.ended.example", "deep.b.ended.example", "A.B.C.Ended.Example"):
            assert await said(port, name) == "two", name
        assert await said(port, "closed.ended.example") == ""
        for source, greeting in (("127.0.0.5", "one"), ("127.0.0.9", "")):
            assert await said(port, "guarded.ended.example", source=source) == greeting
        for name in ("ended.example", "web.ended.example", "a.apps.ended.example"):
            assert await answered(port, name) == "site", name
        assert await answered(port, "deep.b.apps.ended.example") == "site"
        assert await answered(port, "a.whole.example") == "pod"
        assert await answered(port, "very.deep.whole.example") == "pod"
        assert await answered(port, "web.whole.example") == "site"
        taken = Counter([await said(port, "shared.ended.example") for _ in range(100)])
        assert taken["one"] > max(taken["two"], taken[""])
        assert taken.keys() == {"one", "two", ""}
        assert {await answered(port, "shared.whole.example") for _ in range(40)} == {"pod", ""}


async def said(port: int, sni: str, *, source: str | None = None) -> str:
    """Return who greets first, within TLS; nobody, if the connection is closed."""
    try:
        async with connected(port, tls=unchecking(), sni=sni, source=source) as client:
            return (await client.reader.read(100)).decode()
    except (ssl.SSLError, ConnectionError):
        return ""


async def answered(port: int, sni: str) -> str:
    """Return the answer to a request; nothing, if the connection is closed."""
    try:
        async with connected(port, tls=unchecking(), sni=sni) as client:
            return (await client.ask("a.example")).body
    except (ssl.SSLError, ConnectionError, EOFError):
        return ""
