"""What the generated rules do, carried out by an interpreter of our own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.driver.vtm.quote import quoted
from onehop.lab.vtm.functions import Answer, Discard, UsePool
from onehop.lab.vtm.syntax import Assign, Literal, parse
from onehop.lab.vtm.trafficscript import (
    calls_of,
    pools_named,
    run_request_rule,
    run_response_rule,
    understand,
)
from onehop.model.address import Cidr
from onehop.model.listener import ForwardHttp
from onehop.model.pool import CookiePersistence
from onehop.model.route import (
    Conditions,
    Forward,
    Guard,
    HeaderEdit,
    Labels,
    PathKind,
    PoolShare,
    RateLimit,
    Redirect,
    Respond,
)
from tests.driver_vtm.asking import API, RULE, WEB, ask, name, request, rules, status
from tests.driver_vtm.stage import HTTP, NAMES, forward, host, listener, pool, route


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/api", "api"),
        ("/api/", "api"),
        ("/api/v1?x=1", "api"),
        ("/apis", "web"),
        ("/api%2Fv1", "api"),
        ("//api", "api"),
        ("/x/../api", "api"),
        ("/exact", "api"),
        ("/exact/", "web"),
    ],
)
def test_paths_are_taken_element_by_element(url: str, expected: str) -> None:
    """A prefix ends where an element ends, an exact path is itself, detours are straightened."""
    text = rules(
        host(
            "a.example",
            route(forward(API), "/exact", PathKind.EXACT),
            route(forward(API), "/api"),
            route(forward(WEB)),
        )
    )[RULE]

    assert name(ask(text, url)) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("a.example", "web"),
        ("A.Example:8080", "web"),
        ("b.a.example", "api"),
        ("c.b.a.example", "api"),
        ("other.example", 404),
        ("xa.example", 404),
    ],
)
def test_exact_hosts_come_before_wildcards(asked: str, expected: object) -> None:
    """Whatever their order; and a name nobody has gets 404."""
    text = rules(host("*.a.example", route(forward(API))), host("a.example", route(forward(WEB))))[
        RULE
    ]

    outcome = ask(text, host=asked)

    assert (name(outcome) if isinstance(outcome, UsePool) else status(outcome)) == expected


def test_a_host_does_not_fall_through_to_another() -> None:
    """What no route of `a.example` takes is 404, though `*` would take it (ADR 0010)."""
    text = rules(host("a.example", route(forward(API), "/api")), host("*", route(forward(WEB))))[
        RULE
    ]

    assert status(ask(text, "/other")) == 404
    assert name(ask(text, "/other", host="b.example")) == "web"


def test_labels_count_what_the_star_stands_for() -> None:
    """ONE takes one label, MORE takes what ONE leaves; a route for one name takes only that."""
    text = rules(
        host(
            "*.a.example",
            route(Respond(status=201), labels=Labels.ANY, hostname="only.a.example"),
            route(forward(WEB), labels=Labels.ONE),
            route(forward(API), labels=Labels.MORE),
        )
    )[RULE]

    assert name(ask(text, host="b.a.example")) == "web"
    assert name(ask(text, host="c.b.a.example")) == "api"
    assert status(ask(text, host="only.a.example")) == 201


def test_weights_share_requests_out() -> None:
    """By lot; a share of 0 gets nothing."""
    third = pool("third")
    shares = (PoolShare(WEB.id, 90), PoolShare(API.id, 10), PoolShare(third.id, 0))
    text = rules(host("a.example", route(Forward(pools=shares))), pools=(third,))[RULE]

    assert name(ask(text, draws=[89])) == "web"
    assert name(ask(text, draws=[90])) == "api"
    assert third.id not in text


def test_sessions_keep_their_pool() -> None:
    """Where a pool keeps sessions, the client's address draws the lot, always the same."""
    kept = pool("kept", persistence=CookiePersistence(name="onehop"))
    text = rules(host("a.example", route(forward(kept, WEB))), pools=(kept,))[RULE]

    for last in range(20):
        outcomes = {ask(text, client=f"192.0.2.{last}") for _ in range(3)}
        assert len(outcomes) == 1
    assert len({ask(text, client=f"192.0.2.{last}") for last in range(20)}) == 2


