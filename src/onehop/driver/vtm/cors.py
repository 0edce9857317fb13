"""What pages of other origins may do with a route; the Fetch standard, "CORS protocol".

Preflights of pages that are let in are answered by the request rule, and what such a page is told
besides stands in `$cors` for the rule's own answers. The response rule says the same of answers of
endpoints: the request rule tells it the page by a request header of ours, `ORIGIN`.

Whatever a client says and is told again is looked at for what could end a header.
"""

from collections.abc import Iterator
from typing import Final

from onehop.driver.vtm.answer import LINE_END, send
from onehop.driver.vtm.match import literally
from onehop.driver.vtm.quote import quoted
from onehop.model.route import Cors

ORIGIN: Final = "X-Onehop-Origin"
"""Clients cannot set it; only pages that are let in are in it."""
TOLD: Final = "$cors"
"""Headers for the page that asks, each after a line end; nothing for one that is not let in."""
VARY: Final = ("Vary", "Origin")
"""A cache must not give one page what was said to another ("CORS protocol and HTTP caches")."""

_ALLOW_ORIGIN: Final = "Access-Control-Allow-Origin"
_CREDENTIALS: Final = "Access-Control-Allow-Credentials"
_EXPOSE: Final = "Access-Control-Expose-Headers"
_OURS: Final = frozenset(name.lower() for name in (_ALLOW_ORIGIN, _CREDENTIALS, _EXPOSE))


def request_lines(cors: Cors, *, is_forwarded: bool) -> Iterator[str]:
    """Yield the statements of the request rule.

    Args:
        cors: who may do what.
        is_forwarded: whether a response rule will have to know the page.
    """
    yield '$origin = http.getHeader( "Origin" );'
    yield f'{TOLD} = "";'
    yield f"if( {_admits(cors)} ) {{"
    if is_forwarded:
        yield f'  http.setHeader( "{ORIGIN}", $origin );'
    told = [f"{quoted(f'{LINE_END}{_ALLOW_ORIGIN}: ')} . $origin"] if _is_named(cors) else []
    said = "".join(f"{LINE_END}{name}: {value}" for name, value in _constant(cors))
    yield f"  {TOLD} = {' . '.join([*told, quoted(said)] if said else told)};"
    yield '  $method = http.getHeader( "Access-Control-Request-Method" );'
    yield '  if( http.getMethod() == "OPTIONS" && $method != "" ) {'
    yield from (f"    {line}" for line in _preflight(cors))
    yield "  }"
    yield "}"


def response_lines(cors: Cors) -> Iterator[str]:
    """Yield the statements of the response rule, where `$origin` is the page."""
    yield 'if( $origin != "" ) {'
    if _is_named(cors):
        yield f'  http.setResponseHeader( "{_ALLOW_ORIGIN}", $origin );'
    for name, value in _constant(cors):
        yield f'  http.setResponseHeader( "{name}", {quoted(value)} );'
    yield "}"
    yield f'http.addResponseHeader( "{VARY[0]}", "{VARY[1]}" );'


def own_answer(
    status: int, cors: Cors | None, body: str = "", headers: tuple[tuple[str, str], ...] = ()
) -> str:
    """Return the statement that answers a request of a route; its page is told what it may do."""
    further = TOLD if cors is not None else ""
    return send(status, body, beside(cors, headers), further=further)


def beside(cors: Cors | None, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the headers of an answer of our own that do not stand in `TOLD`."""
    if cors is None:
        return headers
    return (*(each for each in headers if each[0].lower() not in _OURS), VARY)


def _is_named(cors: Cors) -> bool:
    """Tell whether a page is named to itself; otherwise all are let in as `*`."""
    return "*" not in cors.origins or cors.credentials


def _constant(cors: Cors) -> Iterator[tuple[str, str]]:
    if not _is_named(cors):
        yield _ALLOW_ORIGIN, "*"
    if cors.credentials:
        yield _CREDENTIALS, "true"
    if cors.exposed:
        yield _EXPOSE, ", ".join(cors.exposed)


def _admits(cors: Cors) -> str:
    if "*" in cors.origins:
        return _is_clean("$origin")
    exact = [f"$origin == {quoted(each)}" for each in cors.origins if "*" not in each]
    wide = [_wide(each) for each in cors.origins if "*" in each]
    if wide:
        exact.append(f"{_is_clean('$origin')} && ( {' || '.join(wide)} )")
    return " || ".join(exact) or "0"


def _wide(origin: str) -> str:
    """Return the condition for an origin whose host begins with a `*`: any that ends so."""
    scheme, _, host = origin.partition("://")
    pattern = f"^{scheme}://[^/:]+{literally(host.removeprefix('*'))}$"
    return f"string.regexmatch( $origin, {quoted(pattern)} )"


def _preflight(cors: Cors) -> Iterator[str]:
    """Yield the answer to a preflight; `*` alone is whatever the client asks for."""
    said = [("Access-Control-Max-Age", str(cors.max_age_s)), VARY]
    for what, allowed in (("Method", cors.methods), ("Headers", cors.headers)):
        name = f"Access-Control-Allow-{what.removesuffix('s')}s"
        if allowed == ("*",):
            yield f'$asked = http.getHeader( "Access-Control-Request-{what}" );'
            told = f"{quoted(f'{LINE_END}{name}: ')} . $asked"
            yield f"if( {_is_clean('$asked', ' -~')} ) {{ {TOLD} = {TOLD} . {told}; }}"
        elif allowed:
            said.append((name, ", ".join(allowed)))
    yield send(200, "", said, further=TOLD)


def _is_clean(text: str, characters: str = "!-~") -> str:
    return f'{text} != "" && !string.regexmatch( {text}, {quoted(f"[^{characters}]")} )'
