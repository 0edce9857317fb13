"""Which route takes a request: hosts and paths as entries of maps, so that editing them is free.

HAProxy looks a key up in a tree: the exact one (`map_str`), or the longest that a text begins with
(`map_beg`). Two lookups make a route.

* The host leads to a *view*, the routes that count for such names. Keys are `www.a.example/ROUTER`,
  `*.a.example/ROUTER` for names with one label more, `**.a.example/ROUTER` for deeper ones, and
  `*/ROUTER`; the frontend tries them in this order, the longest names first (`http`). It tries
  deeper ones only for as many labels as some wildcard has.
* View and path lead to the route: `VIEW/exact/path` in one map, `VIEW/a/prefix/` in the other. The
  frontend puts a slash behind the request's path, so `/foo/` is found for `/foo` and `/foo/bar`,
  and not for `/foobar`.

A Model has its routes in an order in which they are tried; a tree has none. Two paths are either
apart or one holds the other, so leaving out every route that an earlier one holds leaves a list in
which the more special one comes first: what the tree finds.

Where a route asks for more than that, a route that it may come before is not left out: what the
tree finds for a path is then a choice among the routes that may take it (`choice`).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

import msgspec

from onehop.driver.haproxy import word
from onehop.driver.haproxy.choice import Choice, choice_of, is_particular
from onehop.driver.haproxy.policy import Policy, value_of
from onehop.model.ident import PoolId, RouterId
from onehop.model.route import Forward, Labels, PathKind, PathMatch, Retry, Route, VirtualHost

DEEPEST_WILDCARD: Final = 10
"""Labels behind the `*`; the frontend has a rule for each number that occurs."""
_ROOT: Final = PathMatch(PathKind.PREFIX, "/")


class HostEntries(NamedTuple):
    """What a VirtualHost adds to the maps.

    Attributes:
        hosts: view by the key of the host.
        named: view by name, for routes of a wildcard that take one name only.
        exact, prefix: the value of the route by the key of the path.
        policies: what the values speak of, by name.
        retries: what routes ask of the pools they forward to.
        choices: what is chosen by, by name.
        cases: the value of the route by the key and the number of what was chosen.
    """

    hosts: dict[str, str]
    named: dict[str, str]
    exact: dict[str, str]
    prefix: dict[str, str]
    policies: dict[str, Policy]
    retries: tuple[tuple[PoolId, Retry], ...]
    choices: dict[str, Choice]
    cases: dict[str, str]


_Add: TypeAlias = Callable[[str, tuple[Route, ...], HostEntries], None]


def entries_of(host: VirtualHost) -> HostEntries:
    """Return the entries of a host.

    Raises:
        Unfit: the host's name, or something in one of its routes, cannot be said to HAProxy.
    """
    name = word.host(host.hostname)
    if labels_of_wildcard(name) > DEEPEST_WILDCARD:
        raise word.Unfit(f"a wildcard over more than {DEEPEST_WILDCARD} labels: {name}")
    entries = HostEntries({}, {}, {}, {}, {}, tuple(_retries(host)), {}, {})
    # One such route, and all of the host are chosen: a policy has its rules in one place.
    add = _add_choices if any(map(is_particular, host.routes)) else _add_routes
    for key, labels in _keys(host.router, name):
        entries.hosts[key] = _add_view(key, _seen_by(host.routes, labels, None), entries, add)
    for only in sorted({word.host(r.hostname) for r in host.routes if r.hostname is not None}):
        labels = Labels.ONE if only.partition(".")[2] == name[2:] else Labels.MORE
        # Other hosts, and this one of another router, may speak of the name as well.
        key = f"{key_of_host(host.router, name)}/{only}"
        entries.named[only] = _add_view(key, _seen_by(host.routes, labels, only), entries, add)
    return entries


def key_of_host(router: RouterId, hostname: str) -> str:
    """Return the key of a host in the map of hosts."""
    return f"{hostname}/{word.name_of('r', router)}"


def labels_of_wildcard(hostname: str) -> int:
    """Return how many labels are behind the `*`; none for other names, and for `*` alone."""
    return hostname.count(".") if hostname.startswith("*.") else 0


def names_over(hostname: str) -> Iterator[str]:
    """Yield the hosts that take requests for a name, in the order in which they are looked for."""
    yield hostname
    _, dot, parent = hostname.partition(".")
    while dot:
        yield f"*.{parent}"
        _, dot, parent = parent.partition(".")
    yield "*"


def _keys(router: RouterId, name: str) -> Iterator[tuple[str, Labels]]:
    yield key_of_host(router, name), Labels.ONE
    if name.startswith("*."):
        yield key_of_host(router, f"*{name}"), Labels.MORE


def _seen_by(routes: Iterable[Route], labels: Labels, hostname: str | None) -> tuple[Route, ...]:
    """Return the routes that count for a name, without those that an earlier one holds."""
    seen: list[Route] = []
    holders: list[PathMatch] = []
    for route in routes:
        counts = route.labels in {Labels.ANY, labels} and route.hostname in {None, hostname}
        leaf = _leaf_of(route)
        if counts and not any(_holds(each, leaf) for each in holders):
            seen.append(route)
            if not is_particular(route):
                holders.append(route.match)
    return tuple(seen)


def _leaf_of(route: Route) -> PathMatch:
    """Return where a route stands in the trees; one for a gRPC method, at the root."""
    return _ROOT if route.match.kind is PathKind.METHOD else route.match


def _holds(outer: PathMatch, inner: PathMatch) -> bool:
    if outer.kind is PathKind.EXACT:
        return outer == inner
    return _slashed(inner.value).startswith(_slashed(outer.value))


def _slashed(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"


def _add_view(key: str, routes: tuple[Route, ...], entries: HostEntries, add: _Add) -> str:
    view = word.token_of("v", key.encode())
    add(view, routes, entries)
    return view


def _add_routes(view: str, routes: tuple[Route, ...], entries: HostEntries) -> None:
    for route in routes:
        policy, value = value_of(route)
        entries.policies[policy.name] = policy
        _put(entries, view, route.match, value)


def _add_choices(view: str, routes: tuple[Route, ...], entries: HostEntries) -> None:
    """Add a choice for each place in the trees where a route stands.

    Its key speaks of all that is chosen from: where that becomes another, the entry in the tree
    goes over from the old cases to the new ones at once.
    """
    valued: list[tuple[Route, str]] = []
    for route in routes:
        policy, value = value_of(route, is_chosen=True)
        entries.policies[policy.name] = policy
        valued.append((route, value))
    for leaf in dict.fromkeys(map(_leaf_of, routes)):
        several = tuple(_routes_at(leaf, valued))
        choice = choice_of(route for route, _ in several)
        entries.choices[choice.name] = choice
        chosen = [value for _, value in several]
        said = [view, leaf.kind, leaf.value, choice.name, *chosen]
        key = word.token_of("k", msgspec.json.encode(said))
        entries.cases.update((f"{key}/{number}", value) for number, value in enumerate(chosen))
        _put(entries, view, leaf, f"{choice.name}:{key}")


def _routes_at(leaf: PathMatch, valued: Iterable[tuple[Route, str]]) -> Iterator[tuple[Route, str]]:
    """Yield the routes that may take a request for which a tree has found this."""
    for route, value in valued:
        if _holds(_leaf_of(route), leaf):
            yield route, value
            if not is_particular(route):
                return


def _put(entries: HostEntries, view: str, match: PathMatch, value: str) -> None:
    path = word.path(match.value)
    if match.kind is PathKind.EXACT:
        entries.exact[view + path] = value
    else:
        entries.prefix[view + _slashed(path)] = value


def _retries(host: VirtualHost) -> Iterator[tuple[PoolId, Retry]]:
    for route in host.routes:
        if isinstance(route.action, Forward):
            yield from ((share.pool, route.action.retry) for share in route.action.pools)
