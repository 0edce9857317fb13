"""One route as TrafficScript: what it takes, who may use it, and what becomes of the request."""

from collections.abc import Iterator
from typing import Final, assert_never

from onehop.driver.vtm.answer import send
from onehop.driver.vtm.cors import TOLD, beside, own_answer, request_lines
from onehop.driver.vtm.edit import request_edits
from onehop.driver.vtm.mark import mark_of
from onehop.driver.vtm.match import conditions_of, in_any
from onehop.driver.vtm.quote import quoted
from onehop.driver.vtm.response import mark_lines
from onehop.driver.vtm.rewrite import redirect_lines, rewrite_lines
from onehop.driver.vtm.share import draw, share_edits, use
from onehop.driver.vtm.step import Step
from onehop.model.route import Forward, Guard, Redirect, Respond, Route, VirtualHost

_NO_BODY: Final = ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE")


def render_route(host: VirtualHost, route: Route, step: Step) -> tuple[list[str], bool]:
    """Return the lines, and whether no request gets past them."""
    condition = " && ".join(conditions_of(host.hostname, route))
    inner = [*_guard(host, route, step), *_cors(route), *_action(host, route, step)]
    if not condition:
        return inner, True
    return [f"if( {condition} ) {{", *(f"  {line}" for line in inner), "}"], False


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


def _cors(route: Route) -> Iterator[str]:
    if route.cors is not None:
        yield from request_lines(route.cors, is_forwarded=isinstance(route.action, Forward))


def _action(host: VirtualHost, route: Route, step: Step) -> Iterator[str]:
    headers = (*route.response_headers.set, *route.response_headers.add)
    match route.action:
        case Respond(status=status, body=body):
            yield own_answer(status, route.cors, body, headers)
        case Redirect() as redirect:
            said = beside(route.cors, headers)
            further = TOLD if route.cors is not None else ""
            yield from redirect_lines(redirect, route.match, step.scheme, said, further=further)
        case Forward() as forward:
            yield from _forward(host, route, forward, step)
        case _:
            assert_never(route.action)


def _forward(host: VirtualHost, route: Route, forward: Forward, step: Step) -> Iterator[str]:
    lot = list(draw(forward, step))
    edits = list(share_edits(forward, mark_of(host, route)))
    if edits:
        yield from (*lot, *edits)
    yield from request_edits(route.request_headers)
    yield from mark_lines(host, route)
    yield from rewrite_lines(forward, route.match)
    if not edits:
        yield from lot
    yield from use(forward, step, route.cors)
