"""What rules can call, and what becomes of a request.

As the vendor describes each function: the TrafficScript reference, and the help of the vendor's
editor (github.com/brocade/vTM-eclipse, `plugin/help/ts`).
"""

import ipaddress
import posixpath
import re
import string
import zlib
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias
from urllib.parse import unquote

import msgspec

from onehop.lab.vtm.syntax import ScriptError

Value: TypeAlias = str | int
Functions: TypeAlias = Mapping[str, tuple[int, Callable[..., Value]]]
"""By name: how many arguments, and what is done."""

_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*")
_UNENCODED: Final = frozenset(string.ascii_letters + string.digits + ".-_" + "!*();:@&=+'$,/?#[]%")


class Request(msgspec.Struct, kw_only=True):
    """A request, as a rule sees and changes it.

    Attributes:
        headers: names in lower case.
        draws: what `math.random` gives, one after another.
    """

    method: str = "GET"
    url: str = "/"
    headers: dict[str, str] = {}
    client: str = "192.0.2.7"
    is_tls: bool = False
    draws: list[int] = []
    over_rate: set[str] = set()


class UsePool(msgspec.Struct, frozen=True):
    """The request goes to a pool."""

    pool: str


class Answer(msgspec.Struct, frozen=True):
    """The rule answers by itself."""

    status: int
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class Discard(msgspec.Struct, frozen=True):
    """The connection is dropped."""


class FallThrough(msgspec.Struct, frozen=True):
    """The rule came to its end."""


Outcome: TypeAlias = UsePool | Answer | Discard | FallThrough


class Ended(Exception):  # noqa: N818  an outcome, not a fault
    """A rule is over: something was decided."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


def _end(outcome: Outcome) -> Value:
    raise Ended(outcome)


def _use(pool: str) -> Value:
    return _end(UsePool(pool))


def _send(status: str, _type: str, body: str, headers: str) -> Value:
    r"""End with an answer; "multiple headers should be separated with \r\n" (`http.sendResponse`).

    What a unit makes of an empty line, or of one that is no header, is not known: none is written.
    """
    lines = str(headers).split("\r\n") if headers else []
    if not all(map(_HEADER.fullmatch, lines)):
        raise ScriptError(f"http.sendResponse: {headers!r} are no headers")
    pairs = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
    return _end(Answer(int(status.partition(" ")[0]), str(body), pairs))


def _starts(text: str, start: str) -> Value:
    return int(str(text).startswith(str(start)))


def _ends(text: str, end: str) -> Value:
    return int(str(text).endswith(str(end)))


def _contains(text: str, part: str) -> Value:
    return int(str(part) in str(text))


def _skip(text: str, count: int) -> Value:
    return str(text).encode()[int(count) :].decode("utf-8", "replace")


def _replace(text: str, part: str, by: str) -> Value:
    return str(text).replace(str(part), str(by))


def _encoded(text: str) -> str:
    """Encode all but what is unreserved or reserved, and `%` (`string.urlencodeexceptreserved`)."""
    return "".join(chr(b) if chr(b) in _UNENCODED else f"%{b:02X}" for b in str(text).encode())


def _hash(text: str) -> Value:
    return zlib.crc32(str(text).encode()) - (1 << 31)


def _is_in(address: str, network: str) -> int:
    return int(ipaddress.ip_address(str(address)) in ipaddress.ip_network(str(network)))


def _headers(headers: dict[str, str], names: tuple[str, str, str]) -> Functions:
    set_, add, remove = names

    def put(name: str, value: str) -> Value:
        headers[str(name).lower()] = str(value)
        return 1

    def append(name: str, value: str) -> Value:
        before = headers.get(str(name).lower())
        headers[str(name).lower()] = str(value) if before is None else f"{before}, {value}"
        return 1

    def drop(name: str) -> Value:
        headers.pop(str(name).lower(), None)
        return 1

    return {set_: (2, put), add: (2, append), remove: (1, drop)}


def _reading(request: Request) -> Functions:
    def header(name: str) -> Value:
        return request.headers.get(name.lower(), "")

    def exists(name: str) -> Value:
        return int(name.lower() in request.headers)

    return {
        "http.getHeader": (1, header),
        "http.headerExists": (1, exists),
        "http.getMethod": (0, lambda: request.method),
        "http.getRawURL": (0, lambda: request.url),
        "http.getRawQueryString": (0, lambda: request.url.partition("?")[2]),
        "http.getPath": (0, lambda: unquote(_path(request.url))),
        "http.normalizePath": (1, _normalized),
        "http.getHostHeader": (0, lambda: _host(request.headers.get("host", ""))),
        "request.getRemoteIP": (0, lambda: request.client),
        "ssl.isSSL": (0, lambda: int(request.is_tls)),
    }


def request_functions(request: Request) -> Functions:
    """Return what a request rule can call."""

    def set_raw_path(path: str) -> Value:
        _, mark, query = request.url.partition("?")
        request.url = str(path) + ("" if "?" in str(path) else mark + query)
        return 1

    def draw(bound: int) -> Value:
        return request.draws.pop(0) % bound

    def keep_rate(name: str, _client: str) -> Value:
        return int(name not in request.over_rate)

    names = ("http.setHeader", "http.addHeader", "http.removeHeader")
    return {
        **_STRINGS,
        **_reading(request),
        **_headers(request.headers, names),
        "http.setRawPath": (1, set_raw_path),
        "http.sendResponse": (4, _send),
        "pool.use": (1, _use),
        "connection.discard": (0, lambda: _end(Discard())),
        "math.random": (1, draw),
        "rate.use.noQueue": (2, keep_rate),
    }


def response_functions(request: Request, headers: dict[str, str]) -> Functions:
    """Return what a response rule can call."""
    names = ("http.setResponseHeader", "http.addResponseHeader", "http.removeResponseHeader")
    return {**_STRINGS, **_reading(request), **_headers(headers, names)}


def _path(url: str) -> str:
    """Return the path of a request's target, in origin or in absolute form."""
    plain = url.partition("?")[0]
    return plain if plain.startswith("/") else f"/{plain.partition('://')[2].partition('/')[2]}"


def _normalized(path: str) -> str:
    if not str(path).startswith("/"):
        return ""
    collapsed = posixpath.normpath(re.sub("/+", "/", str(path)))
    is_folder = str(path).endswith("/") and collapsed != "/"
    return f"{collapsed}/" if is_folder else collapsed


def _host(header: str) -> str:
    return re.sub(r":[0-9]+$", "", header).rstrip(".").lower()


_STRINGS: Final[Functions] = {
    "string.startsWith": (2, _starts),
    "string.endsWith": (2, _ends),
    "string.contains": (2, _contains),
    "string.skip": (2, _skip),
    "string.replaceAll": (3, _replace),
    "string.urlencodeexceptreserved": (1, _encoded),
    "string.hash": (1, _hash),
    "string.ipmaskmatch": (2, _is_in),
}
