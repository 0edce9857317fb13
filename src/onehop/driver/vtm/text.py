"""What of a route a rule cannot say: the texts of tenants that are not what they stand for.

`quoted` keeps a text from becoming a statement. But a line end in a header's value would begin
another header, and a question mark in a path a query: what is put into either is looked at first.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, assert_never

from onehop.model.route import Conditions, Cors, Forward, HeaderEdit, Redirect, Respond, Route

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")  # RFC 3986, section 3.3
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9_])?")
_ORIGIN: Final = re.compile(r"https?://(\*|(\*\.)?[a-z0-9][a-z0-9.-]{0,252})(:[0-9]{1,5})?")
_CODES: Final = (301, 302, 303, 307, 308)
_SCHEMES: Final = (None, "http", "https")


def route_faults(route: Route) -> Iterator[str]:
    """Yield what cannot be said, in words."""
    yield from _condition_faults(route.when)
    for edit in (route.request_headers, route.response_headers):
        yield from _edit_faults(edit)
    if route.cors is not None:
        yield from _cors_faults(route.cors)
    match route.action:
        case Respond(body=body):
            if _CONTROL.search(body.replace("\n", "")):
                yield "a body with other control characters than line feeds is not put into a rule"
        case Redirect() as redirect:
            yield from _redirect_faults(redirect)
        case Forward() as forward:
            yield from _forward_faults(forward)
        case _:
            assert_never(route.action)


def _condition_faults(when: Conditions) -> Iterator[str]:
    if when.method is not None:
        yield from _no_tokens("a method", [when.method])
    yield from _no_tokens("a header that can be looked for", [name for name, _ in when.headers])
    for name, value in (*when.headers, *when.queries):
        if _CONTROL.search(value):
            yield f"the value that {name!a} shall have has control characters"


def _edit_faults(edit: HeaderEdit) -> Iterator[str]:
    names = (*(name for name, _ in (*edit.set, *edit.add)), *edit.remove)
    for name in names:
        if _TOKEN.fullmatch(name) is None:
            yield f"{name!r} is no name of a header that may be edited"
    for name, value in (*edit.set, *edit.add):
        if _CONTROL.search(value):
            yield f"the value of header {name} has control characters"


def _cors_faults(cors: Cors) -> Iterator[str]:
    yield from _no_tokens("a method or a header", (*cors.methods, *cors.headers, *cors.exposed))
    for origin in cors.origins:
        if origin != "*" and _ORIGIN.fullmatch(origin) is None:
            yield f"{origin!a} is not the origin of a page"


def _redirect_faults(redirect: Redirect) -> Iterator[str]:
    if redirect.code not in _CODES:
        yield f"{redirect.code} is not a redirect"
    if redirect.scheme not in _SCHEMES:
        yield f"{redirect.scheme!a} is not http or https"
    yield from _place_faults(redirect.host, redirect.path, redirect.prefix)


def _forward_faults(forward: Forward) -> Iterator[str]:
    for share in forward.pools:
        yield from _edit_faults(share.request_headers)
        yield from _edit_faults(share.response_headers)
    yield from _place_faults(forward.rewrite_host, forward.rewrite_path, forward.rewrite_prefix)


def _place_faults(host: str | None, *paths: str | None) -> Iterator[str]:
    if host is not None and _HOST.fullmatch(host) is None:
        yield f"{host!a} is not the name of one host"
    for path in paths:
        if path and _PATH.fullmatch(path) is None:
            yield f"{path!a} is not a path"


def _no_tokens(what: str, texts: Iterable[str]) -> Iterator[str]:
    return (f"{each!a} is not {what}" for each in texts if _TOKEN.fullmatch(each) is None)
