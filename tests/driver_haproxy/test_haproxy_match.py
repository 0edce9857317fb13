"""Routes as entries of maps: what the trees find is what the order of the Model says."""

from hypothesis import given
from hypothesis import strategies as st

from onehop.driver.haproxy.match import (
    AFTER_PATH,
    NO_ROUTE,
    HostEntries,
    entries_of,
    key_of_host,
    names_over,
)
from onehop.driver.haproxy.policy import pool_name
from onehop.model.ident import HostId
from onehop.model.route import Labels, PathKind, PathMatch, Respond, Route, VirtualHost
from tests.driver_envoy.world import HTTP, forward, pool, route

SEGMENTS = st.lists(st.sampled_from(["a", "ab", "b", "a;b", "%2F"]), max_size=3)
PATHS = SEGMENTS.map(lambda parts: "/" + "/".join(parts))
MATCHES = st.builds(PathMatch, st.sampled_from((PathKind.EXACT, PathKind.PREFIX)), PATHS)


def routes_of(matches: list[PathMatch]) -> tuple[Route, ...]:
    return tuple(
        Route(id=str(number), owner=None, match=match, action=Respond(status=200 + number))
        for number, match in enumerate(matches)
    )


def host_of(name: str, routes: tuple[Route, ...]) -> VirtualHost:
    return VirtualHost(id=HostId(f"{HTTP}/{name}"), router=HTTP, hostname=name, routes=routes)


def takes(match: PathMatch, path: str) -> bool:
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
