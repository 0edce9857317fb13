"""What only routes of Gateway API ask for, carried out by an interpreter of our own."""

from collections import Counter

import pytest

from onehop.driver.vtm.mark import MARK
from onehop.lab.vtm.functions import Answer, UsePool
from onehop.lab.vtm.trafficscript import run_request_rule
from onehop.model.pool import CookiePersistence
from onehop.model.route import (
    Conditions,
    Cors,
    Forward,
    HeaderEdit,
    PathKind,
    PoolShare,
    Redirect,
    Respond,
    Route,
)
from tests.driver_vtm.asking import (
    API,
    RULE,
    WEB,
    ask,
    name,
    redirected,
    request,
    respond,
    rules,
    status,
)
from tests.driver_vtm.stage import NAMES, forward, host, pool, route

PAGE = "https://page.example"


def text_of(*routes: Route) -> str:
    return rules(host("a.example", *routes))[RULE]


@pytest.mark.parametrize(
    ("method", "headers", "url", "expected"),
    [
        ("POST", {"x-beta": "yes"}, "/?v=2", "api"),
        ("POST", {"x-beta": "yes"}, "/?w=1&v=2&x", "api"),
        ("GET", {"x-beta": "yes"}, "/?v=2", "web"),
        ("POST", {"x-beta": "Yes"}, "/?v=2", "web"),
        ("POST", {}, "/?v=2", "web"),
        ("POST", {"x-beta": "yes"}, "/?v=22", "web"),
        ("POST", {"x-beta": "yes"}, "/?xv=2", "web"),
        ("POST", {"x-beta": "yes"}, "/?v=%32", "web"),
        ("POST", {"x-beta": "yes"}, "/v=2", "web"),
    ],
)
def test_a_route_takes_what_is_all_it_asks_for(
    method: str, headers: dict[str, str], url: str, expected: str
) -> None:
    """Methods, headers and parameters as they stand in the URL, whole and exact."""
    when = Conditions(method="POST", headers=(("x-beta", "yes"),), queries=(("v", "2"),))
    text = text_of(route(forward(API), when=when), route(forward(WEB)))

    assert name(ask(text, url, headers=headers, method=method)) == expected


def test_a_header_without_a_value_has_to_be_there() -> None:
    """An empty one is not one that is missing."""
    when = Conditions(headers=(("x-empty", ""),))
    text = text_of(route(forward(API), when=when), route(forward(WEB)))

    assert name(ask(text, headers={"x-empty": ""})) == "api"
    assert name(ask(text, headers={"x-empty": "1"})) == "web"
    assert name(ask(text)) == "web"


def test_a_body_is_not_asked_for_parameters() -> None:
    """`http.getFormParam` would look into it; a rule that reads a body holds it back."""
    when = Conditions(queries=(("v", "2"),))
    text = text_of(route(forward(API), when=when))

    assert "getFormParam" not in text
    assert text.count("getRawQueryString") == 1
    assert "getRawQueryString" not in text_of(route(forward(API)))


def test_a_method_is_the_second_of_two_elements() -> None:
    """Of whatever service."""
    text = text_of(route(forward(API), "Get.It", PathKind.METHOD), route(forward(WEB)))

    assert name(ask(text, "/a.Service/Get.It")) == "api"
    for url in ("/a.Service/GetXIt", "/Get.It", "/x/a.Service/Get.It", "/a.Service/Get.It/"):
        assert name(ask(text, url)) == "web"


