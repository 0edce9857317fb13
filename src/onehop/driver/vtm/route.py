"""One route as TrafficScript: what it takes, who may use it, and what becomes of the request."""

import hashlib
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Final, assert_never

import msgspec

from onehop.driver.vtm.quote import quoted
from onehop.model.address import Cidr
from onehop.model.ident import PoolId
from onehop.model.route import (
    Forward,
    Guard,
    HeaderEdit,
    Labels,
    PathKind,
    PathMatch,
    PoolShare,
    Redirect,
    Respond,
    Route,
    VirtualHost,
)

MARK: Final = "X-Onehop-Route"
_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_END: Final = "\r\n"
_PHRASES: Final = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""RFC 9110's names; Python's depend on its version, and rules must not."""
_NO_BODY: Final = ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE")


class Step(msgspec.Struct, frozen=True):
    """What a route needs to know of its surroundings.

    Attributes:
        scheme: of the listener, `http` or `https`.
        pool: the name of a pool's object.
        rate: the name of a route's rate class.
        is_there: whether a pool is there; one that the unit refused is not.
        is_sticky: whether a pool keeps sessions.
    """

    scheme: str
    pool: Callable[[PoolId], str]
    rate: Callable[[VirtualHost, Route], str]
    is_there: Callable[[PoolId], bool]
    is_sticky: Callable[[PoolId], bool]


def mark_of(host: VirtualHost, route: Route) -> str:
    """Return what the request rule tells the response rule of a route, in the header `MARK`."""
    return hashlib.sha256(f"{host.id}\0{route.id}".encode()).hexdigest()[:16]


def send(status: int, body: str = "", headers: Iterable[tuple[str, str]] = ()) -> str:
    """Return the statement that answers the request and ends the rule."""
    phrase = quoted(f"{status} {_phrase(status)}")
    fields = quoted(_END.join(f"{name}: {value}" for name, value in headers))
    return f'http.sendResponse( {phrase}, "text/plain", {quoted(body)}, {fields} );'


def in_any(address: str, networks: Iterable[Cidr]) -> str:
    """Return the condition that an address (an expression) is in one of the networks."""
    tests = (f"string.ipmaskmatch( {address}, {quoted(_masked(n))} )" for n in networks)
    return f"( {' || '.join(tests)} )"


def render_route(host: VirtualHost, route: Route, step: Step) -> tuple[list[str], bool]:
    """Return the lines, and whether no request gets past them."""
    condition = " && ".join(_conditions(host.hostname, route))
    inner = [*_guard(host, route, step), *_action(host, route, step)]
    if not condition:
        return inner, True
    return [f"if( {condition} ) {{", *(f"  {line}" for line in inner), "}"], False


def response_edits(route: Route) -> list[str]:
    """Return the statements of the response rule; a rule's own answers carry theirs already."""
    if not isinstance(route.action, Forward):
        return []
    edit = route.response_headers
    return [
        *(f"http.removeResponseHeader( {quoted(name)} );" for name in edit.remove),
        *(f"http.setResponseHeader( {quoted(n)}, {quoted(v)} );" for n, v in edit.set),
        *(f"http.addResponseHeader( {quoted(n)}, {quoted(v)} );" for n, v in edit.add),
    ]


def _conditions(hostname: str, route: Route) -> Iterator[str]:
    if route.hostname is not None:
        yield f"$host == {quoted(route.hostname)}"
    elif route.labels is not Labels.ANY and hostname.startswith("*."):
        one = f"^[^.]+{_literally(hostname[1:])}$"
        is_one = f"string.regexmatch( $host, {quoted(one)} )"
        yield is_one if route.labels is Labels.ONE else f"!{is_one}"
    match route.match:
        case PathMatch(kind=PathKind.EXACT, value=value):
            yield f"$path == {quoted(value)}"
        case PathMatch(value="/"):
            return
        case PathMatch(value=value):
            below = f"string.startsWith( $path, {quoted(value + '/')} )"
            yield f"( $path == {quoted(value)} || {below} )"


def _guard(host: VirtualHost, route: Route, step: Step) -> Iterator[str]:
    guard: Guard = route.guard
    if guard.allow:
        yield f"if( !{in_any('$client', guard.allow)} ) {{ {send(403)} }}"
    if guard.deny:
        yield f"if( {in_any('$client', guard.deny)} ) {{ {send(403)} }}"
    if guard.rate_limit is not None:
        is_over = f"rate.use.noQueue( {quoted(step.rate(host, route))}, $client ) == 0"
        yield f"if( {is_over} ) {{ {send(429)} }}"
    if guard.body_limit_bytes is not None:
        yield '$length = http.getHeader( "Content-Length" );'
        has_body = " && ".join(f'http.getMethod() != "{method}"' for method in _NO_BODY)
        is_chunked = 'http.getHeader( "Transfer-Encoding" ) != ""'
        yield f'if( $length == "" && ( {is_chunked} || ( {has_body} ) ) ) {{ {send(411)} }}'
        yield f"if( $length + 0 > {guard.body_limit_bytes} ) {{ {send(413)} }}"


