"""Requests through real data planes, by Gateways and HTTPRoutes as people write them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.compile_gateway.planes import Stand, shows
from tests.compile_gateway.world import gateway, http, route, service
from tests.driver_envoy.world import (
    Reply,
    backend,
    free_port,
    headers_of,
    tcp_server,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

_HOST = "a.example"


@asynccontextmanager
async def _backends(*names: str) -> AsyncGenerator[tuple[str, ...]]:
    """Serve backends that answer with their names, and yield their Services."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(backend(name)) for name in names]
        yield tuple(service(each.name, each) for each in found)


@shows("HTTPRoute", "HTTPRouteMethodMatching", "HTTPRouteQueryParamMatching", by_rules=True)
async def test_the_most_special_match_takes_the_request(plane: Stand) -> None:
    """Exact, longer prefix, method, more headers, query: and what no rule takes gets 404."""
    port = free_port()
    names = ("exact", "long", "post", "headers", "header", "query")
    rules = """
- matches: [{path: {value: /}, queryParams: [{name: q, value: '1'}]}]
  backendRefs: [{name: query, port: 80}]
- matches: [{path: {value: /}, headers: [{name: X-A, value: '1'}]}]
  backendRefs: [{name: header, port: 80}]
- matches: [{path: {value: /}, headers: [{name: X-A, value: '1'}, {name: X-B, value: '1'}]}]
  backendRefs: [{name: headers, port: 80}]
- matches: [{path: {value: /}, method: POST}]
  backendRefs: [{name: post, port: 80}]
- matches: [{path: {value: /long}}]
  backendRefs: [{name: long, port: 80}]
- matches: [{path: {type: Exact, value: /long}}]
  backendRefs: [{name: exact, port: 80}]
"""
    async with (
        _backends(*names) as services,
        plane.serving(gateway(http(port)), route("web", rules), *services),
    ):
        assert (await plane.ask(port, "/long")).body == "exact"
        assert (await plane.ask(port, "/long/er")).body == "long"
        assert (await plane.ask(port, "/x", method="POST")).body == "post"
        assert (await plane.ask(port, "/x", X_A="1", X_B="1")).body == "headers"
        assert (await plane.ask(port, "/x?q=1", X_A="1")).body == "header"
        assert (await plane.ask(port, "/x?z=2&q=1")).body == "query"
        assert (await plane.ask(port, "/longer")).status == 404
        assert (await plane.ask(port, "/x", X_A="2")).status == 404


@shows("GatewayHTTPListenerIsolation", by_rules=True)
async def test_a_request_belongs_to_the_closest_listener(plane: Stand) -> None:
    """A listener for every host has no say in the names of another one of its port."""
    port = free_port()
    listeners = (
        http(port, name="any"),
        http(port, name="wild", hostname="*.example"),
        http(port, name="empty", hostname="empty.example"),
    )
    rules = "- backendRefs: [{name: NAME, port: 80}]"
    routes = [
        route(name, rules.replace("NAME", name), parent=f"name: public, sectionName: {name}")
        for name in ("any", "wild")
    ]
    async with (
        _backends("any", "wild") as services,
        plane.serving(gateway(*listeners), *routes, *services),
    ):
        assert (await plane.ask(port, host="other.test")).body == "any"
        assert (await plane.ask(port, host="a.b.example")).body == "wild"
        assert (await plane.ask(port, host="empty.example")).status == 404


