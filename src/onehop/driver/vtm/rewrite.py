"""Where a request is sent on to: another path for the endpoint, another URL for the client."""

from collections.abc import Iterator
from typing import Final

from onehop.driver.vtm.answer import LINE_END, answer
from onehop.driver.vtm.match import decoded
from onehop.driver.vtm.quote import quoted
from onehop.model.route import Forward, PathKind, PathMatch, Redirect

_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_KEPT: Final = (("%", "%25"), ("?", "%3F"), ("#", "%23"))
"""What a decoded path may have and an encoded one may not, and the encoder leaves as it is."""


def rewrite_lines(forward: Forward, match: PathMatch) -> Iterator[str]:
    """Yield what changes the URL that the endpoint sees; the query stays (`http.setRawPath`)."""
    if forward.rewrite_host is not None:
        yield f'http.setHeader( "Host", {quoted(forward.rewrite_host)} );'
    if forward.rewrite_path is not None:
        yield f"http.setRawPath( {quoted(forward.rewrite_path)} );"
    elif forward.rewrite_prefix is not None:
        yield from _replace(match, forward.rewrite_prefix)
        yield "http.setRawPath( $new );"


def redirect_lines(
    redirect: Redirect,
    match: PathMatch,
    scheme: str,
    headers: tuple[tuple[str, str], ...] = (),
    *,
    further: str = "",
) -> Iterator[str]:
    """Yield the answer; a default port is not written into the Location.

    The scheme is that of the listener; of `headers` and `further` see `answer.send`.
    """
    said = redirect.scheme or scheme
    yield from _target(redirect, match)
    location = f'"Location: {said}://" . {_authority(redirect, said)} . $url'
    more = "".join(f"{LINE_END}{name}: {value}" for name, value in headers)
    parts = (location, quoted(more) if more else "", further)
    yield answer(redirect.code, " . ".join(part for part in parts if part))


def _authority(redirect: Redirect, scheme: str) -> str:
    is_said = redirect.port not in {None, _DEFAULT_PORT[scheme]}
    if redirect.host is not None:
        return quoted(redirect.host + (f":{redirect.port}" if is_said else ""))
    if is_said:
        return f'$host . ":{redirect.port}"'
    if redirect.port is None and redirect.scheme is None:
        return 'http.getHeader( "Host" )'
    return "$host"


def _target(redirect: Redirect, match: PathMatch) -> Iterator[str]:
    """Yield what puts the path and the query into `$url`."""
    if redirect.path is None and redirect.prefix is None:
        # A URL in absolute form (RFC 9112, section 3.2.2) would follow the host.
        yield "$url = http.getRawURL();"
        yield 'if( !string.startsWith( $url, "/" ) ) { $url = "/"; }'
        return
    if redirect.path is not None:
        yield f"$url = {quoted(redirect.path)};"
    elif redirect.prefix is not None:
        yield from _replace(match, redirect.prefix)
        yield "$url = $new;"
    yield "$asked = http.getRawQueryString();"
    yield 'if( $asked != "" ) { $url = $url . "?" . $asked; }'


def _replace(match: PathMatch, replacement: str) -> Iterator[str]:
    """Yield what puts `replacement` in place of what matched, into `$new`; the edges as Envoy's.

    The path that is matched is decoded. What is left of it is encoded again: what was hidden behind
    a `%` (a question mark, another `%`) stays so.
    """
    if match.kind is not PathKind.PREFIX:
        yield f"$new = {quoted(replacement or '/')};"
        return
    base = replacement.rstrip("/")
    length = 0 if match.value == "/" else len(decoded(match).encode())
    yield f"$new = string.skip( $path, {length} );" if length else "$new = $path;"
    for plain, hidden in _KEPT:
        yield f"$new = string.replaceAll( $new, {quoted(plain)}, {quoted(hidden)} );"
    encoded = "string.urlencodeexceptreserved( $new )"
    yield f"$new = {quoted(base)} . {encoded};" if base else f"$new = {encoded};"
    if length and not base:
        yield 'if( $new == "" ) { $new = "/"; }'