@pytest.mark.parametrize(
    ("redirect", "path", "location"),
    [
        (Redirect(code=301, host="b.example"), "/p", "http://b.example/p/x?q=1"),
        (Redirect(code=302, path="/new"), "/p", "http://a.example/new?q=1"),
        (Redirect(code=303, prefix="/new"), "/p", "http://a.example/new/x?q=1"),
        (Redirect(code=307, prefix="/"), "/p", "http://a.example/x?q=1"),
        (Redirect(code=308, prefix="/new/"), "/", "http://a.example/new/p/x?q=1"),
        (
            Redirect(scheme="https", host="b.example", port=8443, prefix="/n"),
            "/p",
            "https://b.example:8443/n/x?q=1",
        ),
        (Redirect(scheme="https", host="b.example", port=443), "/p", "https://b.example/p/x?q=1"),
        (Redirect(port=80, path="/"), "/p", "http://a.example/?q=1"),
    ],
)
def test_redirects_replace_what_they_say_and_nothing_else(
    redirect: Redirect, path: str, location: str
) -> None:
    """The query stays; the port goes with the host, and is said where it is unusual."""
    text = text_of(route(redirect, path))

    assert redirected(ask(text, "/p/x?q=1")) == (redirect.code, location)


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/p", "http://b.example/"),
        ("/p/", "http://b.example/"),
        ("/p//evil.example", "http://b.example/evil.example"),
        ("/p/%0D%0ASet-Cookie:%20a", "http://b.example/%0D%0ASet-Cookie:%20a"),
        ("/p/%3Fa", "http://b.example/%3Fa"),
        ("http://evil.example/p/x?q=1", "http://b.example/x?q=1"),
    ],
)
def test_a_redirect_is_made_of_the_path_and_of_nothing_else(url: str, location: str) -> None:
    """What a client hides in a path is no header and no other host."""
    text = text_of(route(Redirect(host="b.example", prefix="/"), "/p"))

    assert redirected(ask(text, url))[1] == location


def test_paths_and_hosts_are_replaced_for_the_endpoint() -> None:
    """A path as it was written, with what is special about text; the query stays."""
    odd = "/a;b,c=$d&'(x)*+!~@:%2F"
    text = text_of(
        route(forward(WEB, rewrite_path=odd), "/odd", PathKind.EXACT),
        route(forward(WEB, rewrite_path="/new", rewrite_host="b.example"), "/both"),
        route(forward(WEB, rewrite_prefix="/n", rewrite_host="b.example"), "/part"),
    )
    for url, seen, seen_host in (
        ("/odd?q=1", f"{odd}?q=1", "a.example:8080"),
        ("/both/x", "/new", "b.example"),
        ("/part/x?q=1", "/n/x?q=1", "b.example"),
    ):
        asked = request(url, "a.example:8080")
        run_request_rule(text, asked)
        assert (asked.url, asked.headers["host"]) == (seen, seen_host)


def test_the_share_of_a_missing_backend_is_answered() -> None:
    """500, or what gRPC wants; the rest is served."""
    text = text_of(route(forward(WEB, missing=1)))
    assert name(ask(text, draws=[0])) == "web"
    assert status(ask(text, draws=[1])) == 500

    several = Forward(pools=(PoolShare(WEB.id, 2), PoolShare(API.id, 1)), missing=3)
    text = text_of(route(several))
    taken = [ask(text, draws=[number]) for number in range(6)]
    assert [name(each) for each in taken[:3]] == ["web", "web", "api"]
    assert {status(each) for each in taken[3:]} == {500}

    nobody = Forward(pools=(PoolShare(WEB.id, 0),), missing=1, missing_status=503)
    assert status(ask(text_of(route(nobody)))) == 503


def test_a_pool_that_keeps_sessions_is_shared_all_the_same() -> None:
    """The client's address is the lot, also where the other share is nobody's."""
    kept = pool("kept", persistence=CookiePersistence(name="onehop"))
    text = rules(host("a.example", route(forward(kept, missing=1))), pools=(kept,))[RULE]

    outcomes = [ask(text, client=f"192.0.2.{last}") for last in range(20)]
    assert outcomes == [ask(text, client=f"192.0.2.{last}") for last in range(20)]
    kinds = {type(outcome) for outcome in outcomes}
    assert kinds == {UsePool, Answer}


