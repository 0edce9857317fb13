"""CORS: which pages of other origins may use a rule.

`apis/v1/httproute_types.go`, HTTPCORSFilter (GEP-1767).
"""

import re
from collections.abc import Iterable
from typing import Final

from onehop.cluster.gateway_filter import CorsFilter
from onehop.compile import value
from onehop.compile.gateway.unsupported import Unsupported
from onehop.compile.ingress import is_hostname
from onehop.model.problem import quoted
from onehop.model.route import Cors

_ORIGIN: Final = re.compile(r"(https?)://([a-z0-9.*-]+)(?::([0-9]{1,5}))?")
_PORTS: Final = {"http": "80", "https": "443"}
_LONGEST_AGE_S: Final = 86_400 * 365


def read_cors(wanted: CorsFilter) -> Cors:
    """Return what is let in.

    Raises:
        Unsupported: something is no origin, no method or no header.
    """
    if not 0 < wanted.max_age <= _LONGEST_AGE_S:
        raise Unsupported(f"cors.maxAge: {wanted.max_age} is not from 1 to {_LONGEST_AGE_S}")
    return Cors(
        origins=tuple(dict.fromkeys(map(_origin, wanted.allow_origins))),
        credentials=wanted.allow_credentials,
        methods=_tokens("allowMethods", wanted.allow_methods),
        headers=_tokens("allowHeaders", wanted.allow_headers),
        exposed=_tokens("exposeHeaders", wanted.expose_headers),
        max_age_s=wanted.max_age,
    )


def _origin(text: str) -> str:
    """Return an origin as browsers write it: "if not included, port 80 is assumed for http"."""
    if text == "*":
        return text
    match = _ORIGIN.fullmatch(text)
    if match is None or not _is_host(match[2]):
        raise Unsupported(f"cors.allowOrigins: {quoted(text)} is no origin: https://a.example is")
    scheme, host, port = match.groups()
    return f"{scheme}://{host}" if port in (None, _PORTS[scheme]) else f"{scheme}://{host}:{port}"


def _is_host(text: str) -> bool:
    """Tell whether a host may be that of an origin: "`*` is a greedy match to the left"."""
    return text == "*" or is_hostname(text)


def _tokens(field: str, texts: Iterable[str]) -> tuple[str, ...]:
    for text in texts:
        if not value.is_token(text):
            raise Unsupported(f"cors.{field}: {quoted(text)} is no token (RFC 9110)")
    listed = tuple(dict.fromkeys(texts))
    return ("*",) if "*" in listed else listed
