"""Requests through a real Envoy: which route takes them, and what happens to them on the way."""

import asyncio

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from onehop.model.listener import ForwardHttp
from onehop.model.pool import BackendProtocol, Balancing
from onehop.model.route import (
    Forward,
    Guard,
    HeaderEdit,
    Labels,
    PathMatch,
    PoolShare,
    Redirect,
    Respond,
    Retry,
)
from tests.driver_envoy.http2 import H2Client, h2_backend
from tests.driver_envoy.world import (
    ADDRESS,
    HTTP,
    backend,
    connected,
    endpoint,
    envoy,
    exact,
    forward,
    free_port,
    get,
    headers_of,
    host,
    listener,
    members,
    pool,
    prefix,
    route,
)

pytestmark = pytest.mark.envoy


async def test_the_longest_host_name_takes_the_request() -> None:
    """Exact before wildcard before `*`, whatever port the client names and in whatever case."""
    port = free_port()
    names = ("www.a.example", "*.a.example", "*.example", "*")
    hosts = [host(name, route(Respond(status=200, body=name))) for name in names]
    async with envoy() as world:
        await world.serve(listener(port), *hosts)

        for asked, taken in {
            "www.a.example": "www.a.example",
            "WWW.A.example": "www.a.example",
            f"www.a.example:{port}": "www.a.example",
            "api.a.example:8080": "*.a.example",
            "x.y.a.example": "*.a.example",
            "a.example": "*.example",
            "other.test": "*",
        }.items():
            assert (await get(port, asked)).body == taken


async def test_an_ingress_wildcard_stands_for_one_label() -> None:
    """Deeper names fall to what stands behind it, whatever port the client names."""
    port = free_port()
    one, more = (
        msgspec.structs.replace(route(Respond(status=200, body=labels)), labels=labels)
        for labels in (Labels.ONE, Labels.MORE)
    )
    async with envoy() as world:
        await world.serve(listener(port), host("*.a.example", one, more))

        for asked, taken in {
            "x.a.example": "one",
            "X.A.example:8080": "one",
            "x.y.a.example": "more",
            "one.x.a.example:80": "more",
        }.items():
            assert (await get(port, asked)).body == taken


async def test_a_host_that_goes_is_not_found_any_more() -> None:
    """At once, and its neighbours stay."""
    port = free_port()
    first, second = (host(f"{name}.example", route(Respond(status=200))) for name in "ab")
    async with envoy() as world:
        await world.serve(listener(port), first, second)
        assert (await get(port, "a.example")).status == 200

        await world.serve(listener(port), second)

        assert (await get(port, "a.example")).status == 404
        assert (await get(port, "b.example")).status == 200


async def test_no_host_and_no_route_answer_404() -> None:
    """What nobody claimed is not found; nothing of Envoy is told in the answer."""
    port = free_port()
    async with envoy() as world:
        await world.serve(
            listener(port), host("a.example", route(Respond(status=200), exact("/x")))
        )

        for name, path in (("b.example", "/x"), ("a.example", "/y"), ("a.example", "/x/y")):
            reply = await get(port, name, path)
            assert reply.status == 404
            assert not {each for each in reply.headers if each.startswith(("x-", "server"))}


async def test_prefixes_match_element_by_element() -> None:
    """`/foo` takes `/foo`, `/foo/` and `/foo/bar`, not `/foobar`; the first route wins."""
    port = free_port()
    routes = (
        route(Respond(status=200, body="exact"), exact("/foo/exact")),
        route(Respond(status=200, body="foo"), prefix("/foo")),
        route(Respond(status=200, body="root"), prefix("/")),
    )
    async with envoy() as world:
        await world.serve(listener(port), host("a.example", *routes))

        for path, taken in {
            "/foo": "foo",
            "/foo?x=1": "foo",
            "/foo/": "foo",
            "/foo/bar": "foo",
            "/foo/exact": "exact",
            "//foo//bar": "foo",
            "/x/../foo": "foo",
            "/foobar": "root",
            "/": "root",
        }.items():
            assert (await get(port, "a.example", path)).body == taken


