"""GRPCRoutes as HTTPRoutes: a call is a request whose path is its service and its method.

`apis/v1/grpcroute_types.go`; of the path "gRPC over HTTP/2" ("Requests") says: "/" Service-Name "/"
{method name}. What follows from the matches is the same for both kinds of routes.
"""

import re
from collections.abc import Iterable
from typing import Final

from onehop.cluster.gateway_filter import GrpcRouteFilter, HttpRouteFilter
from onehop.cluster.gateway_grpc import GrpcMethodMatch, GrpcRouteMatch, GrpcRouteRule
from onehop.cluster.gateway_http import HttpBackendRef, HttpRouteRule
from onehop.compile.gateway.match import Match, read_headers
from onehop.model.problem import quoted
from onehop.model.route import Conditions, PathKind, PathMatch

_SERVICE: Final = re.compile(r"(?=.{1,1024}$)[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_METHOD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,1023}")
_EVERYTHING: Final = PathMatch(PathKind.PREFIX, "/")


def read_calls(rule: GrpcRouteRule) -> list[Match | str]:
    """Return the calls that a rule takes, or what is wrong with one; without matches, all."""
    return [_read(wanted) for wanted in rule.matches or (GrpcRouteMatch(),)]


def as_http(rule: GrpcRouteRule) -> HttpRouteRule:
    """Return what becomes of the calls, as a rule of an HTTPRoute says it."""
    return HttpRouteRule(
        name=rule.name,
        filters=_filters(rule.filters),
        backend_refs=tuple(
            HttpBackendRef(
                name=ref.name,
                group=ref.group,
                kind=ref.kind,
                namespace=ref.namespace,
                port=ref.port,
                weight=ref.weight,
                filters=_filters(ref.filters),
            )
            for ref in rule.backend_refs
        ),
        session_persistence=rule.session_persistence,
    )


def _read(wanted: GrpcRouteMatch) -> Match | str:
    path = _path(wanted.method) if wanted.method is not None else _EVERYTHING
    if isinstance(path, str):
        return path
    headers = read_headers(wanted.headers)
    if isinstance(headers, str):
        return headers
    return Match(path, Conditions(headers=headers))


def _path(wanted: GrpcMethodMatch) -> PathMatch | str:
    """Return the paths of the calls; "at least one of Service and Method MUST be non-empty"."""
    if wanted.type != "Exact":
        return f"method type {quoted(wanted.type)} is not served; Exact is"
    service, method = wanted.service, wanted.method
    if service and not _SERVICE.fullmatch(service):
        return f"service {quoted(service)} is no name of a gRPC service"
    if method and not _METHOD.fullmatch(method):
        return f"method {quoted(method)} is no name of a gRPC method"
    if service and method:
        return PathMatch(PathKind.EXACT, f"/{service}/{method}")
    if service:
        return PathMatch(PathKind.PREFIX, f"/{service}")
    if method:
        return PathMatch(PathKind.METHOD, method)
    return "a method match names a service, a method, or both"


def _filters(filters: Iterable[GrpcRouteFilter]) -> tuple[HttpRouteFilter, ...]:
    return tuple(
        HttpRouteFilter(
            type=each.type,
            request_header_modifier=each.request_header_modifier,
            response_header_modifier=each.response_header_modifier,
            request_mirror=each.request_mirror,
            extension_ref=each.extension_ref,
        )
        for each in filters
    )
