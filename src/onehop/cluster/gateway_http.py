"""HTTPRoutes (gateway.networking.k8s.io/v1), experimental fields of rules included.

Fields: https://gateway-api.sigs.k8s.io/reference/1.6/spec/ and `apis/v1/httproute_types.go`.
"""

import msgspec

from onehop.cluster.gateway_filter import HttpRouteFilter
from onehop.cluster.gateway_persistence import RoutePersistence
from onehop.cluster.gateway_ref import BackendRef, ParentRef
from onehop.cluster.gateway_status import RouteStatus
from onehop.cluster.meta import Meta


class PathMatch(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A path: `PathPrefix` by whole segments, `Exact`, or `RegularExpression`."""

    type: str = "PathPrefix"
    value: str = "/"


class ValueMatch(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A header or a query parameter: `Exact` or `RegularExpression`."""

    name: str
    value: str
    type: str = "Exact"


class HttpRouteMatch(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """Demands on a request, all of which it has to meet."""

    path: PathMatch = PathMatch()
    headers: tuple[ValueMatch, ...] = ()
    query_params: tuple[ValueMatch, ...] = ()
    method: str | None = None


class HttpBackendRef(BackendRef, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A destination, its share, and what happens to requests that go there."""

    filters: tuple[HttpRouteFilter, ...] = ()


class HttpRouteTimeouts(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """Durations by GEP-2257; `0s` means none, and None leaves it to us (GEP-1742)."""

    request: str | None = None
    backend_request: str | None = None


class HttpRouteRetry(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """When a request is tried again (GEP-1731).

    Attributes:
        codes: answers after which it is; connection errors count in any case.
        attempts: how often, after the first.
        backoff: a duration by GEP-2257: the least time between two tries.
    """

    codes: tuple[int, ...] = ()
    attempts: int | None = None
    backoff: str | None = None


class HttpRouteRule(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """Which requests, and what becomes of them.

    Attributes:
        matches: a request has to meet one of them.
    """

    name: str | None = None
    matches: tuple[HttpRouteMatch, ...] = (HttpRouteMatch(),)
    filters: tuple[HttpRouteFilter, ...] = ()
    backend_refs: tuple[HttpBackendRef, ...] = ()
    timeouts: HttpRouteTimeouts | None = None
    retry: HttpRouteRetry | None = None
    session_persistence: RoutePersistence | None = None


class HttpRouteSpec(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What an HTTPRoute asks for."""

    parent_refs: tuple[ParentRef, ...] = ()
    hostnames: tuple[str, ...] = ()
    rules: tuple[HttpRouteRule, ...] = (HttpRouteRule(),)


class HTTPRoute(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """An HTTPRoute."""

    metadata: Meta
    spec: HttpRouteSpec = HttpRouteSpec()
    status: RouteStatus = RouteStatus()
