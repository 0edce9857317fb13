"""TLSRoutes, TCPRoutes and UDPRoutes (gateway.networking.k8s.io/v1): streams and packets.

Standard since 1.5 (TLSRoute) and 1.6; before, they were experimental in v1alpha2 and v1alpha3, with
the same fields.
"""

import msgspec

from onehop.cluster.gateway_ref import BackendRef, ParentRef
from onehop.cluster.gateway_status import RouteStatus
from onehop.cluster.meta import Meta


class StreamRule(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """Where connections or packets go (`TLSRouteRule`, `TCPRouteRule`, `UDPRouteRule`)."""

    name: str | None = None
    backend_refs: tuple[BackendRef, ...] = ()


class StreamRouteSpec(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What a TCPRoute or a UDPRoute asks for."""

    parent_refs: tuple[ParentRef, ...] = ()
    rules: tuple[StreamRule, ...] = ()


class TlsRouteSpec(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What a TLSRoute asks for.

    Attributes:
        hostnames: server names of handshakes (RFC 6066).
    """

    parent_refs: tuple[ParentRef, ...] = ()
    hostnames: tuple[str, ...] = ()
    rules: tuple[StreamRule, ...] = ()


class TLSRoute(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A TLSRoute."""

    metadata: Meta
    spec: TlsRouteSpec = TlsRouteSpec()
    status: RouteStatus = RouteStatus()


class TCPRoute(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A TCPRoute."""

    metadata: Meta
    spec: StreamRouteSpec = StreamRouteSpec()
    status: RouteStatus = RouteStatus()


class UDPRoute(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A UDPRoute."""

    metadata: Meta
    spec: StreamRouteSpec = StreamRouteSpec()
    status: RouteStatus = RouteStatus()