@pytest.mark.parametrize(
    ("match", "replacement", "asked", "seen"),
    [
        (prefix("/foo"), "/new", "/foo/bar?q=1", "/new/bar?q=1"),
        (prefix("/foo"), "/new", "/foo", "/new"),
        (prefix("/foo"), "/new/", "/foo/bar", "/new/bar"),
        (prefix("/foo"), "/", "/foo/bar", "/bar"),
        (prefix("/foo"), "/", "/foo", "/"),
        (prefix("/foo"), "/", "/foo/?q=1", "/?q=1"),
        (prefix("/f.o"), "/", "/f.o/bar", "/bar"),
        (prefix("/"), "/new", "/bar", "/new/bar"),
        (prefix("/"), "/", "/bar", "/bar"),
        (exact("/foo"), "/new", "/foo?q=1", "/new?q=1"),
        (exact("/foo"), "/", "/foo", "/"),
    ],
)
async def test_a_prefix_is_rewritten_without_doubling_slashes(
    match: PathMatch, replacement: str, asked: str, seen: str
) -> None:
    """Whatever ends or begins with a slash, the application sees one."""
    port, web = free_port(), pool()
    action = forward(web, rewrite_prefix=replacement)
    async with backend("one") as one, envoy() as world:
        await world.serve(
            web,
            members(web, one.endpoint),
            listener(port),
            host("a.example", route(action, match)),
        )

        await get(port, "a.example", asked)

        assert one.requests[0].split(" ")[1] == seen


async def test_what_a_client_says_of_itself_is_not_believed() -> None:
    """Without trusted hops, the application hears Envoy's word on addresses and nothing else."""
    port, web = free_port(), pool()
    async with backend("one") as one, envoy() as world:
        await world.serve(
            web, members(web, one.endpoint), listener(port), host("*", route(forward(web)))
        )
        async with connected(port, source="127.0.0.77") as client:
            await client.ask(
                "a.example",
                headers={
                    "x-forwarded-for": "6.6.6.6",
                    "x-forwarded-proto": "https",
                    "x-forwarded-host": "evil.example",
                    "x-real-ip": "6.6.6.6",
                    "forwarded": "for=6.6.6.6",
                    "x-envoy-max-retries": "9",
                    "x_forwarded_for": "6.6.6.6",
                },
            )

        seen = headers_of(one.requests[0])
        assert "6.6.6.6" not in one.requests[0]
        assert seen["x-real-ip"] == "127.0.0.77"
        assert seen["x-forwarded-proto"] == "http"
        assert seen["x-forwarded-host"] == "a.example"
        assert seen["x-forwarded-port"] == str(port)
        assert not {name for name in seen if name.startswith("x-envoy")}


async def test_trusted_hops_are_believed() -> None:
    """One proxy in front: the client is the last address it wrote, and https stays https."""
    port, web = free_port(), pool()
    trusting = ForwardHttp(router=HTTP, trusted_hops=1)
    async with backend("one") as one, envoy() as world:
        await world.serve(
            web,
            members(web, one.endpoint),
            listener(port, trusting),
            host("*", route(forward(web))),
        )

        sent = {"x_forwarded_for": "6.6.6.6, 198.51.100.7", "x_forwarded_proto": "https"}
        await get(port, "a.example", **sent)

        seen = headers_of(one.requests[0])
        assert seen["x-real-ip"] == "198.51.100.7"
        hops = seen["x-forwarded-for"].replace(" ", "").split(",")
        assert hops[:2] == ["6.6.6.6", "198.51.100.7"]
        assert seen["x-forwarded-proto"] == "https"


async def test_headers_are_removed_then_set_then_added() -> None:
    """On the way in and out; a user's percent sign stays one."""
    port, web = free_port(), pool()
    edit = HeaderEdit(set=(("x-a", "%REQ(x)% 100%"),), add=(("x-b", "more"),), remove=("x-c",))
    edited = route(forward(web), request_headers=edit, response_headers=edit)
    async with backend("one") as one, envoy() as world:
        await world.serve(
            web, members(web, one.endpoint), listener(port), host("a.example", edited)
        )

        reply = await get(port, "a.example", x_a="old", x_b="first", x_c="gone")

        seen = headers_of(one.requests[0])
        assert seen["x-a"] == reply.headers["x-a"] == "%REQ(x)% 100%"
        assert {"x-b: first", "x-b: more"} <= set(one.requests[0].split("\r\n"))
        assert "x-c" not in seen


