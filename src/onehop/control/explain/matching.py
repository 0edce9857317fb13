"""Which host and which route take a request: the precedence that data planes are told to follow.

A request is a host and a path, as a browser would GET it: a route that asks for another method, for
headers or parameters does not take it.

Hosts: an exact name, then wildcards, the longest first, then rules without a host; a host that
fits keeps the request even if none of its routes takes it (docs/adr/0010). Routes: in the order in
which the VirtualHost has them, which is the one `compile.host` gave them.
"""

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from onehop.compile.ingress import ANY_HOST
from onehop.control.served import Served
from onehop.model.ident import RouterId
from onehop.model.model import RowKey, Table
from onehop.model.route import Labels, PathKind, PathMatch, Route, VirtualHost

_SLASHES: Final = re.compile("/{2,}")


def names_for(hostname: str) -> Iterator[str]:
    """Yield the names of hosts that fit a request's host, in the order of precedence."""
    yield hostname
    labels = hostname.split(".")
    yield from ("*." + ".".join(labels[number:]) for number in range(1, len(labels)))
    yield ANY_HOST


def host_for(served: Served, router: RouterId, hostname: str) -> VirtualHost | None:
    """Return the host of a router that takes requests for this name, or None."""
    for name in names_for(hostname):
        row = served.row(RowKey(Table.HOST, f"{router}/{name}"))
        if isinstance(row, VirtualHost):
            return row
    return None


def routes_for(host: VirtualHost, hostname: str, path: str) -> tuple[Route, ...]:
    """Return the routes that fit a request; the first one takes it."""
    return tuple(
        route
        for route in host.routes
        if takes(route.match, path)
        and _fits(host.hostname, route, hostname)
        and not demands_of(route)
    )


def demands_of(route: Route) -> str:
    """Return what a route asks for that a plain GET does not have, as people say it."""
    when = route.when
    parts = [f"method {when.method}"] if when.method not in (None, "GET") else []
    parts += [f"header {name}: {value}" for name, value in when.headers]
    parts += [f"parameter {name}={value}" for name, value in when.queries]
    return ", ".join(parts)


def takes(match: PathMatch, path: str) -> bool:
    """Tell whether a path, as `normal_path` returns it, is one of those that match."""
    if match.kind is PathKind.EXACT:
        return path == match.value
    if match.kind is PathKind.METHOD:
        return path.split("/")[2:] == [match.value]
    base = match.value.rstrip("/")
    return path == base or path.startswith(f"{base}/")


def normal_path(path: str) -> str:
    """Return a path as routes are compared with: without query, `//`, `.` and `..` (RFC 3986)."""
    plain = _SLASHES.sub("/", path.partition("?")[0].partition("#")[0]) or "/"
    if not {".", ".."} & set(plain.split("/")):
        return plain
    is_folder = plain.rsplit("/", 1)[1] in ("", ".", "..")
    clean = posixpath.normpath(plain)
    return clean + "/" if is_folder and clean != "/" else clean


def _fits(pattern: str, route: Route, hostname: str) -> bool:
    """Tell whether the `*` of a host stands for what the route demands: one name, or labels."""
    if route.hostname is not None:
        return hostname == route.hostname
    if route.labels is Labels.ANY or not pattern.startswith("*."):
        return True
    is_one = "." not in hostname.removesuffix(pattern[1:])
    return is_one is (route.labels is Labels.ONE)
