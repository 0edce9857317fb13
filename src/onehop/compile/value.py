"""Parsers for what people write into annotations: text in, a value or a ValueError out.

The error's text completes the sentence "allowed is ..."; nothing here passes text through to a
data plane unless an allow-list matched all of it (design rule 4).
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeGuard

from onehop.model.address import Cidr, IpAddr, is_ipv6, parse_cidr, parse_ip
from onehop.model.route import RateLimit

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h)")
_SIZES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SIZE: Final = re.compile(r"([0-9]{1,12})([kmgKMG]?)")
_RATE: Final = re.compile(r"([0-9]{1,9})/(s|m|h)")
_CODES: Final = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]{0,4094}[\x21-\x7e])?")
_URL_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]{0,1023}")
_HOST: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_OBJECT_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")

_CONNECTION_HEADERS: Final = frozenset(
    # RFC 9110 section 7.6.1 and RFC 9113 section 8.2.2: they belong to a connection, not a message;
    # Host and Content-Length decide where a request goes and where it ends.
    (
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)

_URI: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{0,31}:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,220}"
)
"""RFC 3986: a scheme, and behind it nothing but the characters that a URI may have."""
_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_LAST_PORT: Final = 65535


def is_port(number: int | None) -> TypeGuard[int]:
    """Tell whether this is a port that can be listened on or dialled."""
    return number is not None and 0 < number <= _LAST_PORT


def is_uri(text: str) -> bool:
    """Tell whether text is a URI with a scheme, `spiffe://example.com/shop` for one."""
    return _URI.fullmatch(text) is not None


@lru_cache(maxsize=10_000)
def label_value(text: str | None) -> str | None:
    """Return the name of a zone or a node, or None for what cannot be one."""
    return text if text and _LABEL_VALUE.fullmatch(text) else None


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser for one of the words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(" | ".join(words))
        return text

    return parse


def boolean(text: str) -> bool:
    """Parse `true` or `false`."""
    if text not in ("true", "false"):
        raise ValueError("true | false")
    return text == "true"


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a parser for a whole number within inclusive bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def duration(low_s: float, high_s: float) -> Callable[[str], float]:
    """Return a parser for `250ms`, `1.5s`, `2m`, `1h`: seconds within inclusive bounds."""

    def parse(text: str) -> float:
        match = _DURATION.fullmatch(text)
        value = float(match[1]) * _UNITS_S[match[2]] if match else -1.0
        if not low_s <= value <= high_s:
            raise ValueError(
                f"a number with ms, s, m or h, from {low_s:g}s to {high_s:g}s, such as 30s"
            )
        return value

    return parse


def size(text: str) -> int:
    """Parse `512`, `64k`, `8m`, `1g` into bytes, at most 1 TiB."""
    match = _SIZE.fullmatch(text)
    value = int(match[1]) * _SIZES[match[2].lower()] if match else -1
    if not 0 < value <= 1 << 40:
        raise ValueError("a number of bytes, with k, m or g behind it for KiB, MiB or GiB")
    return value


def rate(text: str) -> RateLimit:
    """Parse `100/s`, `600/m`, `1000/h`."""
    match = _RATE.fullmatch(text)
    if not match or int(match[1]) == 0:
        raise ValueError("a number of requests per s, m or h, such as 100/s")
    return RateLimit(requests=int(match[1]), per_s=int(_UNITS_S[match[2]]))


_CODES_ALLOWED: Final = "status codes or ranges of them, such as 200-299,301"


def codes(text: str) -> tuple[tuple[int, int], ...]:
    """Parse `200,204,300-399` into inclusive ranges."""
    ranges: list[tuple[int, int]] = []
    for part in _items(text):
        match = _CODES.fullmatch(part)
        first = int(match[1]) if match else 0
        last = int(match[2] or match[1]) if match else 0
        if not match or last < first:
            raise ValueError(_CODES_ALLOWED)
        ranges.append((first, last))
    if not ranges:
        raise ValueError(_CODES_ALLOWED)
    return tuple(sorted(ranges))


def code_list(text: str) -> tuple[int, ...]:
    """Parse `502,503` into single codes."""
    ranges = codes(text)
    if any(first != last for first, last in ranges):
        raise ValueError("status codes, such as 502,503,504")
    return tuple(first for first, _ in ranges)


def cidrs(text: str) -> tuple[Cidr, ...]:
    """Parse networks or addresses separated by commas."""
    parsed = [parse_cidr(part) for part in _items(text)]
    if None in parsed or not parsed:
        raise ValueError("networks separated by commas, such as 10.0.0.0/8,2001:db8::/32")
    return tuple(sorted({cidr for cidr in parsed if cidr is not None}))


def addresses(text: str) -> tuple[IpAddr, ...]:
    """Parse addresses separated by commas, at most one of each family."""
    parsed = [parse_ip(part.strip()) for part in text.split(",")]
    known = tuple(address for address in parsed if address is not None)
    if len({is_ipv6(address) for address in known}) != len(parsed):
        raise ValueError("IP addresses separated by commas, at most one of each family")
    return known


def is_token(text: str) -> bool:
    """Tell whether this may be the name of a header (RFC 9110, section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def is_header_value(text: str) -> bool:
    """Tell whether this may be the value of a header: printable ASCII, or nothing."""
    return not text or _HEADER_VALUE.fullmatch(text) is not None


def token(text: str) -> str:
    """Parse an RFC 9110 token: a header's or a cookie's name."""
    if not is_token(text):
        raise ValueError("letters, digits and !#$%&'*+.^_`|~- (an RFC 9110 token)")
    return text


def header_name(text: str) -> str:
    """Parse the name of a header that may be changed, in lower case."""
    name = token(text).lower()
    if name in _CONNECTION_HEADERS:
        raise ValueError(f"any header but {', '.join(sorted(_CONNECTION_HEADERS))}")
    return name


def header_names(text: str) -> tuple[str, ...]:
    """Parse header names separated by commas."""
    return tuple(header_name(part) for part in _items(text))


def headers(text: str) -> tuple[tuple[str, str], ...]:
    """Parse one `Name: value` a line."""
    found: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, text.split("\n"))):
        name, colon, value = line.partition(":")
        if not colon or not _HEADER_VALUE.fullmatch(value.strip()):
            raise ValueError("one 'Name: value' a line, printable ASCII")
        found.append((header_name(name.strip()), value.strip()))
    return tuple(found)


