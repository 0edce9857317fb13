"""What is claimed of requests; much of it can be thought through where none can be sent."""

import asyncio
from collections import Counter

from onehop.driver import Capability
from onehop.model.address import Cidr
from onehop.model.listener import ForwardHttp
from onehop.model.model import Row
from onehop.model.route import (
    Conditions,
    Cors,
    Forward,
    Guard,
    HeaderEdit,
    Mirror,
    PoolShare,
    RateLimit,
    Redirect,
    RedirectShare,
    Retry,
    Rewrite,
    Route,
)
from tests.contract.scene import Scene, entrance, give_back, proves
from tests.driver_envoy.world import (
    HTTP,
    backend,
    connected,
    endpoint,
    exact,
    forward,
    free_port,
    host,
    members,
    pool,
    prefix,
    route,
    tcp_server,
    until,
)

WEB, OTHER = pool("web"), pool("other")
_UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket"


def served(scene: Scene, *routes: Route, name: str = "a.example") -> tuple[Row, ...]:
    """Return two pools, a listener, and a host with these routes."""
    pools = (WEB, members(WEB, scene.one.endpoint), OTHER, members(OTHER, scene.two.endpoint))
    return (*pools, entrance(scene), host(name, *routes))


@proves(Capability.HTTP)
async def hosts_and_paths_choose_the_endpoint(scene: Scene) -> None:
    routes = (
        route(forward(OTHER), exact("/api/exact")),
        route(forward(WEB), prefix("/api")),
        route(forward(OTHER)),
    )
    away = host("b.example", route(forward(OTHER), prefix("/only")))
    await scene.serve(*served(scene, *routes), away)
    for name, path, by in (
        ("a.example", "/api", "one"),
        ("a.example", "/api/x?q=1", "one"),
        ("a.example", "/api/exact", "two"),
        ("a.example", "/apis", "two"),
        ("A.Example", "/", "two"),
        ("b.example", "/only/x", "two"),
    ):
        assert (await scene.ask(name, path)).by == by, (name, path)
    assert (await scene.ask("b.example", "/")).status == 404
    assert (await scene.ask("c.example", "/")).status == 404


@proves(Capability.WEBSOCKET)
async def a_connection_is_upgraded_and_carries_bytes(scene: Scene) -> None:
    """With the key and the answer of RFC 6455, section 1.3."""

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        writer.write(f"HTTP/1.1 101 X\r\n{_UPGRADE}\r\n{accept}\r\n\r\n".encode())
        await give_back(reader, writer)

    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    asked = f"GET / HTTP/1.1\r\nHost: a.example\r\n{_UPGRADE}\r\n{key}\r\n\r\n".encode()
    async with tcp_server(upgrade) as port:
        rows = (WEB, members(WEB, endpoint(port)), entrance(scene))
        await scene.serve(*rows, host("a.example", route(forward(WEB))))
        async with connected(scene.traffic(), preface=asked) as client, asyncio.timeout(20):
            assert b" 101 " in await client.reader.readuntil(b"\r\n\r\n")
            client.writer.write(b"hello")
            assert await client.reader.readexactly(5) == b"hello"


@proves(Capability.WILDCARD_HOSTS)
async def the_longest_name_takes_the_request(scene: Scene) -> None:
    deeper = host("*.b.a.example", route(forward(OTHER)))
    named = host("own.a.example", route(forward(OTHER)))
    await scene.serve(*served(scene, route(forward(WEB)), name="*.a.example"), deeper, named)
    for name, by in (("x.a.example", "one"), ("x.b.a.example", "two"), ("own.a.example", "two")):
        assert (await scene.ask(name)).by == by, name
    assert (await scene.ask("a.example")).status == 404


@proves(Capability.TRUSTED_PROXIES)
async def a_trusted_proxy_tells_who_the_client_is(scene: Scene) -> None:
    office = Guard(allow=(Cidr("198.51.100.7/32"),))
    rows = served(scene, route(forward(WEB), guard=office))
    trusting = entrance(scene, handler=ForwardHttp(router=HTTP, trusted_hops=1))
    await scene.serve(*rows[:4], trusting, *rows[5:])
    told = {"x-forwarded-for": "6.6.6.6, 198.51.100.7"}
    got = await scene.ask(headers=told)
    assert (got.status, got.seen["x-real-ip"]) == (200, "198.51.100.7")
    assert (await scene.ask()).status == 403


