"""Which route takes a request, and what becomes of it: the same through every data plane."""

import asyncio
from collections import Counter

import msgspec
import pytest

from onehop.model.address import Cidr
from onehop.model.listener import ForwardHttp
from onehop.model.pool import BackendProtocol
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
from tests.contract.drivers import RunningDriver
from tests.contract.traffic import serve
from tests.driver_envoy.http2 import H2Client, h2_backend
from tests.driver_envoy.world import (
    HTTP,
    backend,
    connected,
    endpoint,
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
    tcp_server,
    until,
)


async def test_the_longest_host_name_takes_the_request(serving: RunningDriver) -> None:
    """Exact before wildcard before `*`, whatever port the client names and in whatever case."""
    port = free_port()
    names = ("www.a.example", "*.a.example", "*.example", "*")
    hosts = [host(name, route(Respond(status=200, body=name))) for name in names]
    async with serving() as driver:
        await serve(driver, listener(port), *hosts)

        for asked, taken in {
            "www.a.example": "www.a.example",
            "WWW.A.example": "www.a.example",
            f"www.a.example:{port}": "www.a.example",
            "api.a.example:8080": "*.a.example",
            "x.y.a.example": "*.a.example",
            "a.example": "*.example",
            "other.test": "*",
            "[::1]:80": "*",
        }.items():
            assert (await get(port, asked)).body == taken, asked


async def test_an_ingress_wildcard_stands_for_one_label(serving: RunningDriver) -> None:
    """Deeper names fall to what stands behind it; a route for one name takes no other."""
    port = free_port()
    one, more = (
        msgspec.structs.replace(route(Respond(status=200, body=labels)), labels=labels)
        for labels in (Labels.ONE, Labels.MORE)
    )
    only = msgspec.structs.replace(
        route(Respond(status=200, body="only"), exact("/token")), hostname="p.a.example"
    )
    async with serving() as driver:
        await serve(driver, listener(port), host("*.a.example", only, one, more))

        for asked, path, taken in (
            ("x.a.example", "/", "one"),
            ("X.A.example:8080", "/token", "one"),
            ("x.y.a.example", "/", "more"),
            ("one.x.a.example:80", "/", "more"),
            ("p.a.example", "/token", "only"),
            ("p.a.example", "/", "one"),
        ):
            assert (await get(port, asked, path)).body == taken, (asked, path)


async def test_what_nobody_claimed_is_not_found(serving: RunningDriver) -> None:
    """No host and no route answer 404; a host that goes is gone at once, its neighbours stay."""
    port = free_port()
    first, second = (
        host(f"{name}.example", route(Respond(status=200), exact("/x"))) for name in "ab"
    )
    async with serving() as driver:
        await serve(driver, listener(port), first, second)
        for name, path, status in (
            ("a.example", "/x", 200),
            ("c.example", "/x", 404),
            ("a.example", "/y", 404),
            ("a.example", "/x/y", 404),
        ):
            assert (await get(port, name, path)).status == status, (name, path)

        await serve(driver, listener(port), second)

        assert (await get(port, "a.example", "/x")).status == 404
        assert (await get(port, "b.example", "/x")).status == 200


async def test_prefixes_match_element_by_element(serving: RunningDriver) -> None:
    """`/foo` takes `/foo`, `/foo/` and `/foo/bar`, not `/foobar`; the first route wins."""
    port = free_port()
    routes = (
        route(Respond(status=200, body="exact"), exact("/foo/exact")),
        route(Respond(status=200, body="foo"), prefix("/foo")),
        route(Respond(status=200, body="never"), prefix("/foo/never")),
        route(Respond(status=200, body="root"), prefix("/")),
    )
    async with serving() as driver:
        await serve(driver, listener(port), host("a.example", *routes))

        for path, taken in {
            "/foo": "foo",
            "/foo?x=1": "foo",
            "/foo/": "foo",
            "/foo/bar": "foo",
            "/foo/never": "foo",
            "/foo/exact": "exact",
            "//foo//bar": "foo",
            "/x/../foo": "foo",
            "/%66oo": "foo",
            "/foobar": "root",
            "/": "root",
        }.items():
            assert (await get(port, "a.example", path)).body == taken, path


async def test_a_hidden_slash_is_shown_by_a_redirect(serving: RunningDriver) -> None:
    """`/admin%2Fx` is not forwarded: an application may take it for `/admin/x`."""
    port = free_port()
    async with serving() as driver:
        await serve(driver, listener(port), host("a.example", route(Respond(status=200))))

        reply = await get(port, "a.example", "/admin%2Fx?q=1")

        assert reply.status == 307
        assert reply.headers["location"].endswith("/admin/x?q=1")
        elsewhere = await get(port, "a.example", "/%2Fevil.example/%2f..%5cx")
        assert not elsewhere.headers["location"].startswith("//")


