"""What requests a rule takes, and which of several rules takes one that all of them would.

`apis/v1/httproute_types.go`, HTTPRouteRule.Matches.
"""

import hashlib
from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

from onehop.cluster.gateway_http import HttpRouteMatch, ValueMatch
from onehop.cluster.gateway_http import PathMatch as WantedPath
from onehop.compile import value
from onehop.compile.ingress import is_path
from onehop.model.problem import quoted
from onehop.model.route import Conditions, PathKind, PathMatch

_METHODS: Final = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
)

Rank: TypeAlias = tuple[bool, int, bool, int, int]


class Match(msgspec.Struct, frozen=True):
    """One alternative of a rule."""

    path: PathMatch
    when: Conditions

    @property
    def rank(self) -> Rank:
        """Sort key of precedence, the first before all others.

        "Precedence must be given to the match having: Exact path match; Prefix path match with
        largest number of characters; Method match; Largest number of header matches; Largest number
        of query param matches." Age, name and order in the list come after it.

        Of calls it is "the largest number of characters in a matching service", then "in a matching
        method" (GRPCRouteRule.Matches): a method alone comes after every service, and before what
        takes all.
        """
        is_method = self.path.kind is PathKind.METHOD
        return (
            self.path.kind is not PathKind.EXACT,
            -3 if is_method else -2 * len(self.path.value),
            self.when.method is None,
            -len(self.when.headers),
            -len(self.when.queries),
        )

    def __str__(self) -> str:
        said = f"{self.path.kind}:{self.path.value}"
        if self.when == Conditions():
            return said
        digest = hashlib.sha256(msgspec.json.encode(self.when)).hexdigest()[:8]
        return f"{said}~{digest}"


def read_match(wanted: HttpRouteMatch) -> Match | str:
    """Return what is meant, or what is wrong with it, in words."""
    path = _path(wanted.path)
    if isinstance(path, str):
        return path
    if wanted.method is not None and wanted.method not in _METHODS:
        return f"method {quoted(wanted.method)} is none of those that can be matched"
    headers = read_headers(wanted.headers)
    if isinstance(headers, str):
        return headers
    queries = _pairs("query parameter", wanted.query_params)
    if isinstance(queries, str):
        return queries
    return Match(path, Conditions(method=wanted.method, headers=headers, queries=queries))


def read_headers(wanted: Iterable[ValueMatch]) -> tuple[tuple[str, str], ...] | str:
    """Return names in lower case and values, or what is wrong with one."""
    lower = (msgspec.structs.replace(each, name=each.name.lower()) for each in wanted)
    return _pairs("header", lower)


def _path(wanted: WantedPath) -> PathMatch | str:
    if not is_path(wanted.value):
        return (
            f"path {quoted(wanted.value)}: a path begins with /, has no query, no //, no . or .."
            " element and no escaped slash; requests are normalised so, and it would never match"
        )
    match wanted.type:
        case "Exact":
            return PathMatch(PathKind.EXACT, wanted.value)
        case "PathPrefix":
            return PathMatch(PathKind.PREFIX, wanted.value.rstrip("/") or "/")
        case _:
            return f"path type {quoted(wanted.type)} is not served; Exact and PathPrefix are"


def _pairs(what: str, wanted: Iterable[ValueMatch]) -> tuple[tuple[str, str], ...] | str:
    """Return names and values; of the same name "only the first entry MUST be considered"."""
    found: dict[str, str] = {}
    for each in wanted:
        if each.type != "Exact":
            return f"{what} {quoted(each.name)}: type {quoted(each.type)} is not served; Exact is"
        if not value.is_token(each.name) or not value.is_header_value(each.value):
            return f"{what} {quoted(each.name)}: its name is no token, or its value not printable"
        found.setdefault(each.name, each.value)
    return tuple(sorted(found.items()))
