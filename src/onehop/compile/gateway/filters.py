"""Filters: what is done with a request on its way, and with its answer.

`apis/v1/httproute_types.go`, HTTPRouteFilter. What cannot be done is never passed over: "requests
that would have been processed by that filter MUST receive a HTTP error response".
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from onehop.cluster.gateway_filter import (
    HeaderFilter,
    HeaderValue,
    HttpRouteFilter,
    MirrorFilter,
    PathModifier,
    RedirectFilter,
    RewriteFilter,
)
from onehop.compile import value
from onehop.compile.gateway.cors import read_cors
from onehop.compile.gateway.unsupported import Unsupported
from onehop.compile.ingress import is_hostname, is_path
from onehop.model.problem import quoted
from onehop.model.route import Cors, HeaderEdit, PathKind, Redirect, Rewrite

_CODES: Final = (301, 302, 303, 307, 308)
_PORTS: Final = {"http": 80, "https": 443}


class Filters(msgspec.Struct, frozen=True):
    """The filters of a rule or of one of its backends.

    Attributes:
        redirect: without `port`, that of the listener counts, unless there is a scheme.
        mirrors: whose backends are still to be looked up.
    """

    request: HeaderEdit = HeaderEdit()
    response: HeaderEdit = HeaderEdit()
    rewrite: Rewrite | None = None
    redirect: Redirect | None = None
    mirrors: tuple[MirrorFilter, ...] = ()
    cors: Cors | None = None


def read_filters(filters: Sequence[HttpRouteFilter], kinds: Iterable[PathKind]) -> Filters:
    """Return what the filters come to.

    Args:
        filters: of a rule.
        kinds: how the paths match that the rule takes.

    Raises:
        Unsupported: one cannot be done, or two do not go together.
    """
    found = Filters()
    seen: set[str] = set()
    for each in filters:
        if each.type in seen and each.type != "RequestMirror":
            raise Unsupported(f"filter {quoted(each.type)} stands here twice", _INCOMPATIBLE)
        seen.add(each.type)
        found = _with(found, each, tuple(kinds))
    if found.redirect is not None and found.rewrite is not None:
        raise Unsupported("a redirect leaves nothing to rewrite; remove one", _INCOMPATIBLE)
    return found


_OF_BACKENDS: Final = frozenset(
    (
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestRedirect",
        "URLRewrite",
        "RequestMirror",
    )
)
_INCOMPATIBLE: Final = "IncompatibleFilters"


def read_backend_filters(filters: Sequence[HttpRouteFilter], kinds: Iterable[PathKind]) -> Filters:
    """Return what the filters of one backend come to; see `read_filters`.

    Raises:
        Unsupported: as well, one cannot be done at a backend.
    """
    for each in filters:
        if each.type not in _OF_BACKENDS:
            what = f"filter {quoted(each.type)} is not served at a backend; at its rule it may be"
            raise Unsupported(what)
    return read_filters(filters, kinds)


def joined(rule: Filters, backend: Filters) -> Filters:
    """Return the filters of a rule with those of a backend of it.

    Headers and copies stay apart: a backend's are edited after the rule's, and made besides them.

    Raises:
        Unsupported: both rewrite, or the backend's redirect leaves the rule's nothing to work on.
    """
    if rule.rewrite is not None and backend.rewrite is not None:
        what = "URLRewrite stands at the rule and at its backend; remove one of the two"
        raise Unsupported(what, _INCOMPATIBLE)
    if backend.redirect is not None:
        _check_alone(rule, backend)
    return msgspec.structs.replace(
        rule, rewrite=rule.rewrite or backend.rewrite, redirect=backend.redirect
    )


def _check_alone(rule: Filters, backend: Filters) -> None:
    """Refuse what a redirect at a backend would pass over."""
    if rule.rewrite or rule.mirrors or backend.mirrors or rule.cors:
        what = "a redirect leaves nothing to rewrite or to copy, and no answer to share; remove one"
        raise Unsupported(what, _INCOMPATIBLE)
    if backend.response != HeaderEdit():
        what = "a backend that redirects gives no answer to edit; its rule can edit the redirect"
        raise Unsupported(what, _INCOMPATIBLE)


def _with(found: Filters, each: HttpRouteFilter, kinds: tuple[PathKind, ...]) -> Filters:
    if each.type == "RequestHeaderModifier" and each.request_header_modifier is not None:
        return msgspec.structs.replace(found, request=_edit(each.request_header_modifier))
    if each.type == "ResponseHeaderModifier" and each.response_header_modifier is not None:
        return msgspec.structs.replace(found, response=_edit(each.response_header_modifier))
    if each.type == "RequestMirror" and each.request_mirror is not None:
        return msgspec.structs.replace(found, mirrors=(*found.mirrors, each.request_mirror))
    if each.type == "RequestRedirect" and each.request_redirect is not None:
        return msgspec.structs.replace(found, redirect=_redirect(each.request_redirect, kinds))
    if each.type == "URLRewrite" and each.url_rewrite is not None:
        return msgspec.structs.replace(found, rewrite=_rewrite(each.url_rewrite, kinds))
    if each.type == "CORS" and each.cors is not None:
        return msgspec.structs.replace(found, cors=read_cors(each.cors))
    raise Unsupported(f"filter {quoted(each.type)} is not served, or says nothing")


def _edit(wanted: HeaderFilter) -> HeaderEdit:
    """Return the edits; of equal names "only the first entry MUST be considered"."""
    return HeaderEdit(
        set=_pairs(wanted.set),
        add=_pairs(wanted.add),
        remove=tuple(dict.fromkeys(map(_name, wanted.remove))),
    )


def _pairs(wanted: Iterable[HeaderValue]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for each in wanted:
        if not value.is_header_value(each.value):
            raise Unsupported(f"header {quoted(each.name)}: its value is not printable ASCII")
        found.setdefault(_name(each.name), each.value)
    return tuple(found.items())


def _name(text: str) -> str:
    try:
        return value.header_name(text)
    except ValueError as err:
        raise Unsupported(f"header {quoted(text)}: allowed is {err}") from err


def _redirect(wanted: RedirectFilter, kinds: tuple[PathKind, ...]) -> Redirect:
    """Return the redirect.

    HTTPRequestRedirectFilter.Port: without a port, "if redirect scheme is not-empty, the redirect
    port MUST be the well-known port associated with the redirect scheme", else the listener's.
    """
    if wanted.status_code not in _CODES:
        raise Unsupported(f"{wanted.status_code}: a redirect is 301, 302, 303, 307 or 308")
    if wanted.scheme is not None and wanted.scheme not in _PORTS:
        raise Unsupported(f"scheme {quoted(wanted.scheme)} is neither http nor https")
    if wanted.port is not None and not value.is_port(wanted.port):
        raise Unsupported(f"{wanted.port} is not a port from 1 to 65535")
    path, prefix = _paths(wanted.path, kinds)
    known = _PORTS[wanted.scheme] if wanted.scheme is not None else None
    return Redirect(
        code=wanted.status_code,
        scheme=wanted.scheme,
        host=_host(wanted.hostname),
        port=wanted.port if wanted.port is not None else known,
        path=path,
        prefix=prefix,
    )


def _rewrite(wanted: RewriteFilter, kinds: tuple[PathKind, ...]) -> Rewrite:
    path, prefix = _paths(wanted.path, kinds)
    return Rewrite(_host(wanted.hostname), path, prefix)


def _host(text: str | None) -> str | None:
    if text is not None and (not is_hostname(text) or text.startswith("*")):
        raise Unsupported(f"{quoted(text)} is no DNS name in lower case")
    return text


def _paths(
    wanted: PathModifier | None, kinds: tuple[PathKind, ...]
) -> tuple[str | None, str | None]:
    """Return the new path, or the new prefix.

    "ReplacePrefixMatch is only compatible with a `PathPrefix` HTTPRouteMatch" (HTTPPathModifier).
    """
    if wanted is None:
        return None, None
    if wanted.type == "ReplaceFullPath" and wanted.replace_full_path is not None:
        return _path(wanted.replace_full_path), None
    if wanted.type == "ReplacePrefixMatch" and wanted.replace_prefix_match is not None:
        if PathKind.EXACT in kinds:
            raise Unsupported("a prefix is replaced where one has matched, and a match is Exact")
        return None, _path(wanted.replace_prefix_match or "/")
    raise Unsupported(f"path type {quoted(wanted.type)} is not served, or says nothing")


def _path(text: str) -> str:
    if not is_path(text):
        raise Unsupported(f"{quoted(text)} is no path: it begins with /, and has no query")
    return text
