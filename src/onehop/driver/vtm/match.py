"""Which requests a route takes, as conditions of TrafficScript."""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final, assert_never
from urllib.parse import unquote

from onehop.driver.vtm.quote import quoted
from onehop.model.address import Cidr
from onehop.model.route import Labels, PathKind, PathMatch, Route

QUERY: Final = "$query"
"""The query as it came, with `&` on either side."""


def conditions_of(hostname: str, route: Route) -> Iterator[str]:
    """Yield what must all be so; nothing for a route that takes every request of its host."""
    if route.hostname is not None:
        yield f"$host == {quoted(route.hostname)}"
    elif route.labels is not Labels.ANY and hostname.startswith("*."):
        one = f"^[^.]+{literally(hostname[1:])}$"
        is_one = f"string.regexmatch( $host, {quoted(one)} )"
        yield is_one if route.labels is Labels.ONE else f"!{is_one}"
    yield from _path(route.match)
    yield from _method(route)
    for name, value in route.when.headers:
        if not value:
            yield f"http.headerExists( {quoted(name)} )"
        yield f"http.getHeader( {quoted(name)} ) == {quoted(value)}"
    for name, value in route.when.queries:
        yield f"string.contains( {QUERY}, {quoted(f'&{name}={value}&')} )"


def decoded(match: PathMatch) -> str:
    """Return a route's path as `$path` has it; it is written as in a URL."""
    return unquote(match.value)


def in_any(address: str, networks: Iterable[Cidr]) -> str:
    """Return the condition that an address (an expression) is in one of the networks."""
    tests = (f"string.ipmaskmatch( {address}, {quoted(_masked(n))} )" for n in networks)
    return f"( {' || '.join(tests)} )"


def literally(text: str) -> str:
    """Return a pattern for a text, dots in brackets: fewer backslashes to get wrong."""
    return re.escape(text).replace(r"\.", "[.]").replace(r"\-", "-")


def _path(match: PathMatch) -> Iterator[str]:
    value = decoded(match)
    match match.kind:
        case PathKind.EXACT:
            yield f"$path == {quoted(value)}"
        case PathKind.METHOD:
            yield f"string.regexmatch( $path, {quoted('^/[^/]+/[^/]+$')} )"
            yield f"string.endsWith( $path, {quoted(f'/{value}')} )"
        case PathKind.PREFIX:
            if value != "/":
                below = f"string.startsWith( $path, {quoted(value + '/')} )"
                yield f"( $path == {quoted(value)} || {below} )"
        case _:
            assert_never(match.kind)


def _method(route: Route) -> Iterator[str]:
    """Yield the method. A preflight has one of its own, and says which one it is about."""
    method = route.when.method
    if method is None:
        return
    is_it = f"http.getMethod() == {quoted(method)}"
    if route.cors is None:
        yield is_it
        return
    asks = f'http.getHeader( "Access-Control-Request-Method" ) == {quoted(method)}'
    yield f'( {is_it} || http.getMethod() == "OPTIONS" && {asks} )'


def _masked(network: Cidr) -> str:
    return str(ipaddress.ip_network(network))