@pytest.mark.parametrize(
    ("path", "kind", "replacement", "url", "expected"),
    [
        ("/foo", PathKind.PREFIX, "/new", "/foo/bar?q=1", "/new/bar?q=1"),
        ("/foo", PathKind.PREFIX, "/new", "/foo", "/new"),
        ("/foo", PathKind.PREFIX, "/", "/foo", "/"),
        ("/foo", PathKind.PREFIX, "/", "/foo/bar", "/bar"),
        ("/", PathKind.PREFIX, "/new", "/foo", "/new/foo"),
        ("/foo", PathKind.EXACT, "/new", "/foo", "/new"),
        ("/föö", PathKind.PREFIX, "/new", "/f%C3%B6%C3%B6/bar", "/new/bar"),
    ],
)
def test_rewrites_replace_what_matched(
    path: str, kind: PathKind, replacement: str, url: str, expected: str
) -> None:
    """The same edges as Envoy's: no `//bar`, no `/newbar`."""
    text = rules(host("a.example", route(forward(WEB, rewrite_prefix=replacement), path, kind)))[
        RULE
    ]
    asked = request(url)

    assert name(run_request_rule(text, asked)) == "web"
    assert asked.url == expected


@pytest.mark.parametrize(
    "hidden", ["%3Fadmin=1", "%2523", "%23", "%2561dmin", "a;b=c", "%20%C3%B6"]
)
def test_what_is_hidden_in_a_path_stays_hidden(hidden: str) -> None:
    """Decoded, it would begin a query, or be decoded twice; the endpoint gets it as it came."""
    text = rules(host("a.example", route(forward(WEB, rewrite_prefix="/new"), "/foo")))[RULE]
    asked = request(f"/foo/{hidden}?q=1")

    run_request_rule(text, asked)

    assert asked.url == f"/new/{hidden}?q=1"


def test_a_path_is_written_as_in_a_url() -> None:
    """However the client spells it."""
    text = rules(
        host("a.example", route(forward(API), "/caf%C3%A9"), route(forward(WEB), "/100%25"))
    )[RULE]

    assert name(ask(text, "/caf%C3%A9/x")) == "api"
    assert name(ask(text, "/caf%c3%a9")) == "api"
    assert name(ask(text, "/%31%30%30%25")) == "web"


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        (Redirect(scheme="https"), "https://a.example/x?y=1"),
        (Redirect(scheme="https", port=443), "https://a.example/x?y=1"),
        (Redirect(scheme="https", port=8443), "https://a.example:8443/x?y=1"),
        (Redirect(code=301), "http://a.example:8080/x?y=1"),
    ],
)
def test_redirects_keep_host_path_and_query(redirect: Redirect, expected: str) -> None:
    """A default port is not written into the Location."""
    text = rules(host("a.example", route(redirect)))[RULE]

    outcome = ask(text, "/x?y=1", host="a.example:8080")

    assert isinstance(outcome, Answer)
    assert (outcome.status, dict(outcome.headers)["Location"]) == (redirect.code, expected)


def test_an_absolute_url_does_not_get_into_a_location() -> None:
    """`GET http://evil/ HTTP/1.1` would glue a second host to ours."""
    text = rules(host("a.example", route(Redirect(scheme="https"))))[RULE]

    outcome = ask(text, "http://evil.example/x")

    assert isinstance(outcome, Answer)
    assert dict(outcome.headers)["Location"] == "https://a.example/"


def test_guards_let_in_whom_they_should() -> None:
    """Allowed and not denied; a rate that is exceeded is 429, a body too long 413."""
    guard = Guard(
        allow=(Cidr("192.0.2.0/24"),),
        deny=(Cidr("192.0.2.66/32"),),
        body_limit_bytes=1000,
        rate_limit=RateLimit(requests=5),
    )
    text = rules(host("a.example", route(forward(WEB), guard=guard)))[RULE]
    limit = NAMES.name("listener-80 a.example prefix /")

    assert name(ask(text)) == "web"
    assert status(ask(text, client="198.51.100.1")) == 403
    assert status(ask(text, client="192.0.2.66")) == 403
    assert status(ask(text, over_rate={limit})) == 429
    assert status(ask(text, method="POST", headers={"content-length": "1001"})) == 413
    assert name(ask(text, method="POST", headers={"content-length": "1000"})) == "web"
    assert status(ask(text, method="POST")) == 411
    assert status(ask(text, headers={"transfer-encoding": "chunked"})) == 411


def test_believed_proxies_tell_the_client() -> None:
    """The address so many places from the right of X-Forwarded-For; too short a list tells none."""
    guard = Guard(allow=(Cidr("198.51.100.7/32"),))
    entrance = listener(handler=ForwardHttp(router=HTTP, trusted_hops=2))
    text = rules(host("a.example", route(forward(WEB), guard=guard)), entrance=entrance)[RULE]

    told = {"x-forwarded-for": "203.0.113.9, 198.51.100.7, 10.0.0.1"}
    assert name(ask(text, headers=told)) == "web"
    assert status(ask(text, headers={"x-forwarded-for": "198.51.100.7"})) == 403
    assert status(ask(text)) == 403