def test_each_share_has_its_own_headers() -> None:
    """Of requests and of answers; the route has the last word, and 0 parts have none."""
    shares = (
        PoolShare(WEB.id, 2, HeaderEdit(set=(("x-way", "a"),)), HeaderEdit(set=(("x-to", "a"),))),
        PoolShare(API.id, 1, HeaderEdit(set=(("x-way", "b"), ("x-all", "b")))),
        PoolShare(API.id, 1, response_headers=HeaderEdit(set=(("x-to", "c"), ("x-all", "c")))),
        PoolShare(API.id, 0, HeaderEdit(set=(("x-way", "never"),))),
    )
    all_ = HeaderEdit(set=(("x-all", "route"),))
    action = Forward(pools=shares, missing=1)
    texts = rules(
        host("a.example", route(action, request_headers=all_, response_headers=all_)),
        host("b.example", route(forward(WEB))),
    )
    seen = []
    for number in range(4):
        asked = request(draws=[number], headers={MARK.lower(): "made up"})
        answered = respond(texts, asked)
        seen.append((asked.headers.get("x-way"), answered.get("x-to")))
        assert asked.headers["x-all"] == answered["x-all"] == "route"
    assert seen == [("a", "a"), ("a", "a"), ("b", None), (None, "c")]
    assert status(ask(texts[RULE], draws=[4])) == 500
    assert "never" not in texts[RULE]
    assert respond(texts, request(host="b.example", headers={MARK.lower(): "made up"})) == {}


def test_the_only_share_needs_no_lot() -> None:
    """Its edits are those of the route."""
    share = PoolShare(WEB.id, 5, HeaderEdit(set=(("x-way", "a"),)), HeaderEdit(remove=("x-gone",)))
    texts = rules(host("a.example", route(Forward(pools=(share,)))))
    asked = request(draws=[])

    assert respond(texts, asked, {"x-gone": "1"}) == {}
    assert asked.headers["x-way"] == "a"


def test_the_mark_of_a_share_tells_what_is_edited() -> None:
    """Rules are written one after another: a number would mean another edit meanwhile."""
    edit = HeaderEdit(set=(("x-to", "a"),))
    one = Forward(pools=(PoolShare(WEB.id, 1, response_headers=edit), PoolShare(API.id, 1)))
    other = Forward(pools=(PoolShare(API.id, 1), PoolShare(WEB.id, 1, response_headers=edit)))
    before, after = (rules(host("a.example", route(action))) for action in (one, other))

    assert [text for key, text in before.items() if key != RULE] == [
        text for key, text in after.items() if key != RULE
    ]


CORS = Cors(
    origins=(PAGE, "https://*.wide.example", "http://a.example:8080"),
    credentials=True,
    methods=("PUT", "GET"),
    headers=("x-a", "x-b"),
    exposed=("x-seen",),
    max_age_s=77,
)


def preflight(text: str, origin: str, **more: str) -> object:
    headers = {"origin": origin, "access-control-request-method": "PUT", **more}
    return ask(text, headers=headers, method="OPTIONS")


def test_a_preflight_is_answered_with_what_is_let_in() -> None:
    """Other origins are told nothing, and their requests go on to the route."""
    text = text_of(route(forward(WEB), cors=CORS))
    for origin in (
        *(PAGE, "http://a.example:8080"),
        *("https://x.wide.example", "https://x.y.wide.example"),
    ):
        assert preflight(text, origin) == Answer(
            200,
            "",
            (
                ("Access-Control-Max-Age", "77"),
                ("Vary", "Origin"),
                ("Access-Control-Allow-Methods", "PUT, GET"),
                ("Access-Control-Allow-Headers", "x-a, x-b"),
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Allow-Credentials", "true"),
                ("Access-Control-Expose-Headers", "x-seen"),
            ),
        )
    for origin in (
        *("http://page.example", "https://page.example.evil", "https://wide.example", ""),
        *("https://page.example:8443", "https://xwide.example", "http://a.example", "null"),
        *("https://x.wide.example:8443", "https://x/.wide.example", "https://x\n.wide.example"),
    ):
        assert name(preflight(text, origin)) == "web", origin
    assert name(ask(text, headers={"origin": PAGE}, method="OPTIONS")) == "web"


def test_an_answer_names_the_page_that_is_let_in() -> None:
    """By a header that no client can set; and caches are told that answers differ."""
    texts = rules(
        host("a.example", route(forward(API), "/none"), route(forward(WEB), cors=CORS)),
    )
    said = {"access-control-allow-origin": "*"}
    assert respond(texts, request(headers={"origin": PAGE}), said) == {
        "access-control-allow-origin": PAGE,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "x-seen",
        "vary": "Origin",
    }
    spoofed = {"x-onehop-origin": PAGE}
    for headers in ({}, spoofed, {"origin": "https://evil.example", **spoofed}):
        assert respond(texts, request(headers=headers), {"vary": "Accept"}) == {
            "vary": "Accept, Origin"
        }
    assert respond(texts, request("/none", headers={"origin": PAGE, **spoofed})) == {}


