"""Routes as entries of maps: what the trees find is what the order of the Model says."""

from hypothesis import given
from hypothesis import strategies as st

from onehop.driver.haproxy.match import entries_of, key_of_host, names_over
from onehop.model.ident import HostId
from onehop.model.route import Labels, PathKind, PathMatch, Respond, Route, VirtualHost
from tests.driver_envoy.world import HTTP

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


@given(st.lists(MATCHES, max_size=6), PATHS, st.sampled_from(["", "/"]))
def test_the_longest_key_is_the_first_route(matches: list[PathMatch], path: str, end: str) -> None:
    """For any routes in any order, and any path."""
    asked = path if path == "/" else path + end
    routes = routes_of(matches)
    entries = entries_of(host_of("a.example", routes))
    (view,) = entries.hosts.values()

    found = entries.exact.get(view + asked)
    if found is None:
        slashed = f"{view}{asked}/"
        keys = [key for key in entries.prefix if slashed.startswith(key)]
        found = entries.prefix[max(keys, key=len)] if keys else None

    expected = next((route for route in routes if takes(route.match, asked)), None)
    policies = {name: policy.route.action for name, policy in entries.policies.items()}
    action = policies[found.partition(":")[0]] if found else None
    assert action == (expected.action if expected else None)


def test_a_wildcard_has_a_view_for_one_label_and_one_for_more() -> None:
    """Routes that say so are in one of them; those for one name are in a view of that name."""
    one, more, both = routes_of([PathMatch(PathKind.PREFIX, path) for path in ("/1", "/2", "/3")])
    routes = (
        Route(id="1", owner=None, match=one.match, action=one.action, labels=Labels.ONE),
        Route(id="2", owner=None, match=more.match, action=more.action, labels=Labels.MORE),
        both,
        Route(id="4", owner=None, match=one.match, action=one.action, hostname="x.a.example"),
    )
    entries = entries_of(host_of("*.a.example", routes))

    shallow = entries.hosts[key_of_host(HTTP, "*.a.example")]
    deep = entries.hosts[key_of_host(HTTP, "**.a.example")]
    assert {key for key in entries.prefix if key.startswith(shallow)} == {
        f"{shallow}/1/",
        f"{shallow}/3/",
    }
    assert {key for key in entries.prefix if key.startswith(deep)} == {f"{deep}/2/", f"{deep}/3/"}
    assert set(entries.named) == {"x.a.example"}


def test_names_are_looked_for_from_the_longest_to_the_shortest() -> None:
    """As every data plane does."""
    assert list(names_over("x.a.example")) == ["x.a.example", "*.a.example", "*.example", "*"]