@shows("HTTPRouteBackendRequestHeaderModification", "HTTPRouteResponseHeaderModification")
async def test_headers_are_edited_for_a_rule_and_for_a_backend(plane: Stand) -> None:
    """The request's on the way there, the answer's on the way back, a percent sign included."""
    port = free_port()
    rules = """
- filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {set: [{name: X-One, value: rule}], remove: [X-Gone]}
  - type: ResponseHeaderModifier
    responseHeaderModifier: {add: [{name: X-Answer, value: '100%'}]}
  backendRefs:
  - name: web
    port: 80
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {add: [{name: X-Two, value: backend}]}
    - type: ResponseHeaderModifier
      responseHeaderModifier: {set: [{name: X-Back, value: 'yes'}]}
"""
    async with backend("web") as web:
        async with plane.serving(gateway(http(port)), route("web", rules), service("web", web)):
            reply = await plane.ask(port, "/", X_One="client", X_Gone="here")

        told = headers_of(web.requests[0])
        assert (told["x-one"], told["x-two"]) == ("rule", "backend")
        assert "x-gone" not in told
        assert (reply.headers["x-answer"], reply.headers["x-back"]) == ("100%", "yes")


@shows("HTTPRoute")
async def test_annotations_of_a_route_say_who_may_come_and_how_often(plane: Stand) -> None:
    """What Gateway API has no field for: client networks, and requests of one client."""
    port = free_port()
    rules = "- backendRefs: [{name: web, port: 80}]"
    routes = (
        route(
            "closed", rules, hostnames="b.example", annotations="onehop.dev/deny-sources: 0.0.0.0/0"
        ),
        route("once", rules, hostnames="c.example", annotations="onehop.dev/rate-limit: 1/h"),
        route("open", rules, hostnames="a.example"),
    )
    async with (
        _backends("web") as services,
        plane.serving(gateway(http(port)), *routes, *services),
    ):
        assert (await plane.ask(port, host="b.example")).status == 403
        assert (await plane.ask(port, host="c.example")).body == "web"
        assert (await plane.ask(port, host="c.example")).status == 429
        assert (await plane.ask(port)).body == "web"


@pytest.mark.parametrize(
    ("filters", "path", "status", "location"),
    [
        ("hostname: b.example", "/x?q=1", 302, "http://b.example:PORT/x?q=1"),
        ("scheme: https", "/x", 302, "https://a.example/x"),
        ("scheme: https, port: 8443, statusCode: 307", "/x", 307, "https://a.example:8443/x"),
        ("hostname: b.example, port: 80, statusCode: 308", "/x", 308, "http://b.example/x"),
        ("hostname: b.example, scheme: http, statusCode: 303", "/x", 303, "http://b.example/x"),
        (
            "path: {type: ReplaceFullPath, replaceFullPath: /new}, statusCode: 301",
            "/x/y?q=1",
            301,
            "http://a.example:PORT/new?q=1",
        ),
        (
            "path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}",
            "/x/y",
            302,
            "http://a.example:PORT/new/y",
        ),
        (
            "path: {type: ReplacePrefixMatch, replacePrefixMatch: /}",
            "/x/y",
            302,
            "http://a.example:PORT/y",
        ),
    ],
)
@shows(
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRoutePathRedirect",
    "HTTPRoutePortRedirect",
    "HTTPRouteSchemeRedirect",
    by_rules=True,
)
async def test_redirects_say_where(
    plane: Stand, filters: str, path: str, status: int, location: str
) -> None:
    """Without a port, the scheme's own counts, else the listener's; usual ports are not said."""
    port = free_port()
    rules = f"""
- matches: [{{path: {{value: /x}}}}]
  filters: [{{type: RequestRedirect, requestRedirect: {{{filters}}}}}]
"""
    async with plane.serving(gateway(http(port)), route("go", rules)):
        asked = f"a.example:{port}" if "PORT" in location else "a.example"
        reply = await plane.ask(port, path, host=asked)

    assert (reply.status, reply.headers["location"]) == (
        status,
        location.replace("PORT", str(port)),
    )


