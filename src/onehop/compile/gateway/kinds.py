"""The kinds of routes that are served, and where each is put."""

from typing import Any, Final, TypeAlias

from onehop.cluster import GRPCRoute, HTTPRoute, TCPRoute, TLSRoute, UDPRoute
from onehop.compile.inputs import GRPC_ROUTES, HTTP_ROUTES, TCP_ROUTES, TLS_ROUTES, UDP_ROUTES
from onehop.compile.sheet import Index, Reader, Table
from onehop.model.ident import ObjectRef

AnyRoute: TypeAlias = HTTPRoute | GRPCRoute | TLSRoute | TCPRoute | UDPRoute

_TABLES: Final[dict[str, Table[ObjectRef, Any]]] = {
    "HTTPRoute": HTTP_ROUTES,
    "GRPCRoute": GRPC_ROUTES,
    "TLSRoute": TLS_ROUTES,
    "TCPRoute": TCP_ROUTES,
    "UDPRoute": UDP_ROUTES,
}

STREAMS: Final = frozenset(("TLSRoute", "TCPRoute", "UDPRoute"))
"""Kinds whose backends get bytes as they come."""


def route_of(reader: Reader, ref: ObjectRef) -> AnyRoute | None:
    """Return a route of any kind."""
    found: AnyRoute | None = reader.get(_TABLES[ref.kind], ref)
    return found


def _name(ref: ObjectRef, _route: AnyRoute) -> tuple[ObjectRef]:
    return (ref,)


def _name_if_said(ref: ObjectRef, route: AnyRoute) -> tuple[ObjectRef, ...]:
    return (ref,) if route.status.parents else ()


ROUTE_REFS: Final = tuple(
    Index[ObjectRef, Any, ObjectRef](table, "ref", _name) for table in _TABLES.values()
)
STATUS_REFS: Final = tuple(
    Index[ObjectRef, Any, ObjectRef](table, "status-ref", _name_if_said)
    for table in _TABLES.values()
)
"""Routes of whose parents somebody has said something."""