@pytest.mark.parametrize(
    ("redirect", "asked", "location"),
    [
        (Redirect(scheme="https"), "a.example", "https://a.example/x?y=1"),
        (Redirect(scheme="https", port=443), "a.example", "https://a.example/x?y=1"),
        (Redirect(scheme="https", port=443), "a.example:80", "https://a.example/x?y=1"),
        (Redirect(scheme="https", port=443), "a.example:8080", "https://a.example:443/x?y=1"),
        (Redirect(scheme="https", port=18443), "a.example:8080", "https://a.example:18443/x?y=1"),
        (Redirect(port=81), "a.example", "http://a.example:81/x?y=1"),
    ],
)
async def test_a_redirect_names_the_right_port(
    redirect: Redirect, asked: str, location: str
) -> None:
    """Default ports are left out, unusual ones said, and the client's own never carried over."""
    port = free_port()
    async with envoy() as world:
        await world.serve(listener(port), host("a.example", route(redirect)))

        reply = await get(port, asked, "/x?y=1")

        assert (reply.status, reply.headers["location"]) == (308, location)


async def test_a_pool_without_endpoints_answers_503() -> None:
    """So do an unknown pool and shares of zero; none of them harms its neighbours."""
    port, web, gone = free_port(), pool(), pool("gone")
    zero = Forward(pools=(PoolShare(web.id, 0),))
    async with envoy() as world:
        receipt = await world.serve(
            web,
            listener(port),
            host("empty.example", route(forward(web))),
            host("gone.example", route(forward(gone))),
            host("zero.example", route(zero)),
            host("fine.example", route(Respond(status=200))),
        )

        assert receipt.refused == ()
        for name in ("empty", "gone", "zero"):
            assert (await get(port, f"{name}.example")).status == 503
        assert (await get(port, "fine.example")).status == 200


async def test_requests_are_shared_by_weight() -> None:
    """Three to one among pools, and a share of nothing gets nothing."""
    port, web, api, off = free_port(), pool("web"), pool("api"), pool("off")
    shares = (PoolShare(web.id, 3), PoolShare(api.id, 1), PoolShare(off.id, 0))
    async with backend("web") as one, backend("api") as two, envoy() as world:
        await world.serve(
            *(web, api, off),
            *(members(web, one.endpoint), members(api, two.endpoint), members(off, two.endpoint)),
            listener(port),
            host("a.example", route(Forward(pools=shares))),
        )
        async with connected(port) as client:
            for _ in range(200):
                assert (await client.ask("a.example")).status == 200

        assert 110 < len(one.requests) < 185
        assert len(one.requests) + len(two.requests) == 200


async def test_what_was_never_sent_is_tried_elsewhere() -> None:
    """One of two endpoints refuses connections: no client notices."""
    port, web = free_port(), pool(balancing=Balancing.ROUND_ROBIN)
    async with backend("one") as one, envoy() as world:
        await world.serve(
            web,
            members(web, one.endpoint, endpoint(free_port())),
            listener(port),
            host("a.example", route(forward(web))),
        )
        async with connected(port) as client:
            replies = [await client.ask("a.example", method="POST", body=b"x") for _ in range(30)]

        assert {reply.status for reply in replies} == {200}


async def test_listed_codes_are_tried_elsewhere() -> None:
    """A 503 from one endpoint is retried on another one, if the route says so."""
    port, web = free_port(), pool(balancing=Balancing.ROUND_ROBIN)
    action = forward(web, retry=Retry(attempts=2, codes=(503,)))
    async with backend("bad", status=503) as bad, backend("good") as good, envoy() as world:
        await world.serve(
            web,
            members(web, bad.endpoint, good.endpoint),
            listener(port),
            host("a.example", route(action)),
        )
        async with connected(port) as client:
            replies = [await client.ask("a.example") for _ in range(10)]

        assert {reply.status for reply in replies} == {200}