def url_path(text: str) -> str:
    """Parse a URL path without query or escapes."""
    if not _URL_PATH.fullmatch(text):
        raise ValueError("a path that begins with / and has no query, such as /healthz")
    return text


def hostname(text: str) -> str:
    """Parse a DNS name."""
    if not _HOST.fullmatch(text):
        raise ValueError("a DNS name in lower case, such as shop.example.com")
    return text


def is_object_name(text: str) -> bool:
    """Tell whether an object may have this name (RFC 1123 subdomain)."""
    return _OBJECT_NAME.fullmatch(text) is not None


def object_name(text: str) -> str:
    """Parse the name of an object in the same namespace."""
    if not is_object_name(text):
        raise ValueError("the name of an object in the same namespace")
    return text


def issuer(text: str) -> str:
    """Parse `true`, `false`, or what may be the name of an ACME issuer."""
    if not is_object_name(text):
        raise ValueError("true | false | the name of an issuer in onehop.yaml")
    return text


def hsts(text: str) -> str:
    """Parse a Strict-Transport-Security value (RFC 6797), from its three directives only."""
    parts = [part.strip().lower() for part in text.split(";")]
    age = re.fullmatch(r"max-age=[0-9]{1,10}", parts[0])
    rest = parts[1:]
    if not age or not set(rest) <= {"includesubdomains", "preload"} or len(rest) != len(set(rest)):
        raise ValueError("max-age=SECONDS, then '; includeSubDomains' and '; preload' if wanted")
    spelt = [{"includesubdomains": "includeSubDomains"}.get(part, part) for part in rest]
    return "; ".join([parts[0], *spelt])


def _items(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