@pytest.mark.parametrize(
    ("rewrite", "path", "seen"),
    [
        ("hostname: inner.example", "/x?q=1", ("inner.example", "/x?q=1")),
        ("path: {type: ReplaceFullPath, replaceFullPath: /n}", "/x/y?q=1", (_HOST, "/n?q=1")),
        (
            "path: {type: ReplacePrefixMatch, replacePrefixMatch: /n/}",
            "/x/y",
            ("a.example", "/n/y"),
        ),
        ("path: {type: ReplacePrefixMatch, replacePrefixMatch: ''}", "/x", (_HOST, "/")),
    ],
)
@shows("HTTPRouteHostRewrite", "HTTPRoutePathRewrite")
async def test_backends_see_what_was_rewritten(
    plane: Stand, rewrite: str, path: str, seen: tuple[str, str]
) -> None:
    """Another host, another path, another prefix; the query stays."""
    port = free_port()
    rules = f"""
- matches: [{{path: {{value: /x}}}}]
  filters: [{{type: URLRewrite, urlRewrite: {{{rewrite}}}}}]
  backendRefs: [{{name: web, port: 80}}]
"""
    async with backend("web") as web:
        async with plane.serving(gateway(http(port)), route("web", rules), service("web", web)):
            assert (await plane.ask(port, path)).status == 200

        head = web.requests[0]
        assert (headers_of(head)["host"], head.split(" ", 2)[1]) == seen


@shows(
    "HTTPRouteRequestMirror", "HTTPRouteRequestMultipleMirrors", "HTTPRouteRequestPercentageMirror"
)
async def test_copies_go_to_every_mirror_and_answers_to_nobody(plane: Stand) -> None:
    """The client hears the backend alone."""
    port = free_port()
    rules = """
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: one, port: 80}}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: two, port: 80}, percent: 100}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: none, port: 80}, percent: 0}}
  backendRefs: [{name: web, port: 80}]
"""
    async with (
        backend("web") as web,
        backend("one") as one,
        backend("two") as two,
        backend("none") as none,
    ):
        services = (service(each.name, each) for each in (web, one, two, none))
        async with plane.serving(gateway(http(port)), route("web", rules), *services):
            assert (await plane.ask(port, "/x")).body == "web"

            async def copied() -> bool:
                return bool(one.requests and two.requests)

            await until(copied, 30)
            assert none.requests == []


@shows("HTTPRoute", by_rules=True)
async def test_the_share_of_a_missing_backend_is_answered_500(plane: Stand) -> None:
    """And all of it where nothing else is left, or no weight."""
    port = free_port()
    rules = """
- matches: [{path: {value: /half}}]
  backendRefs: [{name: web, port: 80}, {name: absent, port: 80}]
- matches: [{path: {value: /all}}]
  backendRefs: [{name: absent, port: 80}]
- matches: [{path: {value: /zero}}]
  backendRefs: [{name: web, port: 80, weight: 0}]
- matches: [{path: {value: /foreign}}]
  backendRefs: [{name: web, namespace: other, port: 80}]
"""
    async with (
        backend("web") as web,
        plane.serving(gateway(http(port)), route("web", rules), service("web", web)),
    ):
        statuses = {(await plane.ask(port, "/half")).status for _ in range(60)}
        assert statuses == {200, 500}
        for path in ("/all", "/zero", "/foreign"):
            assert (await plane.ask(port, path)).status == 500


@shows("HTTPRoute")
async def test_a_service_without_endpoints_is_answered_503(plane: Stand) -> None:
    """It is there, and nobody is ready: HTTPRouteRule.BackendRefs tells the two apart."""
    port = free_port()
    lonely = service("web", 1).partition("---")[0]
    async with plane.serving(
        gateway(http(port)), route("web", "- backendRefs: [{name: web, port: 80}]"), lonely
    ):
        assert (await plane.ask(port, "/")).status == 503