async def test_routes_to_one_pool_are_tried_again_each_in_its_own_way() -> None:
    """One that retries 500 comes and goes; the other one neither learns it nor forgets its own."""
    port, web = free_port(), pool(balancing=Balancing.ROUND_ROBIN)
    own = host("own.example", route(forward(web, retry=Retry(attempts=5, codes=(500,)))))
    usual = host("usual.example", route(forward(web)))
    async with backend("bad", status=500) as bad, backend("good") as good, envoy() as world:
        endpoints = members(web, bad.endpoint, good.endpoint, endpoint(free_port()))
        for hosts in ((usual,), (own, usual), (usual,)):
            await world.serve(web, endpoints, listener(port), *hosts)
            async with connected(port) as client:
                replies = [await client.ask("usual.example") for _ in range(20)]
                retried = [await client.ask("own.example") for _ in range(20)]

            assert {reply.body for reply in replies} <= {"bad", "good"}
            assert {reply.status for reply in retried} == ({200} if own in hosts else {404})
        assert bad.requests, "nothing was tried that answers 500"


async def test_a_slow_answer_ends_in_504() -> None:
    """`timeout_s` bounds the whole response."""
    port, web = free_port(), pool()
    async with backend("slow", delay_s=5) as slow, envoy() as world:
        await world.serve(
            web,
            members(web, slow.endpoint),
            listener(port),
            host("a.example", route(forward(web, timeout_s=0.1))),
        )

        assert (await get(port, "a.example")).status == 504


async def test_escaped_slashes_do_not_pass_a_guard() -> None:
    """`%2F` is redirected to what it means, so that the guard of `/admin` sees it."""
    port = free_port()
    async with envoy() as world:
        await world.serve(listener(port), host("a.example", route(Respond(status=200))))

        reply = await get(port, "a.example", "/admin%2Fx")

        assert (reply.status, reply.headers["location"]) == (307, "/admin/x")


async def test_a_websocket_is_upgraded() -> None:
    """Also on a route with a body limit: a WebSocket has no body to wait for."""

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    port, web = free_port(), pool()
    limited = route(forward(web), guard=Guard(body_limit_bytes=10))
    async with serve(echo, ADDRESS, 0) as server, envoy() as world:
        await world.serve(
            web,
            members(web, endpoint(server.sockets[0].getsockname()[1])),
            listener(port),
            host("*", limited),
        )
        async with asyncio.timeout(30), connect(f"ws://{ADDRESS}:{port}/") as client:
            await client.send("a message that is longer than the limit")
            assert await client.recv() == "a message that is longer than the limit"


async def test_http2_is_spoken_without_tls_on_both_sides() -> None:
    """Prior knowledge (h2c) from the client, and h2 to a pool that wants it."""
    port, web = free_port(), pool(protocol=BackendProtocol.GRPC)
    async with h2_backend() as (h2_port, seen), envoy() as world:
        await world.serve(
            web,
            members(web, endpoint(h2_port)),
            listener(port),
            host("a.example", route(forward(web))),
        )
        async with connected(port) as connection:
            client = H2Client(connection.reader, connection.writer)
            reply = await client.post(
                "a.example", "/pkg.Service/Method", b"\0\0\0\0\0", {"te": "trailers"}
            )

        assert reply.status == 200
        assert reply.trailers == {"grpc-status": "0"}
        assert seen[0][":path"] == "/pkg.Service/Method"
        assert seen[0]["te"] == "trailers"


async def test_clients_are_sent_away_and_may_stay_again() -> None:
    """Every answer is given, and says that the connection ends; TCP is not disturbed."""
    port, web = free_port(), pool()
    async with backend("one") as one, envoy() as world:
        await world.serve(
            web, members(web, one.endpoint), listener(port), host("*", route(forward(web)))
        )
        await world.driver.send_away(is_leaving=True)
        away = await get(port, "a.example")
        await world.driver.send_away(is_leaving=False)
        back = await get(port, "a.example")

    assert (away.body, back.body) == ("one", "one")
    assert away.headers.get("connection") == "close"
    assert back.headers.get("connection") != "close"
