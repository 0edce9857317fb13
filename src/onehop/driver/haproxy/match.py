"""Which route takes a request: hosts and paths as entries of maps, so that editing them is free.

HAProxy looks up, in a tree, the longest key that a text begins with (`map_beg`). The text is host,
router, path and `/?`, the latter because no path has a question mark:

=================== ============================== ==============================
a request           `www.a.example/ROUTER/foo/?`
a prefix, `/foo`    `www.a.example/ROUTER/foo/`    and so not for `/foobar`
an exact path       `www.a.example/ROUTER/foo/?`   longer than any prefix of it
no path at all      `www.a.example/ROUTER/`        as `Prefix /`; see below
=================== ============================== ==============================

So one lookup makes the route of a host that is named as it is. A name of which nothing is found is
looked up as `*.a.example` (one label more), `**.a.example` (deeper ones, as far as some wildcard
has so many labels) and `*`, the longest names first (`http`). Nothing falls through from a host to
a wildcard: one that takes no path whatever has an entry that says so, `NO_ROUTE`.

A Model has its routes in an order in which they are tried; a tree has none. Two paths are either
apart or one holds the other, so leaving out every route that an earlier one holds leaves a list in
which the more special one comes first: what the tree finds.

Where a route asks for more than that, a route that it may come before is not left out: what the
tree finds for a path is then a choice among the routes that may take it (`choice`).
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final, NamedTuple

import msgspec

from onehop.driver.haproxy import word
from onehop.driver.haproxy.choice import Choice, choice_of, is_particular
from onehop.driver.haproxy.misdirected import mark_of, marked
from onehop.driver.haproxy.policy import Policy, value_of
from onehop.driver.haproxy.retry import Attempts, attempts_of
from onehop.driver.haproxy.servername import DEEPEST_WILDCARD, labels_of_wildcard
from onehop.driver.haproxy.share import shares_of
from onehop.model.ident import PoolId, RouterId
from onehop.model.route import Forward, Labels, PathKind, PathMatch, Route, VirtualHost

_ROOT: Final = PathMatch(PathKind.PREFIX, "/")
NO_ROUTE: Final = "none"
"""What stands for the paths that no route of a host takes."""
AFTER_PATH: Final = "/?"
"""What the frontend puts behind the path of a request."""


class HostEntries(NamedTuple):
    """What a VirtualHost adds to the maps.

    Attributes:
        routes: the values of the routes by key.
        named: the same by name, where routes of a wildcard take one name only.
        policies: what the values speak of, by name.
        attempts: when requests to the pools are made again.
        choices: what is chosen by, by name.
        cases: the value of the route by the key and the number of what was chosen.
    """

    routes: dict[str, str]
    named: dict[str, dict[str, str]]
    policies: dict[str, Policy]
    attempts: tuple[tuple[PoolId, Attempts], ...]
    choices: dict[str, Choice]
    cases: dict[str, str]


def entries_of(host: VirtualHost) -> HostEntries:
    """Return the entries of a host.

    Raises:
        Unfit: the host's name, or something in one of its routes, cannot be said to HAProxy.
    """
    name = word.host(host.hostname)
    if labels_of_wildcard(name) > DEEPEST_WILDCARD:
        raise word.Unfit(f"a wildcard over more than {DEEPEST_WILDCARD} labels: {name}")
    entries = HostEntries({}, {}, {}, tuple(_attempts(host)), {}, {})
    # One such route, and all of the host are chosen: a policy has its rules in one place.
    is_chosen = any(map(is_particular, host.routes))
    values = partial(_choices, key_of_host(host.router, name)) if is_chosen else _values
    for key, labels in _keys(host.router, name):
        seen = _seen_by(host.routes, labels, None)
        entries.routes.update(values(key, seen, entries))
    for only in sorted({word.host(r.hostname) for r in host.routes if r.hostname is not None}):
        labels = Labels.ONE if only.partition(".")[2] == name[2:] else Labels.MORE
        seen = _seen_by(host.routes, labels, only)
        key = key_of_host(host.router, only)
        entries.named[only] = dict(values(key, seen, entries))
    if host.made_for is None:
        return entries
    return _on_connections(entries, mark_of(host.router, host.made_for))


def _on_connections(entries: HostEntries, mark: str) -> HostEntries:
    """Return the entries of a host that is served on some connections only."""
    named = {
        name: {key: marked(mark, value) for key, value in routes.items()}
        for name, routes in entries.named.items()
    }
    routes = {key: marked(mark, value) for key, value in entries.routes.items()}
    return entries._replace(routes=routes, named=named)


def key_of_host(router: RouterId, hostname: str) -> str:
    """Return what the keys of a host's routes begin with."""
    return f"{hostname}/{word.name_of('r', router)}"


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
    """Return where a route stands in the tree; one for a gRPC method, at the root."""
    return _ROOT if route.match.kind is PathKind.METHOD else route.match


def _holds(outer: PathMatch, inner: PathMatch) -> bool:
    if outer.kind is PathKind.EXACT:
        return outer == inner
    return _slashed(inner.value).startswith(_slashed(outer.value))


def _slashed(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"


def _values(host: str, routes: Iterable[Route], entries: HostEntries) -> Iterator[tuple[str, str]]:
    """Yield keys and values of routes, and note the policies that the values speak of."""
    yield f"{host}/", NO_ROUTE
    for route in routes:
        policy, value = value_of(route)
        if not policy.is_plain:
            entries.policies[policy.name] = policy
        yield host + _key_of(route.match), value


def _choices(
    owner: str, host: str, routes: Iterable[Route], entries: HostEntries
) -> Iterator[tuple[str, str]]:
    """Yield a choice for each place in the tree where a route stands, and note what it speaks of.

    Its key speaks of all that is chosen from: where that becomes another, the entry in the tree
    goes over from the old cases to the new ones at once. Other hosts than the owner may speak of
    the same name.
    """
    yield f"{host}/", NO_ROUTE
    valued: list[tuple[Route, str]] = []
    for route in routes:
        policy, value = value_of(route, is_chosen=True)
        if not policy.is_plain:
            entries.policies[policy.name] = policy
        valued.append((route, value))
    for leaf in dict.fromkeys(_leaf_of(route) for route, _ in valued):
        several = tuple(_routes_at(leaf, valued))
        choice = choice_of(route for route, _ in several)
        entries.choices[choice.name] = choice
        chosen = [value for _, value in several]
        said = [owner, host, leaf.kind, leaf.value, choice.name, *chosen]
        key = word.token_of("k", msgspec.json.encode(said))
        entries.cases.update((f"{key}/{number}", value) for number, value in enumerate(chosen))
        yield host + _key_of(leaf), f"{choice.name}:{key}"


def _routes_at(leaf: PathMatch, valued: Iterable[tuple[Route, str]]) -> Iterator[tuple[Route, str]]:
    """Yield the routes that may take a request for which the tree has found this."""
    for route, value in valued:
        if _holds(_leaf_of(route), leaf):
            yield route, value
            if not is_particular(route):
                return


def _key_of(match: PathMatch) -> str:
    path = word.path(match.value)
    return path + AFTER_PATH if match.kind is PathKind.EXACT else _slashed(path)


def _attempts(host: VirtualHost) -> Iterator[tuple[PoolId, Attempts]]:
    for route in host.routes:
        if isinstance(route.action, Forward):
            attempts = attempts_of(route.action)
            yield from ((share.pool, attempts) for share in shares_of(route.action))