async def test_no_other_protocol_than_websocket_is_upgraded_to(serving: RunningDriver) -> None:
    """An application that took up h2c would take requests past all routes and guards."""
    port, web = free_port(), pool()
    async with backend("one") as one, serving() as driver:
        await serve(
            driver,
            *(web, members(web, one.endpoint), listener(port), host("*", route(forward(web)))),
        )
        async with connected(port) as client:
            await client.ask("a", headers={"connection": "upgrade", "upgrade": "h2c"})

    assert all("upgrade" not in headers_of(request) for request in one.requests)


async def test_paths_with_odd_characters_are_taken_as_they_are(serving: RunningDriver) -> None:
    """Nothing that a path may hold means anything but itself, when it comes and when it goes."""
    port = free_port()
    odd = "/a;b,c=$d&'(x)*+!~@:"
    plain = route(Respond(status=200, body="plain"), exact("/plain"))
    strange = route(Respond(status=200, body="odd"), exact(odd))
    other = route(Respond(status=200, body="other;\\ 'x' \"y\" %[src]"), exact(odd))
    async with serving() as driver:
        for routes, body in (
            ((plain,), None),
            ((plain, strange), "odd"),
            ((plain, other), "other;\\ 'x' \"y\" %[src]"),
            ((plain,), None),
        ):
            await serve(driver, listener(port), host("a.example", *routes))
            reply = await get(port, "a.example", odd)
            assert (reply.status, reply.body) == ((200, body) if body else (404, reply.body))


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
    serving: RunningDriver, match: PathMatch, replacement: str, asked: str, seen: str
) -> None:
    """Whatever ends or begins with a slash, the application sees one."""
    port, web = free_port(), pool()
    action = forward(web, rewrite_prefix=replacement)
    async with backend("one") as one, serving() as driver:
        await serve(
            driver,
            web,
            members(web, one.endpoint),
            listener(port),
            host("a.example", route(action, match)),
        )

        await get(port, "a.example", asked)

        assert one.requests[0].split(" ")[1] == seen


async def test_a_redirect_keeps_what_it_does_not_change(serving: RunningDriver) -> None:
    """Host, path and query stay; another port than the default one is said."""
    port = free_port()
    cases = {
        "/https": (Redirect(scheme="https", port=443), "https://a.example/https?q=1"),
        "/port": (Redirect(scheme="https", port=8443), "https://a.example:8443/port?q=1"),
        "/code": (Redirect(code=301, scheme="https", port=443), "https://a.example/code?q=1"),
    }
    routes = [route(action, exact(path)) for path, (action, _) in cases.items()]
    async with serving() as driver:
        await serve(driver, listener(port), host("a.example", *routes))

        for path, (action, location) in cases.items():
            for asked in ("a.example", "a.example:80", f"a.example:{port}"):
                reply = await get(port, asked, f"{path}?q=1")
                said = reply.headers["location"].replace(
                    "https://a.example:443/", "https://a.example/"
                )
                assert (reply.status, said) == (action.code, location)


async def test_headers_are_edited_as_the_route_says(serving: RunningDriver) -> None:
    """Removed, then set, then added; what looks like a variable or a quote is text."""
    port, web = free_port(), pool()
    value = """it's "%[src]" ${HOME} 100% \\ # ;"""
    edited = route(
        forward(web),
        request_headers=HeaderEdit(
            remove=("x-gone",), set=(("x-set", value),), add=(("x-added", "b"),)
        ),
        response_headers=HeaderEdit(
            remove=("x-secret",), set=(("x-reply", value),), add=(("x-more", "y"),)
        ),
    )
    async with backend("one") as one, serving() as driver:
        await serve(driver, web, members(web, one.endpoint), listener(port), host("*", edited))
        reply = await get(port, "a", x_gone="1", x_set="old", x_added="a")

    seen = headers_of(one.requests[0])
    assert "x-gone" not in seen
    assert seen["x-set"] == value
    assert [line for line in one.requests[0].lower().split("\r\n") if "x-added" in line]
    assert reply.headers["x-reply"] == value
    assert reply.headers["x-more"] == "y"


async def test_requests_are_shared_out_by_weight(serving: RunningDriver) -> None:
    """One pool of three parts, one of one part, and one of none."""
    port = free_port()
    pools = [pool(name) for name in ("three", "one", "none")]
    shares = zip(pools, (3, 1, 0), strict=True)
    action = Forward(pools=tuple(PoolShare(each.id, weight) for each, weight in shares))
    async with backend("three") as a, backend("one") as b, backend("none") as c:
        rows = [members(p, x.endpoint) for p, x in zip(pools, (a, b, c), strict=True)]
        async with serving() as driver:
            await serve(driver, *pools, *rows, listener(port), host("*", route(action)))
            async with connected(port) as client:
                taken = Counter([(await client.ask("a")).body for _ in range(200)])

    assert 100 < taken["three"] < 190
    assert taken["one"] == 200 - taken["three"]


