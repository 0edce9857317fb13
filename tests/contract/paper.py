"""A Model read as a data plane would: which pool a request goes to, or what it is answered.

It is written from the docstrings of `model/route.py` and from nothing else, so that it is a second
opinion on what the data planes do.
"""

import ipaddress
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import assert_never

import msgspec

from onehop.model.address import Cidr
from onehop.model.ident import PoolId
from onehop.model.listener import ForwardHttp, Listener
from onehop.model.model import Row
from onehop.model.route import (
    Conditions,
    Cors,
    Forward,
    Guard,
    HeaderEdit,
    Labels,
    PathKind,
    PathMatch,
    Redirect,
    Respond,
    Route,
    VirtualHost,
)

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ASKS = "access-control-request-method"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A request."""

    host: str
    path: str = "/"
    method: str = "GET"
    source: str = "127.0.0.5"
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of a request.

    Attributes:
        path: as the endpoint sees it.
        seen: headers that the endpoint sees, names in lower case.
        headers: of the answer.
        body: of an answer of our own.
    """

    status: int
    pool: PoolId | None = None
    path: str = ""
    seen: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: str = ""


def answer_on_paper(rows: Iterable[Row], asked: Question) -> Verdict:
    """Return what becomes of a request to the only listener of the rows."""
    known = tuple(rows)
    entrance = next(row for row in known if isinstance(row, Listener))
    assert isinstance(entrance.handler, ForwardHttp)
    hosts = [row for row in known if isinstance(row, VirtualHost)]
    name = asked.host.rpartition(":")[0] or asked.host
    client = _client(entrance.handler, asked)
    for host in sorted(hosts, key=_precedence):
        if _is_named(host.hostname, name.lower()):
            for route in host.routes:
                if _takes(route, host.hostname, name.lower(), asked):
                    return _taken(route, asked, client, name)
            break  # nothing falls through to another host
    return Verdict(404)


def _client(handler: ForwardHttp, asked: Question) -> str:
    hops = [each.strip() for each in asked.headers.get("x-forwarded-for", "").split(",")]
    trusted = handler.trusted_hops
    is_told = trusted and len(hops) >= trusted and hops[-trusted]
    return hops[-trusted] if is_told else asked.source


def _precedence(host: VirtualHost) -> tuple[bool, int]:
    return host.hostname.startswith("*"), -len(host.hostname)


def _is_named(hostname: str, name: str) -> bool:
    if hostname == "*":
        return True
    return name.endswith(hostname[1:]) if hostname.startswith("*") else name == hostname


def _takes(route: Route, hostname: str, name: str, asked: Question) -> bool:
    if route.hostname is not None and route.hostname != name:
        return False
    if route.labels is not Labels.ANY and hostname.startswith("*."):
        is_one = "." not in name.removesuffix(hostname[1:])
        if is_one is not (route.labels is Labels.ONE):
            return False
    path, _, query = asked.path.partition("?")
    if not _is_as(route.when, asked, query):
        return False
    match route.match:
        case PathMatch(kind=PathKind.EXACT, value=value):
            return path == value
        case PathMatch(kind=PathKind.METHOD, value=value):
            return path.split("/")[2:] == [value]
        case PathMatch(value=value):
            return value in {"/", path} or path.startswith(f"{value}/")


def _is_as(when: Conditions, asked: Question, query: str) -> bool:
    parameters = dict(each.split("=", 1) for each in query.split("&") if "=" in each)
    return (
        when.method in {None, asked.method}
        and all(asked.headers.get(name) == value for name, value in when.headers)
        and all(parameters.get(name) == value for name, value in when.queries)
    )


def _taken(route: Route, asked: Question, client: str, name: str) -> Verdict:
    refused = next(_refusals(route.guard, asked, client), None)
    if refused is not None:
        return Verdict(refused)
    told = _told_page(route.cors, asked) if route.cors is not None else {}
    if told and asked.method == "OPTIONS" and _ASKS in asked.headers:
        return Verdict(200, headers=told)
    match route.action:
        case Respond(status=status, body=body):
            return Verdict(status, body=body, headers=told)
        case Redirect() as redirect:
            location = _location(redirect, route.match, asked.path, name)
            return Verdict(redirect.code, headers={"location": location, **told})
        case Forward() as forward:
            verdict = _forwarded(route, forward, asked)
            seen = {"x-real-ip": client, **verdict.seen}
            return msgspec.structs.replace(verdict, seen=seen, headers={**verdict.headers, **told})
        case _:
            assert_never(route.action)


def _location(redirect: Redirect, match: PathMatch, asked: str, name: str) -> str:
    scheme = redirect.scheme or "http"
    is_said = redirect.port not in {None, _DEFAULT_PORTS[scheme]}
    port = f":{redirect.port}" if is_said else ""
    path = _rewritten(redirect.path, redirect.prefix, match, asked)
    return f"{scheme}://{redirect.host or name}{port}{path}"


def _forwarded(route: Route, forward: Forward, asked: Question) -> Verdict:
    shares = [share for share in (*forward.pools, None) if share is None or share.weight > 0]
    weights = [forward.missing if share is None else share.weight for share in shares]
    (chosen,) = random.choices(shares, weights)  # noqa: S311  a die
    if chosen is None:
        return Verdict(forward.missing_status)
    seen = _edited(_edited(asked.headers, chosen.request_headers), route.request_headers)
    if forward.rewrite_host is not None:
        seen["host"] = forward.rewrite_host
    path = _rewritten(forward.rewrite_path, forward.rewrite_prefix, route.match, asked.path)
    answered = _edited(_edited({}, chosen.response_headers), route.response_headers)
    return Verdict(200, chosen.pool, path, seen, answered)


def _told_page(cors: Cors, asked: Question) -> dict[str, str]:
    """Return what a page that is let in is told; nothing for others. Origins are plain here."""
    page = asked.headers.get("origin", "")
    if page not in cors.origins:
        return {}
    return {
        "access-control-allow-origin": page,
        "access-control-allow-methods": ", ".join(cors.methods),
    }


def _refusals(guard: Guard, asked: Question, client: str) -> Iterator[int]:
    if guard.allow and not _is_in(client, guard.allow):
        yield 403
    if _is_in(client, guard.deny):
        yield 403
    if guard.body_limit_bytes is not None and len(asked.body) > guard.body_limit_bytes:
        yield 413


def _is_in(client: str, networks: Iterable[Cidr]) -> bool:
    return any(ipaddress.ip_address(client) in ipaddress.ip_network(each) for each in networks)


def _edited(headers: Mapping[str, str], edit: HeaderEdit) -> dict[str, str]:
    kept = {name: value for name, value in headers.items() if name not in edit.remove}
    edited = {**kept, **dict(edit.set)}
    for name, value in edit.add:
        edited[name] = f"{edited[name]}, {value}" if name in edited else value
    return edited


def _rewritten(whole: str | None, prefix: str | None, match: PathMatch, path: str) -> str:
    plain, mark, query = path.partition("?")
    if whole is not None:
        return f"{whole}{mark}{query}"
    if prefix is None:
        return path
    rest = "" if match.value == plain else plain.removeprefix(match.value.rstrip("/"))
    base = prefix.rstrip("/")
    return f"{base}{rest}{mark}{query}" if base or rest else f"/{mark}{query}"