def test_answers_of_our_own_name_the_page_as_well() -> None:
    """A page may read why there is nothing; what pages may do is said once."""
    edit = HeaderEdit(set=(("access-control-allow-origin", "*"), ("x-more", "1")))
    text = text_of(
        route(Respond(status=404), "/respond", cors=CORS, response_headers=edit),
        route(Redirect(path="/new"), "/redirect", cors=CORS),
        route(forward(WEB, missing=1), "/missing", cors=CORS),
        route(forward(pool("gone")), "/gone", cors=CORS),
        route(Forward(pools=()), "/nobody", cors=CORS),
    )
    for path, code in (
        *(("/respond", 404), ("/redirect", 308), ("/missing", 500)),
        *(("/gone", 503), ("/nobody", 503)),
    ):
        for origin, told in ((PAGE, PAGE), ("https://evil.example", None)):
            outcome = ask(text, path, headers={"origin": origin}, draws=[1])
            assert isinstance(outcome, Answer)
            counted = Counter(key.lower() for key, _ in outcome.headers)
            assert (outcome.status, set(counted.values()), counted["vary"]) == (code, {1}, 1)
            headers = dict(outcome.headers)
            assert headers.get("Access-Control-Allow-Origin") == told
            assert headers.get("x-more") == ("1" if path == "/respond" else None)


def test_whatever_a_page_asks_for_is_let_in_where_all_is() -> None:
    """`*` for methods and headers is what the client asks for; what is no list is not told."""
    everybody = Cors(origins=("*",), methods=("*",), headers=("*",))
    texts = rules(host("a.example", route(forward(WEB), cors=everybody)))
    asked = {"access-control-request-headers": "x-q, x-r"}
    outcome = preflight(texts[RULE], PAGE, **asked)
    assert isinstance(outcome, Answer)
    told = dict(outcome.headers)
    assert told["Access-Control-Allow-Origin"] == "*"
    assert told["Access-Control-Allow-Methods"] == "PUT"
    assert told["Access-Control-Allow-Headers"] == "x-q, x-r"
    outcome = preflight(texts[RULE], PAGE, **{"access-control-request-headers": "x\r\n a: b"})
    assert isinstance(outcome, Answer)
    assert "Access-Control-Allow-Headers" not in dict(outcome.headers)
    answered = respond(texts, request(headers={"origin": PAGE}))
    assert answered["access-control-allow-origin"] == "*"


def test_all_pages_with_credentials_are_named_one_by_one() -> None:
    """With credentials, `*` is not what a browser wants to hear (Fetch, "CORS check")."""
    cors = Cors(origins=("*",), credentials=True)
    texts = rules(host("a.example", route(forward(WEB), cors=cors)))

    answered = respond(texts, request(headers={"origin": PAGE}))
    assert answered["access-control-allow-origin"] == PAGE
    strange = respond(texts, request(headers={"origin": "a\r\n b"}))
    assert "access-control-allow-origin" not in strange


def test_a_preflight_finds_the_route_of_the_method_that_it_is_about() -> None:
    """A route for PUT alone lets pages PUT; another one for the same path does not."""
    cors = Cors(origins=(PAGE,), methods=("PUT",))
    text = text_of(
        route(forward(WEB), when=Conditions(method="PUT"), cors=cors),
        route(Respond(status=204)),
    )

    outcome = preflight(text, PAGE)
    assert isinstance(outcome, Answer)
    assert dict(outcome.headers)["Access-Control-Allow-Methods"] == "PUT"
    assert status(ask(text, method="OPTIONS", headers={"origin": PAGE})) == 204
    assert name(ask(text, method="PUT")) == "web"


def test_who_asks_for_nothing_of_this_pays_nothing() -> None:
    """The names of all that was added are in no rule of plain routes."""
    plain = rules(host("a.example", route(forward(WEB, API))))

    assert plain.keys() == {RULE}
    for added in ("$query", "$cors", "$mark", "$new", "X-Onehop", NAMES.name("x response")):
        assert added not in plain[RULE]
