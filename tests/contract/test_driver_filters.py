"""What only routes of Gateway API ask for, in detail, on the data planes that do it."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from onehop.driver import Driver
from onehop.model.listener import ForwardHttp
from onehop.model.model import Row, model_of
from onehop.model.pool import CookiePersistence
from onehop.model.route import (
    Conditions,
    Cors,
    Forward,
    HeaderEdit,
    PoolShare,
    Redirect,
    Respond,
    Route,
)
from tests.contract.drivers import TRAFFIC, RunningDriver
from tests.driver_envoy.world import (
    HTTP,
    Client,
    Reply,
    backend,
    bring_to,
    connected,
    exact,
    forward,
    free_port,
    get,
    host,
    listener,
    members,
    pool,
    prefix,
    route,
)

WEB, OTHER = pool("web"), pool("other")
PAGE = "https://page.example"


@pytest_asyncio.fixture(params=TRAFFIC, ids=lambda made: made.__name__)
async def driver(request: pytest.FixtureRequest) -> AsyncIterator[Driver]:
    made: RunningDriver = request.param
    async with made() as running:
        yield running


async def serve(driver: Driver, *rows: Row) -> int:
    """Serve rows on a port, which is returned; none is refused."""
    port = free_port()
    entrance = listener(port, ForwardHttp(router=HTTP, cors=True))
    assert (await bring_to(driver, model_of((entrance, *rows)))).refused == ()
    return port


async def test_redirects_replace_what_they_say_and_nothing_else(driver: Driver) -> None:
    """The query stays; the port goes with the host, and is said where it is unusual."""
    cases = {
        "/host": (Redirect(host="b.example"), "http://b.example/host/x?q=1"),
        "/whole": (Redirect(path="/new"), "http://a.example/new?q=1"),
        "/part": (Redirect(prefix="/new"), "http://a.example/new/x?q=1"),
        "/root": (Redirect(prefix="/"), "http://a.example/x?q=1"),
        "/all": (
            Redirect(scheme="https", host="b.example", port=8443, prefix="/n"),
            "https://b.example:8443/n/x?q=1",
        ),
        "/usual": (
            Redirect(scheme="https", host="b.example", port=443),
            "https://b.example/usual/x?q=1",
        ),
    }
    codes = dict(zip(cases, (301, 302, 303, 307, 308, 302), strict=True))
    routes = []
    for path, (action, _) in cases.items():
        coded = Redirect(
            code=codes[path],
            scheme=action.scheme,
            host=action.host,
            port=action.port,
            path=action.path,
            prefix=action.prefix,
        )
        routes.append(route(coded, prefix(path)))
    port = await serve(driver, host("a.example", *routes))
    async with connected(port) as client:
        for path, (_, location) in cases.items():
            reply = await client.ask("a.example", f"{path}/x?q=1")
            assert (reply.status, reply.headers["location"]) == (codes[path], location)


async def test_paths_and_hosts_are_replaced_for_the_endpoint(driver: Driver) -> None:
    """With what is special about text to either data plane."""
    odd = "/a;b,c=$d&'(x)*+!~@:"
    routes = (
        route(forward(WEB, rewrite_path=odd), exact("/odd")),
        route(forward(WEB, rewrite_path="/new", rewrite_host="b.example"), prefix("/both")),
    )
    async with backend("one") as one:
        port = await serve(driver, WEB, members(WEB, one.endpoint), host("a.example", *routes))
        await get(port, "a.example", "/odd?q=1")
        await get(port, "a.example:8080", "/both/x")
    first, second = (request.split("\r\n") for request in one.requests)
    assert first[0] == f"GET {odd}?q=1 HTTP/1.1"
    assert second[0] == "GET /new HTTP/1.1"
    assert "host: b.example" in [line.lower() for line in second]


@asynccontextmanager
async def serving_pages(driver: Driver, *routes: Route) -> AsyncGenerator[Client]:
    """Serve routes to an endpoint, and yield a client."""
    async with backend("one") as one:
        port = await serve(driver, WEB, members(WEB, one.endpoint), host("a.example", *routes))
        async with connected(port) as client:
            yield client


async def _preflight(client: Client, origin: str, path: str = "/", **more: str) -> Reply:
    headers = {"origin": origin, "access-control-request-method": "PUT", **more}
    return await client.ask("a.example", path, method="OPTIONS", headers=headers)


async def test_a_preflight_is_answered_with_what_is_let_in(driver: Driver) -> None:
    """Other origins are told nothing, and their requests go on to the route."""
    cors = Cors(
        origins=(PAGE, "https://*.wide.example", "http://a.example:8080"),
        credentials=True,
        methods=("PUT", "GET"),
        headers=("x-a", "x-b"),
        exposed=("x-seen",),
        max_age_s=77,
    )
    async with serving_pages(driver, route(forward(WEB), cors=cors)) as client:
        for origin in (PAGE, "https://x.wide.example", "https://x.y.wide.example"):
            reply = await _preflight(client, origin)
            assert (reply.status, reply.body) == (200, "")
            assert reply.headers["access-control-allow-origin"] == origin
            assert reply.headers["access-control-allow-credentials"] == "true"
            assert reply.headers["access-control-allow-methods"] == "PUT, GET"
            assert reply.headers["access-control-allow-headers"] == "x-a, x-b"
            assert reply.headers["access-control-max-age"] == "77"
        for origin in (
            *("http://page.example", "https://page.example.evil", "https://wide.example"),
            *("https://page.example:8443", "https://xwide.example", "http://a.example", "null"),
        ):
            reply = await _preflight(client, origin)
            assert reply.body == "one", origin
            assert "access-control-allow-origin" not in reply.headers
        reply = await client.ask("a.example", headers={"origin": PAGE})
        assert (reply.body, reply.headers["access-control-allow-origin"]) == ("one", PAGE)
        assert reply.headers["access-control-expose-headers"] == "x-seen"
        assert "access-control-allow-origin" not in (await client.ask("a.example")).headers


async def test_whatever_a_page_asks_for_is_let_in_where_all_is(driver: Driver) -> None:
    """`*` for methods and headers is what the client asks for."""
    cors = Cors(origins=("*",), methods=("*",), headers=("*",))
    async with serving_pages(driver, route(forward(WEB), cors=cors)) as client:
        asked = {"access-control-request-headers": "x-q"}
        reply = await _preflight(client, PAGE, **asked)
        assert reply.headers["access-control-allow-origin"] in {"*", PAGE}
        assert reply.headers["access-control-allow-methods"] in {"*", "PUT"}
        assert reply.headers["access-control-allow-headers"] in {"*", "x-q"}


async def test_a_preflight_finds_the_route_of_the_method_that_it_is_about(driver: Driver) -> None:
    """A route for PUT alone lets pages PUT; another one for the same path does not."""
    put = Conditions(method="PUT")
    cors = Cors(origins=(PAGE,), methods=("PUT",))
    routes = (
        route(forward(WEB), when=put, cors=cors),
        route(Respond(status=200, body="rest")),
    )
    async with serving_pages(driver, *routes) as client:
        assert (await _preflight(client, PAGE)).headers["access-control-allow-methods"] == "PUT"
        plain = await client.ask("a.example", method="OPTIONS", headers={"origin": PAGE})
        assert plain.body == "rest"
        assert (await client.ask("a.example", method="PUT")).body == "one"


async def test_each_share_has_its_own_headers_and_its_own_part(driver: Driver) -> None:
    """Six parts of one pool, one of another, and one that is missing."""
    shares = (
        PoolShare(WEB.id, 6, HeaderEdit(set=(("x-way", "a"),)), HeaderEdit(set=(("x-to", "a"),))),
        PoolShare(OTHER.id, 1, HeaderEdit(set=(("x-way", "b"),)), HeaderEdit(set=(("x-to", "b"),))),
        PoolShare(OTHER.id, 0, HeaderEdit(set=(("x-way", "c"),))),
    )
    action = Forward(pools=shares, missing=1)
    async with backend("one") as one, backend("two") as two:
        rows = (WEB, OTHER, members(WEB, one.endpoint), members(OTHER, two.endpoint))
        port = await serve(driver, *rows, host("a.example", route(action)))
        async with connected(port) as client:
            replies = [await client.ask("a.example") for _ in range(200)]
    taken = Counter(
        (reply.status, reply.body if reply.status == 200 else "", reply.headers.get("x-to"))
        for reply in replies
    )
    assert taken.keys() == {(200, "one", "a"), (200, "two", "b"), (500, "", None)}
    assert taken[200, "one", "a"] > max(taken[200, "two", "b"], taken[500, "", None])
    assert all("x-way: a" in request.lower() for request in one.requests)
    assert all("x-way: b" in request.lower() for request in two.requests)


@pytest.mark.parametrize("status", [500, 503])
async def test_what_is_missing_altogether_is_answered(driver: Driver, status: int) -> None:
    """500, or what gRPC wants."""
    nobody = Forward(pools=(PoolShare(WEB.id, 0),), missing=1, missing_status=status)
    port = await serve(driver, WEB, host("a.example", route(nobody)))

    assert (await get(port, "a.example")).status == status


async def test_a_share_of_a_pool_that_keeps_sessions_is_shared_all_the_same(
    driver: Driver,
) -> None:
    """Half of the requests have no backend, though the other half has a cookie."""
    kept = pool("kept", persistence=CookiePersistence(name="a"))
    async with backend("one") as one:
        rows = (kept, members(kept, one.endpoint))
        port = await serve(driver, *rows, host("a.example", route(forward(kept, missing=1))))
        seen = set()
        for number in range(1, 41):
            async with connected(port, source=f"127.0.{number}.{number}") as client:
                seen.add((await client.ask("a.example")).status)
    assert seen == {200, 500}