@proves(Capability.REDIRECT)
async def a_redirect_keeps_what_it_does_not_change(scene: Scene) -> None:
    to_https = route(Redirect(scheme="https", port=443), prefix("/https"))
    to_port = route(Redirect(code=301, scheme="https", port=8443), prefix("/port"))
    await scene.serve(*served(scene, to_https, to_port))
    got = await scene.ask(path="/https/x?q=1")
    said = got.headers["location"].replace("https://a.example:443/", "https://a.example/")
    assert (got.status, said) == (308, "https://a.example/https/x?q=1")
    got = await scene.ask(path="/port?q=1")
    assert (got.status, got.headers["location"]) == (301, "https://a.example:8443/port?q=1")


@proves(Capability.REWRITE_PREFIX)
async def the_matched_part_of_the_path_is_replaced(scene: Scene) -> None:
    to_new = route(forward(WEB, rewrite_prefix="/new"), prefix("/foo"))
    to_root = route(forward(WEB, rewrite_prefix="/"), prefix("/gone"))
    await scene.serve(*served(scene, to_new, to_root))
    for path, seen in (("/foo/bar?q=1", "/new/bar?q=1"), ("/foo", "/new"), ("/gone/x", "/x")):
        assert (await scene.ask(path=path)).path == seen


@proves(Capability.REQUEST_HEADERS)
async def the_endpoint_sees_edited_headers(scene: Scene) -> None:
    edit = HeaderEdit(remove=("x-gone",), set=(("x-set", "new"),), add=(("x-more", "b"),))
    await scene.serve(*served(scene, route(forward(WEB), request_headers=edit)))
    got = await scene.ask(headers={"x-gone": "1", "x-set": "old"})
    assert "x-gone" not in got.seen
    assert (got.seen["x-set"], got.seen["x-more"]) == ("new", "b")


@proves(Capability.RESPONSE_HEADERS)
async def the_client_sees_edited_headers(scene: Scene) -> None:
    hsts = ("strict-transport-security", "max-age=31536000; includeSubDomains")
    edit = HeaderEdit(set=(hsts,), add=(("x-more", "b"),))
    await scene.serve(*served(scene, route(forward(WEB), response_headers=edit)))
    got = await scene.ask()
    assert (got.headers[hsts[0]], got.headers["x-more"]) == (hsts[1], "b")


@proves(Capability.WEIGHTED_POOLS)
async def requests_are_shared_out_by_weight(scene: Scene) -> None:
    shares = Forward(pools=(PoolShare(WEB.id, 3), PoolShare(OTHER.id, 1)))
    await scene.serve(*served(scene, route(shares)))
    taken = Counter([(await scene.ask()).by for _ in range(120)])
    assert taken["one"] > taken["two"] > 0


@proves(Capability.CLIENT_NETWORKS)
async def only_admitted_networks_get_an_answer(scene: Scene) -> None:
    guard = Guard(allow=(Cidr("127.0.0.0/24"),), deny=(Cidr("127.0.0.9/32"),))
    await scene.serve(*served(scene, route(forward(WEB), guard=guard)))
    for source, status in (("127.0.0.5", 200), ("127.0.0.9", 403), ("127.9.9.9", 403)):
        assert (await scene.ask(source=source)).status == status


async def _is_limited(scene: Scene, limit: RateLimit) -> None:
    await scene.serve(*served(scene, route(forward(WEB), guard=Guard(rate_limit=limit))))
    port = scene.traffic()
    admitted = limit.requests + limit.burst
    for source in ("127.0.0.5", "127.0.0.6"):
        async with connected(port, source=source) as client:
            got = [(await client.ask("a.example")).status for _ in range(admitted + 2)]
        assert got == [200] * admitted + [429] * 2


@proves(Capability.RATE_LIMIT)
async def each_client_has_a_rate_of_its_own(scene: Scene) -> None:
    await _is_limited(scene, RateLimit(requests=3, per_s=3600))


@proves(Capability.RATE_LIMIT_BURST)
async def a_burst_comes_on_top_of_the_rate(scene: Scene) -> None:
    await _is_limited(scene, RateLimit(requests=3, per_s=3600, burst=2))


