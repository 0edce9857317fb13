"""The rules of one virtual server: its hosts and routes as TrafficScript.

One request rule holds the whole ordered table, so that one PUT of one text swaps it. The host is
looked for first, exact names before wildcards, long before short; a host's routes come in their
order; nothing falls through to another host (ADR 0010). What no route takes is answered 404 by the
rule: the virtual server's own pool is `discard`.

A response rule exists where routes edit headers of responses, or let in pages of other origins. It
gets to know which route was taken by a request header of ours; see `mark`.

Everything that came from outside passes `quoted`; see there.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from onehop.driver.vtm.answer import send
from onehop.driver.vtm.cors import ORIGIN
from onehop.driver.vtm.mark import MARK
from onehop.driver.vtm.match import QUERY, in_any
from onehop.driver.vtm.name import Names
from onehop.driver.vtm.quote import quoted
from onehop.driver.vtm.response import response_lines, takes_page
from onehop.driver.vtm.route import render_route
from onehop.driver.vtm.step import Step
from onehop.model.address import Cidr
from onehop.model.listener import Listener
from onehop.model.route import VirtualHost

_INTRODUCTION: Final = "# Written by onehop. Edits by hand are reported, then overwritten.\n"


class Rules(msgspec.Struct, frozen=True):
    """The texts of a virtual server's rules.

    Attributes:
        response: None where no route edits headers of responses.
    """

    request: str
    response: str | None = None


def render_rules(
    listener: Listener, hosts: Sequence[VirtualHost], step: Step, names: Names, *, hops: int
) -> Rules:
    """Return the rules of a listener for HTTP.

    Args:
        listener: whose sources may connect.
        hosts: of its router.
        step: how routes get at pools and rate classes.
        names: mark the text as ours.
        hops: proxies in front of us whose X-Forwarded-For is believed.
    """
    head = f"{names.comment}{quoted(listener.id)[1:-1]}\n{_INTRODUCTION}"
    ordered = sorted(hosts, key=_precedence)
    routes = [(host, route) for host in ordered for route in host.routes]
    edits = [line for host, route in routes for line in response_lines(host, route)]
    takes_pages = any(takes_page(route) for _, route in routes)
    ours = ((MARK, bool(edits)), (ORIGIN, takes_pages))
    lines = [*_sources(listener.sources), *_preamble(hops), *_opening(ours)]
    if any(route.when.queries for _, route in routes):
        lines.append(f'{QUERY} = "&" . http.getRawQueryString() . "&";')
    for host in ordered:
        lines += _host(host, step)
    lines.append(send(404))
    request = head + "\n".join(lines) + "\n"
    if not edits:
        return Rules(request)
    said = [f'$route = http.getHeader( "{MARK}" );']
    if takes_pages:
        said.append(f'$origin = http.getHeader( "{ORIGIN}" );')
    return Rules(request, head + "\n".join([*said, *edits]) + "\n")


def _sources(sources: Iterable[Cidr]) -> Iterator[str]:
    if sources:
        yield f"if( !{in_any('request.getRemoteIP()', sources)} ) {{ connection.discard(); }}"


def _preamble(hops: int) -> Iterator[str]:
    yield "$host = http.getHostHeader();"
    yield "$path = http.normalizePath( http.getPath() );"
    yield "$client = request.getRemoteIP();"
    if hops:
        # The address that the outermost believed proxy saw: the one so many places from the right.
        pattern = rf"(?:^|,)\s*([0-9A-Fa-f.:]+)\s*(?:,[^,]*){{{hops - 1}}}$"
        forwarded = 'http.getHeader( "X-Forwarded-For" )'
        yield f"if( string.regexmatch( {forwarded}, {quoted(pattern)} ) ) {{ $client = $1; }}"


def _opening(ours: Iterable[tuple[str, bool]]) -> Iterator[str]:
    for header, is_used in ours:
        if is_used:
            yield f'http.removeHeader( "{header}" );'
    yield 'http.setHeader( "X-Real-IP", $client );'
    yield f'if( $path == "" ) {{ {send(400)} }}'


def _precedence(host: VirtualHost) -> tuple[bool, int, str]:
    """Exact names first, then wildcards by length, `*` last."""
    return host.hostname.startswith("*"), -len(host.hostname), host.hostname


def _host(host: VirtualHost, step: Step) -> Iterator[str]:
    condition = _host_condition(host.hostname)
    indent = "  " if condition else ""
    if condition:
        yield f"if( {condition} ) {{"
    is_closed = False
    for route in host.routes:
        lines, is_closed = render_route(host, route, step)
        yield from (indent + line for line in lines)
        if is_closed:
            break
    if not is_closed:
        yield indent + send(404)
    if condition:
        yield "}"


def _host_condition(hostname: str) -> str:
    if hostname == "*":
        return ""
    if hostname.startswith("*."):
        return f"string.endsWith( $host, {quoted(hostname[1:])} )"
    return f"$host == {quoted(hostname)}"
