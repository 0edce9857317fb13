"""Routes as entries of maps: what the trees find is what the order of the Model says."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from onehop.driver.haproxy.choice import Alternative
from onehop.driver.haproxy.match import (
    AFTER_PATH,
    NO_ROUTE,
    HostEntries,
    entries_of,
    key_of_host,
    names_over,
)
from onehop.driver.haproxy.share import pool_name
from onehop.model.ident import HostId
from onehop.model.route import (
    Conditions,
    Labels,
    PathKind,
    PathMatch,
    Respond,
    Route,
    VirtualHost,
)
from tests.driver_envoy.world import HTTP, forward, pool, route

SEGMENTS = st.lists(st.sampled_from(["a", "ab", "b", "a;b", "%2F"]), max_size=3)
PATHS = SEGMENTS.map(lambda parts: "/" + "/".join(parts))
MATCHES = st.builds(PathMatch, st.sampled_from((PathKind.EXACT, PathKind.PREFIX)), PATHS)

METHODS = st.sampled_from(["GET", "POST"])
CALLS = st.builds(PathMatch, st.just(PathKind.METHOD), st.sampled_from(["a", "b"]))
PARTICULAR = st.builds(
    Route,
    id=st.just("x"),
    owner=st.none(),
    match=st.one_of(MATCHES, CALLS),
    when=st.builds(
        Conditions,
        method=st.sampled_from([None, "GET", "POST"]),
        headers=st.sampled_from([(), (("x-a", "1"),)]),
    ),
    action=st.just(Respond(status=200)),
)


def routes_of(matches: list[PathMatch]) -> tuple[Route, ...]:
    return tuple(
        Route(id=str(number), owner=None, match=match, action=Respond(status=200 + number))
        for number, match in enumerate(matches)
    )


def host_of(name: str, routes: tuple[Route, ...]) -> VirtualHost:
    return VirtualHost(id=HostId(f"{HTTP}/{name}"), router=HTTP, hostname=name, routes=routes)


def takes(match: PathMatch, path: str) -> bool:
    if match.kind is PathKind.METHOD:
        return path.split("/")[2:] == [match.value]
    if match.kind is PathKind.EXACT or match.value == "/":
        return match.value in {path, "/"} if match.kind is PathKind.PREFIX else match.value == path
    return path == match.value or path.startswith(f"{match.value}/")


def find(entries: HostEntries, host: str, path: str) -> str:
    """Return what HAProxy finds: the value of the longest key that the text begins with."""
    text = f"{key_of_host(HTTP, host)}{path}{AFTER_PATH}"
    keys = [key for key in entries.routes if text.startswith(key)]
    return entries.routes[max(keys, key=len)]


@given(st.lists(MATCHES, max_size=6), PATHS, st.sampled_from(["", "/"]))
def test_the_longest_key_is_the_first_route(matches: list[PathMatch], path: str, end: str) -> None:
    """For any routes in any order, and any path; what no route takes goes nowhere."""
    asked = path if path == "/" else path + end
    routes = routes_of(matches)
    entries = entries_of(host_of("a.example", routes))

    found = find(entries, "a.example", asked)

    expected = next((route for route in routes if takes(route.match, asked)), None)
    policies = {name: policy.route.action for name, policy in entries.policies.items()}
    action = None if found == NO_ROUTE else policies[found.partition(":")[0]]
    assert action == (expected.action if expected else None)


@given(st.lists(PARTICULAR, max_size=6), PATHS, METHODS, st.sampled_from(["", "1"]))
def test_what_is_chosen_is_the_first_route_that_fits(
    routes: list[Route], path: str, method: str, header: str
) -> None:
    """For any routes by path, method, header and gRPC method, in any order, and any request."""
    numbered = [
        msgspec.structs.replace(route, action=Respond(status=200 + number))
        for number, route in enumerate(routes)
    ]
    entries = entries_of(host_of("a.example", tuple(numbered)))

    found: str | None = find(entries, "a.example", path)
    if entries.choices and found != NO_ROUTE:
        choice, key = str(found).split(":")
        cases = enumerate(entries.choices[choice].cases)
        fits = (n for n, case in cases if any(_is_as(a, path, method, header) for a in case))
        chosen = next(fits, None)
        found = entries.cases[f"{key}/{chosen}"] if chosen is not None else None

    taken = (
        route
        for route in numbered
        if takes(route.match, path)
        and route.when.method in {None, method}
        and (not route.when.headers or header)
    )
    expected = next(taken, None)
    policies = {name: policy.route.action for name, policy in entries.policies.items()}
    action = policies.get((found or NO_ROUTE).partition(":")[0])
    assert action == (expected.action if expected else None)


def test_hosts_without_such_routes_have_no_choices() -> None:
    """And policies of their own, which come before all choices."""
    plain = routes_of([PathMatch(PathKind.PREFIX, "/")])
    posted = msgspec.structs.replace(plain[0], when=Conditions(method="POST"))
    entries = entries_of(host_of("a.example", plain))
    chosen = entries_of(host_of("b.example", (posted, *plain)))

    assert not entries.choices
    assert not entries.cases
    assert len(chosen.cases) == 2
    assert all(policy.is_chosen for policy in chosen.policies.values())
    assert not entries.policies.keys() & chosen.policies.keys()


def _is_as(wanted: Alternative, path: str, method: str, header: str) -> bool:
    return (
        wanted.when.method in {None, method}
        and (not wanted.when.headers or header == "1")
        and wanted.call in {None, "/".join(path.split("/")[2:])}
    )


def test_a_wildcard_has_keys_for_one_label_and_for_more() -> None:
    """Routes that say so have one of them; those for one name have a key of that name."""
    one, more, both = routes_of([PathMatch(PathKind.PREFIX, path) for path in ("/1", "/2", "/3")])
    routes = (
        Route(id="1", owner=None, match=one.match, action=one.action, labels=Labels.ONE),
        Route(id="2", owner=None, match=more.match, action=more.action, labels=Labels.MORE),
        both,
        Route(id="4", owner=None, match=one.match, action=one.action, hostname="x.a.example"),
    )
    entries = entries_of(host_of("*.a.example", routes))

    shallow, deep, only = (
        key_of_host(HTTP, name) for name in ("*.a.example", "**.a.example", "x.a.example")
    )
    assert set(entries.routes) == {
        *(f"{shallow}{path}/" for path in ("", "/1", "/3")),
        *(f"{deep}{path}/" for path in ("", "/2", "/3")),
    }
    assert set(entries.named) == {"x.a.example"}
    assert set(entries.named["x.a.example"]) == {f"{only}{path}/" for path in ("", "/1", "/3")}


def test_only_a_route_that_asks_for_nothing_else_is_its_pool() -> None:
    """Its requests meet no rule; another one's name a policy."""
    plain, edited = forward(pool()), forward(pool(), timeout_s=1.0)

    values = [entries_of(host_of("a.example", (route(each),))).routes for each in (plain, edited)]

    (is_plain,), (has_policy,) = (list(each.values()) for each in values)
    assert is_plain == pool_name(pool().id)
    assert has_policy.endswith(f":{is_plain}:")


def test_names_are_looked_for_from_the_longest_to_the_shortest() -> None:
    """As every data plane does."""
    assert list(names_over("x.a.example")) == ["x.a.example", "*.a.example", "*.example", "*"]