@shows("HTTPRouteBackendTimeout", "HTTPRouteRequestTimeout")
async def test_timeouts_end_a_request_and_an_attempt(plane: Stand) -> None:
    """504, from whichever ends first."""
    port = free_port()
    rules = """
- matches: [{path: {value: /request}}]
  timeouts: {request: 200ms}
  backendRefs: [{name: web, port: 80}]
- matches: [{path: {value: /attempt}}]
  timeouts: {backendRequest: 200ms}
  backendRefs: [{name: web, port: 80}]
- matches: [{path: {value: /patient}}]
  timeouts: {request: 0s}
  backendRefs: [{name: web, port: 80}]
"""
    async with (
        backend("web", delay_s=1.0) as web,
        plane.serving(gateway(http(port)), route("web", rules), service("web", web)),
    ):
        assert (await plane.ask(port, "/request")).status == 504
        assert (await plane.ask(port, "/attempt")).status == 504
        assert (await plane.ask(port, "/patient")).status == 200


@pytest.mark.parametrize("fault", ["code", "silence", "broken"])
@shows("HTTPRouteRetry", "HTTPRouteRetryBackendTimeout", "HTTPRouteRetryConnectionError")
async def test_a_request_is_tried_again(plane: Stand, fault: str) -> None:
    """After a code that is named, an attempt that takes too long, a connection that breaks off."""
    port, asked = free_port(), 0
    rules = """
- timeouts: {backendRequest: 1500ms}
  retry: {codes: [503], attempts: 3}
  backendRefs: [{name: web, port: 80}]
"""

    async def moody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        if asked <= 2:
            if fault == "silence":
                await asyncio.sleep(30)
            if fault == "code":
                writer.write(b"HTTP/1.1 503 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            return
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()

    async with (
        tcp_server(moody) as moody_port,
        plane.serving(gateway(http(port)), route("web", rules), service("web", moody_port)),
    ):
        assert (await plane.ask(port, "/")).status == 200
    assert asked == 3


@shows("HTTPRouteCORS", by_rules=True)
async def test_pages_of_other_origins_are_told_what_they_may_do(plane: Stand) -> None:
    """A preflight is answered here, a method that is asked for included; strangers hear nothing."""
    port = free_port()
    rules = """
- matches: [{path: {value: /}, method: PUT}]
  filters:
  - type: CORS
    cors:
      allowOrigins: ['https://*.friend.example', 'http://one.example:8080']
      allowMethods: [PUT, GET]
      allowHeaders: [X-A]
      exposeHeaders: [X-B]
      allowCredentials: true
      maxAge: 60
  backendRefs: [{name: web, port: 80}]
- matches: [{path: {value: /open}}]
  filters: [{type: CORS, cors: {allowOrigins: ['*'], allowMethods: ['*']}}]
  backendRefs: [{name: web, port: 80}]
"""

    async def preflight(path: str, origin: str, method: str = "PUT") -> Reply:
        asked = {"origin": origin, "access-control-request-method": method}
        return await plane.ask(port, path, method="OPTIONS", **asked)

    async with (
        backend("web") as web,
        plane.serving(gateway(http(port)), route("web", rules), service("web", web)),
    ):
        friend = await preflight("/x", "https://a.b.friend.example")
        assert friend.status == 200
        assert friend.headers["access-control-allow-origin"] == "https://a.b.friend.example"
        assert friend.headers["access-control-allow-methods"] == "PUT, GET"
        assert friend.headers["access-control-allow-headers"] == "X-A"
        assert friend.headers["access-control-allow-credentials"] == "true"
        assert friend.headers["access-control-max-age"] == "60"
        assert (await preflight("/x", "http://one.example:8080")).status == 200
        stranger = await preflight("/x", "https://friend.example.evil")
        assert "access-control-allow-origin" not in stranger.headers
        anyone = await preflight("/open", "https://evil.example", "PATCH")
        assert anyone.headers["access-control-allow-methods"] == "PATCH"

        reply = await plane.ask(port, "/x", method="PUT", origin="https://a.friend.example")
        assert reply.body == "web"
        assert reply.headers["access-control-expose-headers"] == "X-B"