@proves(Capability.BODY_LIMIT)
async def a_body_over_the_limit_is_not_taken(scene: Scene) -> None:
    await scene.serve(*served(scene, route(forward(WEB), guard=Guard(body_limit_bytes=100))))
    for size, status in ((100, 200), (101, 413)):
        headers = {} if scene.plane.carries else {"content-length": str(size)}
        got = await scene.ask(method="POST", body=b"x" * size, headers=headers)
        assert got.status == status


@proves(Capability.REQUEST_TIMEOUT)
async def a_silent_endpoint_is_given_up(scene: Scene) -> None:
    await _gives_up(scene, forward(WEB, timeout_s=0.3, retry=Retry(attempts=0)))


@proves(Capability.RETRY_TIMEOUT)
async def a_silent_attempt_is_given_up(scene: Scene) -> None:
    await _gives_up(scene, forward(WEB, retry=Retry(per_try_timeout_s=0.3)))


@proves(Capability.IDLE_TIMEOUT)
async def a_silent_stream_is_given_up(scene: Scene) -> None:
    await _gives_up(scene, forward(WEB, idle_timeout_s=0.5, retry=Retry(attempts=0)))


async def _gives_up(scene: Scene, action: Forward) -> None:
    """The endpoint would take far longer than a client of these tests waits."""
    async with backend("slow", delay_s=60) as slow:
        rows = (WEB, members(WEB, slow.endpoint), entrance(scene))
        await scene.serve(*rows, host("a.example", route(action)))
        async with connected(scene.traffic()) as client:
            assert (await client.ask("a.example")).status in {408, 504}


@proves(Capability.RETRIES)
async def as_many_endpoints_are_tried_as_asked_for(scene: Scene) -> None:
    dead = (endpoint(free_port()), endpoint(free_port()))
    rows = (WEB, members(WEB, scene.one.endpoint, *dead), entrance(scene))
    again = forward(WEB, retry=Retry(attempts=12))
    await scene.serve(*rows, host("a.example", route(again)))
    scene.traffic()
    assert {(await scene.ask()).by for _ in range(10)} == {"one"}


@proves(Capability.RETRY_CODES)
async def a_failed_code_is_tried_again(scene: Scene) -> None:
    async with backend("bad", status=503) as bad:
        rows = (WEB, members(WEB, scene.one.endpoint, bad.endpoint), entrance(scene))
        again = forward(WEB, retry=Retry(attempts=6, codes=(503,)))
        await scene.serve(*rows, host("a.example", route(again)))
        scene.traffic()
        assert {(await scene.ask()).by for _ in range(10)} == {"one"}

        async def is_tried() -> bool:
            assert (await scene.ask()).by == "one"
            return bool(bad.requests)

        await until(is_tried, 30)


@proves(Capability.MATCHES)
async def methods_headers_and_queries_choose_the_route(scene: Scene) -> None:
    posts = Conditions(method="POST", headers=(("x-beta", "yes"),), queries=(("v", "2"),))
    routes = (route(forward(OTHER), when=posts), route(forward(WEB)))
    await scene.serve(*served(scene, *routes))
    beta = {"x-beta": "yes"}
    for method, headers, path, by in (
        ("POST", beta, "/?v=2", "two"),
        ("GET", beta, "/?v=2", "one"),
        ("POST", {}, "/?v=2", "one"),
        ("POST", beta, "/?v=1", "one"),
    ):
        assert (await scene.ask(path=path, method=method, headers=headers)).by == by


@proves(Capability.CORS)
async def a_preflight_of_an_admitted_origin_is_answered(scene: Scene) -> None:
    page = "https://page.example"
    cors = Cors(origins=(page,), methods=("PUT",), headers=("x-a",))
    handler = ForwardHttp(router=HTTP, cors=True)
    rows = served(scene, route(forward(WEB), cors=cors))
    await scene.serve(*rows[:4], entrance(scene, handler=handler), *rows[5:])
    asked = {"origin": page, "access-control-request-method": "PUT"}
    got = await scene.ask(method="OPTIONS", headers=asked)
    assert got.headers["access-control-allow-origin"] == page
    assert "PUT" in got.headers["access-control-allow-methods"]
    assert got.by == ""