def _action(host: VirtualHost, route: Route, step: Step) -> Iterator[str]:
    edit = route.response_headers
    match route.action:
        case Respond(status=status, body=body):
            yield send(status, body, (*edit.set, *edit.add))
        case Redirect() as redirect:
            yield from _redirect(redirect, edit, step)
        case Forward() as forward:
            yield from _request_edits(route.request_headers)
            if response_edits(route):
                yield f'http.setHeader( "{MARK}", "{mark_of(host, route)}" );'
            if forward.rewrite_prefix is not None:
                yield from _rewrite(route.match, forward.rewrite_prefix)
            yield from _choose([s for s in forward.pools if s.weight > 0], step)
        case _:
            assert_never(route.action)


def _request_edits(edit: HeaderEdit) -> Iterator[str]:
    yield from (f"http.removeHeader( {quoted(name)} );" for name in edit.remove)
    yield from (f"http.setHeader( {quoted(n)}, {quoted(v)} );" for n, v in edit.set)
    yield from (f"http.addHeader( {quoted(n)}, {quoted(v)} );" for n, v in edit.add)


def _redirect(redirect: Redirect, edit: HeaderEdit, step: Step) -> Iterator[str]:
    """Return the answer; a default port is not written into the Location."""
    scheme = redirect.scheme or step.scheme
    host = "$host"
    if redirect.port is not None and redirect.port != _DEFAULT_PORT[scheme]:
        host = f'$host . ":{redirect.port}"'
    elif redirect.port is None and redirect.scheme is None:
        host = 'http.getHeader( "Host" )'
    # A URL in absolute form (RFC 9112, section 3.2.2) would follow the host.
    yield "$url = http.getRawURL();"
    yield 'if( !string.startsWith( $url, "/" ) ) { $url = "/"; }'
    further = "".join(f"{_END}{name}: {value}" for name, value in (*edit.set, *edit.add))
    location = f'"Location: {scheme}://" . {host} . $url'
    headers = f"{location} . {quoted(further)}" if further else location
    phrase = quoted(f"{redirect.code} {_phrase(redirect.code)}")
    yield f'http.sendResponse( {phrase}, "text/plain", "", {headers} );'


def _rewrite(match: PathMatch, replacement: str) -> Iterator[str]:
    """Return what puts `replacement` in place of what matched; the edges as Envoy's table has them.

    `setPath` would read a decoded `?` as the beginning of a query, so such a path is refused.
    """
    yield f'if( string.contains( $path, "?" ) ) {{ {send(400)} }}'
    if match.kind is PathKind.EXACT:
        yield f"http.setPath( {quoted(replacement or '/')} );"
        return
    base = replacement.rstrip("/")
    if match.value == "/":
        yield f"http.setPath( {quoted(base)} . $path );"
        return
    rest = f"string.skip( $path, {len(match.value.encode())} )"
    if base:
        yield f"http.setPath( {quoted(base)} . {rest} );"
    else:
        yield f"$rest = {rest};"
        yield 'if( $rest == "" ) { $rest = "/"; }'
        yield "http.setPath( $rest );"


def _choose(shares: list[PoolShare], step: Step) -> Iterator[str]:
    """Return the choice of a pool, by weight.

    Where one of them keeps sessions, the pool is chosen by the client's address: a session that
    changed pools on each request would be none.
    """
    if not shares:
        yield send(503)
        return
    if len(shares) > 1:
        total = sum(share.weight for share in shares)
        if any(step.is_sticky(share.pool) for share in shares):
            yield f"$share = string.hash( $client ) % {total};"
            yield f"if( $share < 0 ) {{ $share = $share + {total}; }}"
        else:
            yield f"$share = math.random( {total} );"
        below = 0
        for share in shares[:-1]:
            below += share.weight
            yield f"if( $share < {below} ) {{ {_use(share, step)} }}"
    yield _use(shares[-1], step)


def _use(share: PoolShare, step: Step) -> str:
    if not step.is_there(share.pool):
        return send(503)
    return f"pool.use( {quoted(step.pool(share.pool))} );"


def _masked(network: Cidr) -> str:
    return str(ipaddress.ip_network(network))


def _literally(text: str) -> str:
    """Return a pattern for a host name, dots in brackets: fewer backslashes to get wrong."""
    return re.escape(text).replace(r"\.", "[.]").replace(r"\-", "-")


def _phrase(status: int) -> str:
    if status in _PHRASES:
        return _PHRASES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Answer"