def test_sources_of_an_http_listener_are_looked_at_first() -> None:
    """Before anything is said to the client."""
    entrance = listener(sources=("10.0.0.0/8", "2001:db8::/32"))
    text = rules(host("a.example", route(forward(WEB))), entrance=entrance)[RULE]

    assert ask(text) == Discard()
    assert name(ask(text, client="10.1.2.3")) == "web"


def test_headers_are_edited_on_both_ways() -> None:
    """Removed, set, added; the answer of the right route, whatever the client pretends."""
    edit = HeaderEdit(set=(("X-A", "1"),), add=(("X-B", "2"),), remove=("X-C",))
    texts = rules(
        host(
            "a.example",
            route(forward(API), "/api", request_headers=edit, response_headers=edit),
            route(forward(WEB)),
        )
    )
    response = next(text for key, text in texts.items() if key != RULE)
    edited = request("/api", headers={"x-b": "0", "x-c": "x"})
    run_request_rule(texts[RULE], edited)
    assert (edited.headers["x-a"], edited.headers["x-b"]) == ("1", "0, 2")
    assert "x-c" not in edited.headers
    assert edited.headers["x-real-ip"] == edited.client
    answered = {"x-b": "0", "x-c": "x"}
    run_response_rule(response, edited, answered)
    assert answered == {"x-a": "1", "x-b": "0, 2"}

    plain = request("/", headers={"x-onehop-route": edited.headers["x-onehop-route"]})
    run_request_rule(texts[RULE], plain)
    untouched = {"x-c": "x"}
    run_response_rule(response, plain, untouched)
    assert untouched == {"x-c": "x"}


def test_pools_are_named_literally() -> None:
    """A unit monitors only pools that it finds in the text."""
    text = rules(host("a.example", route(forward(API), "/api"), route(forward(WEB))))[RULE]

    assert set(pools_named(text)) == {NAMES.name(WEB.id), NAMES.name(API.id)}


@given(st.text())
@settings(max_examples=300)
def test_quoting_keeps_any_text_a_text(text: str) -> None:
    """One string token, with the value that went in: nothing ends it, nothing is interpolated."""
    text = text.encode("utf-8", "replace").decode()
    source = f"$x = {quoted(text)};"

    assert parse(source) == (Assign("x", Literal(text)),)
    assert source.isascii()
    assert not set(source[6:-2]) & set('"$%\n')


HOSTILE = st.text(alphabet=st.sampled_from(list("\"'\\;){}#$%`\n\r\t\0 aé*.?/<>=")), max_size=20)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
@settings(max_examples=60, deadline=None)
def test_no_text_of_a_tenants_becomes_a_statement(
    hostname: str, path: str, header: str, body: str
) -> None:
    """Whatever stands in a host, a path, a header or a body: the rule has the same statements."""

    def shape(one: str, two: str, three: str, four: str) -> list[list[str]]:
        edit = HeaderEdit(set=(("X-A", three),), add=(("X-B", three),))
        routes = (
            route(forward(API), f"/p{two}", request_headers=edit, response_headers=edit),
            route(Respond(status=200, body=four), f"/p{two}/2"),
            route(Redirect(scheme="https"), f"/p{two}/3", response_headers=edit),
        )
        texts = rules(host(f"x{one}", *routes), host("*", route(forward(WEB))))
        for text in texts.values():
            understand(text)
        return [_calls(text) for _, text in sorted(texts.items())]

    with_them = shape(hostname, path, header, body)

    is_refused = any(ord(c) < 32 for c in header + body.replace("\n", ""))
    assert with_them == (shape("", "", "v", "b") if not is_refused else _without_host())


@given(HOSTILE, HOSTILE)
@settings(max_examples=60, deadline=None)
def test_no_condition_of_a_tenants_becomes_a_statement(header: str, query: str) -> None:
    """Whatever a header or a parameter shall be: a test of two texts, or a host that is refused."""

    def shape(one: str, two: str) -> list[str]:
        when = Conditions(headers=(("x-a", f"v{one}"),), queries=(("q", two),))
        text = rules(host("a.example", route(forward(WEB), when=when)))[RULE]
        understand(text)
        return _calls(text)

    is_refused = any(ord(c) < 32 for c in header + query)
    assert (shape(header, query) == shape("", "")) is not is_refused


def _without_host() -> list[list[str]]:
    texts = rules(host("*", route(forward(WEB))))
    return [_calls(text) for _, text in sorted(texts.items())]


def _calls(text: str) -> list[str]:
    """Return the functions that a rule calls, in their order."""
    return [call.function for call in calls_of(parse(text))]