@proves(Capability.REDIRECT_ELSEWHERE)
async def a_redirect_leads_to_another_host_and_path(scene: Scene) -> None:
    whole = route(Redirect(code=302, host="b.example", path="/new"), prefix("/whole"))
    part = route(Redirect(code=302, host="b.example", prefix="/new"), prefix("/part"))
    await scene.serve(*served(scene, whole, part))
    for path, location in (("/whole/x", "/new"), ("/part/x", "/new/x")):
        got = await scene.ask(path=path)
        assert (got.status, got.headers["location"]) == (302, f"http://b.example{location}")


@proves(Capability.REWRITE_PATH)
async def the_whole_path_is_replaced(scene: Scene) -> None:
    await scene.serve(*served(scene, route(forward(WEB, rewrite_path="/new"))))
    assert (await scene.ask(path="/a/b?q=1")).path == "/new?q=1"


@proves(Capability.REWRITE_HOST)
async def the_endpoint_sees_another_host(scene: Scene) -> None:
    await scene.serve(*served(scene, route(forward(WEB, rewrite_host="inner.example"))))
    assert (await scene.ask()).seen["host"] == "inner.example"


@proves(Capability.MIRRORS)
async def another_pool_gets_copies(scene: Scene) -> None:
    await scene.serve(*served(scene, route(forward(WEB, mirrors=(Mirror(OTHER.id),)))))
    scene.traffic()
    assert (await scene.ask(path="/copied")).by == "one"

    async def is_copied() -> bool:
        return any(" /copied " in head for head in scene.two.requests)

    await until(is_copied, 20)


@proves(Capability.MISSING_BACKENDS)
async def the_share_of_a_missing_backend_is_answered_500(scene: Scene) -> None:
    await scene.serve(*served(scene, route(forward(WEB, missing=1))))
    assert {(await scene.ask()).status for _ in range(40)} == {200, 500}


@proves(Capability.BACKEND_HEADERS)
async def headers_differ_by_backend(scene: Scene) -> None:
    one = HeaderEdit(set=(("x-way", "one"),))
    edited = PoolShare(WEB.id, 1, request_headers=one, response_headers=one)
    shares = Forward(pools=(edited, PoolShare(OTHER.id, 1)))
    await scene.serve(*served(scene, route(shares)))
    got = [await scene.ask() for _ in range(40)]
    ways = {(each.by, each.seen.get("x-way"), each.headers.get("x-way")) for each in got}
    assert ways == {("one", "one", "one"), ("two", None, None)}


@proves(Capability.BACKEND_FILTERS)
async def each_backend_has_ways_of_its_own(scene: Scene) -> None:
    shares = (
        PoolShare(WEB.id, 2, rewrite=Rewrite(host="inner.example", prefix="/new")),
        PoolShare(OTHER.id, 2),
    )
    moved = RedirectShare(Redirect(code=302, path="/moved"), 2)
    split = Forward(pools=shares, redirects=(moved,))
    await scene.serve(*served(scene, route(split, prefix("/old"))))
    scene.traffic()
    seen = {
        (got.status, got.by, got.path, got.seen.get("host"))
        for got in [await scene.ask(path="/old/x") for _ in range(80)]
    }
    assert seen == {
        (200, "one", "/new/x", "inner.example"),
        (200, "two", "/old/x", "a.example"),
        (302, "", "", None),
    }


@proves(Capability.RETRY_ON_SILENCE)
async def a_silent_attempt_is_made_again(scene: Scene) -> None:
    again = Retry(attempts=6, per_try_timeout_s=1.5, on_silence=True)
    async with backend("slow", delay_s=60) as slow:
        both = members(WEB, scene.one.endpoint, slow.endpoint)
        rows = (WEB, both, entrance(scene), host("a.example", route(forward(WEB, retry=again))))
        await scene.serve(*rows)
        scene.traffic()
        assert {(await scene.ask()).by for _ in range(4)} == {"one"}


@proves(Capability.RETRY_PAUSE)
async def a_failed_attempt_is_made_again_after_a_pause(scene: Scene) -> None:
    async with backend("bad", status=503) as bad:
        again = Retry(attempts=9, codes=(503,), backoff_s=0.01)
        both = members(WEB, scene.one.endpoint, bad.endpoint)
        rows = (WEB, both, entrance(scene), host("a.example", route(forward(WEB, retry=again))))
        await scene.serve(*rows)
        scene.traffic()
        assert {(await scene.ask()).by for _ in range(4)} == {"one"}
