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
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from onehop.driver.haproxy import word
from onehop.driver.haproxy.policy import Policy, value_of
from onehop.model.ident import PoolId, RouterId
from onehop.model.route import Forward, Labels, PathKind, PathMatch, Retry, Route, VirtualHost

DEEPEST_WILDCARD: Final = 10
"""Labels behind the `*`; the frontend has a rule for each number that occurs."""
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
        retries: what routes ask of the pools they forward to.
    """

    routes: dict[str, str]
    named: dict[str, dict[str, str]]
    policies: dict[str, Policy]
    retries: tuple[tuple[PoolId, Retry], ...]


def entries_of(host: VirtualHost) -> HostEntries:
    """Return the entries of a host.

    Raises:
        Unfit: the host's name, or something in one of its routes, cannot be said to HAProxy.
    """
    name = word.host(host.hostname)
    if labels_of_wildcard(name) > DEEPEST_WILDCARD:
        raise word.Unfit(f"a wildcard over more than {DEEPEST_WILDCARD} labels: {name}")
    entries = HostEntries({}, {}, {}, tuple(_retries(host)))
    for key, labels in _keys(host.router, name):
        seen = _seen_by(host.routes, labels, None)
        entries.routes.update(_values(key, seen, entries.policies))
    for only in sorted({word.host(r.hostname) for r in host.routes if r.hostname is not None}):
        labels = Labels.ONE if only.partition(".")[2] == name[2:] else Labels.MORE
        seen = _seen_by(host.routes, labels, only)
        key = key_of_host(host.router, only)
        entries.named[only] = dict(_values(key, seen, entries.policies))
    return entries


def key_of_host(router: RouterId, hostname: str) -> str:
    """Return what the keys of a host's routes begin with."""
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
    for route in routes:
        counts = route.labels in {Labels.ANY, labels} and route.hostname in {None, hostname}
        if counts and not any(_holds(each.match, route.match) for each in seen):
            seen.append(route)
    return tuple(seen)


def _holds(outer: PathMatch, inner: PathMatch) -> bool:
    if outer.kind is PathKind.EXACT:
        return outer == inner
    return _slashed(inner.value).startswith(_slashed(outer.value))


def _slashed(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"


def _values(
    host: str, routes: Iterable[Route], policies: dict[str, Policy]
) -> Iterator[tuple[str, str]]:
    """Yield keys and values of routes, and note the policies that the values speak of."""
    yield f"{host}/", NO_ROUTE
    for route in routes:
        policy, value = value_of(route)
        if not policy.is_plain:
            policies[policy.name] = policy
        path = word.path(route.match.value)
        is_exact = route.match.kind is PathKind.EXACT
        yield host + (path + AFTER_PATH if is_exact else _slashed(path)), value


def _retries(host: VirtualHost) -> Iterator[tuple[PoolId, Retry]]:
    for route in host.routes:
        if isinstance(route.action, Forward):
            yield from ((share.pool, route.action.retry) for share in route.action.pools)