async def test_what_a_client_says_of_itself_is_not_believed(serving: RunningDriver) -> None:
    """Without trusted hops, the application hears the data plane's word on addresses alone."""
    port, web = free_port(), pool()
    lies = {
        "x-forwarded-for": "6.6.6.6",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "evil.example",
        "x-forwarded-port": "6666",
        "x-real-ip": "6.6.6.6",
        "forwarded": "for=6.6.6.6",
        "x_forwarded_for": "6.6.6.6",
    }
    async with backend("one") as one, serving() as driver:
        await serve(
            driver,
            web,
            members(web, one.endpoint),
            listener(port),
            host("*", route(forward(web))),
        )
        async with connected(port, source="127.0.0.77") as client:
            await client.ask("a.example", headers=lies)

    seen = headers_of(one.requests[0])
    assert "6.6.6.6" not in one.requests[0]
    assert seen["x-real-ip"] == seen["x-forwarded-for"] == "127.0.0.77"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == "a.example"
    assert seen["x-forwarded-port"] == str(port)
    assert seen["x-request-id"]


async def test_a_trusted_proxy_tells_who_the_client_is(serving: RunningDriver) -> None:
    """The address that it added last is the client's; what stands before it may be a lie."""
    port, web = free_port(), pool()
    office = Guard(allow=(Cidr("198.51.100.7/32"),))
    said = {"x-forwarded-for": "6.6.6.6, 198.51.100.7", "x-forwarded-proto": "https"}
    async with backend("one") as one, serving() as driver:
        await serve(
            driver,
            *(web, members(web, one.endpoint)),
            listener(port, ForwardHttp(router=HTTP, trusted_hops=1)),
            host("*", route(forward(web), guard=office)),
        )
        async with connected(port, source="127.0.0.77") as client:
            assert (await client.ask("a.example", headers=said)).status == 200
            assert (await client.ask("a.example")).status == 403

    seen = headers_of(one.requests[0])
    assert seen["x-real-ip"] == "198.51.100.7"
    hops = [each.strip() for each in seen["x-forwarded-for"].split(",")]
    assert hops == ["6.6.6.6", "198.51.100.7", "127.0.0.77"]
    assert seen["x-forwarded-proto"] == "https"


async def test_http2_is_spoken_on_both_sides(serving: RunningDriver) -> None:
    """With prior knowledge by the client, and to a pool that wants it; trailers come through."""
    port, web = free_port(), pool(protocol=BackendProtocol.GRPC)
    async with h2_backend() as (h2_port, seen), serving() as driver:
        await serve(
            driver,
            *(web, members(web, endpoint(h2_port)), listener(port)),
            host("a.example", route(forward(web))),
        )
        async with connected(port) as connection:
            client = H2Client(connection.reader, connection.writer)
            reply = await client.post(
                "a.example", "/pkg.Service/Method", b"\0\0\0\0\0", {"te": "trailers"}
            )

    assert (reply.status, reply.trailers) == (200, {"grpc-status": "0"})
    assert seen[0][":path"] == "/pkg.Service/Method"
    assert seen[0]["te"] == "trailers"


async def test_a_failed_code_is_tried_again_where_that_is_asked(serving: RunningDriver) -> None:
    """On another endpoint, and nowhere else."""
    port, web = free_port(), pool()
    again = route(forward(web, retry=Retry(attempts=6, codes=(503,))), prefix("/again"))
    once = route(forward(web, retry=Retry(attempts=0)), prefix("/"))
    async with backend("good") as good, backend("bad", status=503) as bad, serving() as driver:
        await serve(
            driver,
            *(web, members(web, good.endpoint, bad.endpoint)),
            *(listener(port), host("*", again, once)),
        )

        async def has_failed() -> bool:
            return (await get(port, "a", "/once")).status == 503

        await until(has_failed)
        assert {(await get(port, "a", "/again")).body for _ in range(10)} == {"good"}


async def test_a_silent_endpoint_is_given_up_in_time(serving: RunningDriver) -> None:
    """504 when the route's time is over; other routes to the pool have theirs."""
    port, web = free_port(), pool()
    quick = route(forward(web, timeout_s=0.2, retry=Retry(attempts=0)), prefix("/quick"))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head := await reader.readuntil(b"\r\n\r\n")).startswith(b"GET / "):
            await asyncio.sleep(0.3)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow")
        assert b" /quick " in head
        await reader.read()  # nothing comes until it is given up

    async with tcp_server(answer) as slow, serving() as driver:
        await serve(
            driver,
            *(web, members(web, endpoint(slow)), listener(port)),
            host("*", quick, route(forward(web))),
        )
        assert (await get(port, "a", "/quick")).status == 504
        assert (await get(port, "a", "/")).body == "slow"
