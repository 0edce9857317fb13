"""GRPCRoutes (gateway.networking.k8s.io/v1, GEP-1016)."""

import msgspec

from onehop.cluster.gateway_filter import GrpcRouteFilter
from onehop.cluster.gateway_http import ValueMatch
from onehop.cluster.gateway_persistence import RoutePersistence
from onehop.cluster.gateway_ref import BackendRef, ParentRef
from onehop.cluster.gateway_status import RouteStatus
from onehop.cluster.meta import Meta


class GrpcMethodMatch(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A service, a method, or both: `Exact` or `RegularExpression`; None matches any."""

    type: str = "Exact"
    service: str | None = None
    method: str | None = None


class GrpcRouteMatch(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Demands on a call, all of which it has to meet."""

    method: GrpcMethodMatch | None = None
    headers: tuple[ValueMatch, ...] = ()


class GrpcBackendRef(BackendRef, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A destination, its share, and what happens to calls that go there."""

    filters: tuple[GrpcRouteFilter, ...] = ()


class GrpcRouteRule(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """Which calls, and what becomes of them.

    Attributes:
        matches: a call has to meet one of them; none at all means every call.
    """

    name: str | None = None
    matches: tuple[GrpcRouteMatch, ...] = ()
    filters: tuple[GrpcRouteFilter, ...] = ()
    backend_refs: tuple[GrpcBackendRef, ...] = ()
    session_persistence: RoutePersistence | None = None


class GrpcRouteSpec(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What a GRPCRoute asks for."""

    parent_refs: tuple[ParentRef, ...] = ()
    hostnames: tuple[str, ...] = ()
    rules: tuple[GrpcRouteRule, ...] = ()


class GRPCRoute(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A GRPCRoute."""

    metadata: Meta
    spec: GrpcRouteSpec = GrpcRouteSpec()
    status: RouteStatus = RouteStatus()
