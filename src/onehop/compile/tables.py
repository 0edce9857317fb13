"""The tables of the spreadsheet in their order: each may read those above it.

doors ── listener-set-intents ── gateway-intents ── parents, listener-names ── attachments
classes ── gateway-intents ─┬─ gateway-address-wishes ── ledger ── gateway-placements ── listeners
routes, grants ─────────────┼─ attachments ─┬─ gateway-hosts ─ accepted-routes ── gateway-verdicts
tls policies ── verifications ─ route-rules ┴─ policy-ancestries ── policy-verdicts
                            │               ├─ route-rules ─┬─ route-pools ── gateway-hosts, wishes
                            │               ├─ contenders ── disputes ── losses ── gateway-hosts
                            │               └───────────────┴─ stream-owners ── gateway-placements
                            └─ checked ── certificates, gateway-server-names
options ─┬─ service-intents ── address-wishes ── ledger ── placements ─┬─ listeners, vips
services ┤                └─ wishes = pools                          └─ service-verdicts
ingresses┼─ ingress-intents ─┼─ namings ── asks, claimants ── host-owners ── demands
         │                   ├─ checked ── certificates, server-names
         │                   ├─ passthroughs ── server-names, host-checks, hosts, listeners
         │                   ├─ host-checks ── hosts, listeners
classes  ┘                   ├─ default ── hosts
secrets ── answers ──────────┴─ proofs ─── hosts, listeners
parents ── namings;  asks, placements ── plain-ports ── gateway-proofs ── gateway-hosts, listeners
slices, nodes ── members, blocks ── ways ── endpoints   (the endpoint lane)
areas ─────────────────────────────┘
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

import msgspec

from onehop.cluster import (
    BackendTLSPolicy,
    BGPConfiguration,
    BlockAffinity,
    CiliumNode,
    ConfigMap,
    CustomResourceDefinition,
    EndpointSlice,
    Gateway,
    GatewayClass,
    GRPCRoute,
    HTTPRoute,
    Ingress,
    IngressClass,
    IPPool,
    ListenerSet,
    Namespace,
    Node,
    ReferenceGrant,
    Secret,
    Service,
    TCPRoute,
    TLSRoute,
    UDPRoute,
)
from onehop.compile.allocation import (
    ADDRESS_WISHES,
    LEDGER,
    PLACEMENTS,
)
from onehop.compile.answers import ANSWERS, CHALLENGE_CERTIFICATES
from onehop.compile.ask import ASKS, CLASS_ISSUERS
from onehop.compile.block import ALLOCATION, BLOCKS, NODE_HOPS
from onehop.compile.certificate import CERTIFICATES, CHECKED, SERVER_NAMES
from onehop.compile.clientcert import HOST_CHECKS
from onehop.compile.demand import DEMANDS
from onehop.compile.endpoint import ENDPOINTS
from onehop.compile.forbidden import BORDER
from onehop.compile.gateway.address import GATEWAY_ADDRESS_WISHES
from onehop.compile.gateway.attachment import ATTACHMENTS
from onehop.compile.gateway.backendtls import VERIFICATIONS
from onehop.compile.gateway.contention import CONTENTION_TABLES
from onehop.compile.gateway.gateway import GATEWAY_INTENTS
from onehop.compile.gateway.gatewayclass import GATEWAY_CLASS_VERDICTS
from onehop.compile.gateway.host import GATEWAY_HOSTS
from onehop.compile.gateway.listenerset import DOORS, LISTENER_SET_INTENTS
from onehop.compile.gateway.misdirected import MADE_FOR
from onehop.compile.gateway.parent import NAMES, PARENTS
from onehop.compile.gateway.passed import PASSED
from onehop.compile.gateway.placement import GATEWAY_PLACEMENTS
from onehop.compile.gateway.plainport import PLAIN_PORTS
from onehop.compile.gateway.policyverdict import ANCESTRIES, POLICY_VERDICTS
from onehop.compile.gateway.proof import GATEWAY_PROOFS
from onehop.compile.gateway.route import ROUTE_RULES
from onehop.compile.gateway.routepool import ROUTE_POOL_TABLES
from onehop.compile.gateway.servername import GATEWAY_SERVER_NAMES
from onehop.compile.gateway.setverdict import LISTENER_SET_VERDICTS
from onehop.compile.gateway.stream import STREAM_OWNERS
from onehop.compile.gateway.verdict import (
    ACCEPTED_ROUTES,
    GATEWAY_VERDICTS,
    ROUTE_VERDICTS,
)
from onehop.compile.host import DEFAULT, HOSTS
from onehop.compile.hostowner import CLAIMANTS, HOST_OWNERS
from onehop.compile.ingress import INGRESS_INTENTS
from onehop.compile.inputs import (
    AREAS,
    BACKEND_TLS_POLICIES,
    BGP_CONFIGURATIONS,
    BLOCK_AFFINITIES,
    CILIUM_NODES,
    CONFIG_MAPS,
    DEFINITIONS,
    GATEWAY_CLASSES,
    GATEWAYS,
    GRPC_ROUTES,
    HELD,
    HOUR,
    HTTP_ROUTES,
    INGRESS_CLASSES,
    INGRESSES,
    IP_POOLS,
    KEPT,
    LACKS,
    LISTENER_SETS,
    NAMESPACES,
    NODES,
    OPTIONS,
    REFERENCE_GRANTS,
    RETURN_PATHS,
    SECRETS,
    SERVICES,
    SLICES,
    STAPLES,
    TCP_ROUTES,
    TLS_ROUTES,
    UDP_ROUTES,
)
from onehop.compile.listener import LISTENERS, VIPS
from onehop.compile.naming import NAMINGS
from onehop.compile.network import NETWORK_TABLES
from onehop.compile.node import MEMBERS
from onehop.compile.pool import WISHES
from onehop.compile.proof import PROOFS
from onehop.compile.router import TLS_ROUTER, HostKey
from onehop.compile.service import SERVICE_INTENTS
from onehop.compile.sheet import Derived, Table
from onehop.compile.tlsowner import PASSTHROUGHS
from onehop.compile.verdict import INGRESS_VERDICTS, SERVICE_VERDICTS
from onehop.compile.way import TRUST, WAYS
from onehop.model.certificate import challenge_certificate
from onehop.model.ident import ObjectRef
from onehop.model.model import Row
from onehop.model.model import Table as ModelTable

INPUT_OF: Final[dict[type, Table[ObjectRef, Any]]] = {
    Service: SERVICES,
    EndpointSlice: SLICES,
    Node: NODES,
    Namespace: NAMESPACES,
    Ingress: INGRESSES,
    IngressClass: INGRESS_CLASSES,
    Secret: SECRETS,
    ConfigMap: CONFIG_MAPS,
    BlockAffinity: BLOCK_AFFINITIES,
    IPPool: IP_POOLS,
    BGPConfiguration: BGP_CONFIGURATIONS,
    CiliumNode: CILIUM_NODES,
    GatewayClass: GATEWAY_CLASSES,
    Gateway: GATEWAYS,
    ListenerSet: LISTENER_SETS,
    HTTPRoute: HTTP_ROUTES,
    GRPCRoute: GRPC_ROUTES,
    TLSRoute: TLS_ROUTES,
    TCPRoute: TCP_ROUTES,
    UDPRoute: UDP_ROUTES,
    ReferenceGrant: REFERENCE_GRANTS,
    BackendTLSPolicy: BACKEND_TLS_POLICIES,
    CustomResourceDefinition: DEFINITIONS,
}
INPUT_OF_KIND: Final = {kind.__name__: table for kind, table in INPUT_OF.items()}

_INPUTS: Final[tuple[Table[Any, Any], ...]] = (
    OPTIONS,
    LACKS,
    HOUR,
    AREAS,
    RETURN_PATHS,
    HELD,
    STAPLES,
    KEPT,
    *INPUT_OF.values(),
)
_GATEWAY_TABLES: Final[tuple[Table[Any, Any], ...]] = (
    DOORS,
    LISTENER_SET_INTENTS,
    GATEWAY_INTENTS,
    PARENTS,
    NAMES,
    GATEWAY_ADDRESS_WISHES,
    ATTACHMENTS,
    VERIFICATIONS,
    ROUTE_RULES,
    *ROUTE_POOL_TABLES,
    *CONTENTION_TABLES,
    STREAM_OWNERS,
    PASSED,
    MADE_FOR,
)
_SERVICE_TABLES: Final[tuple[Table[Any, Any], ...]] = (
    SERVICE_INTENTS,
    ADDRESS_WISHES,
    LEDGER,
    PLACEMENTS,
    GATEWAY_PLACEMENTS,
)
_INGRESS_TABLES: Final[tuple[Table[Any, Any], ...]] = (
    INGRESS_INTENTS,
    NAMINGS,
    CLASS_ISSUERS,
    ASKS,
    PLAIN_PORTS,
    CLAIMANTS,
    HOST_OWNERS,
    DEMANDS,
    PASSTHROUGHS,
    CHECKED,
    CERTIFICATES,
    SERVER_NAMES,
    GATEWAY_SERVER_NAMES,
    HOST_CHECKS,
    ANSWERS,
    CHALLENGE_CERTIFICATES,
    PROOFS,
    GATEWAY_PROOFS,
    GATEWAY_HOSTS,
    DEFAULT,
    HOSTS,
)
_BLOCK_TABLES: Final[tuple[Table[Any, Any], ...]] = (ALLOCATION, NODE_HOPS, BLOCKS)
_SHARED_TABLES: Final[tuple[Table[Any, Any], ...]] = (
    WISHES,
    BORDER,
    MEMBERS,
    *_BLOCK_TABLES,
    *NETWORK_TABLES,
    TRUST,
    WAYS,
    ENDPOINTS,
    LISTENERS,
    VIPS,
    SERVICE_VERDICTS,
    INGRESS_VERDICTS,
    GATEWAY_CLASS_VERDICTS,
    ACCEPTED_ROUTES,
    GATEWAY_VERDICTS,
    LISTENER_SET_VERDICTS,
    ROUTE_VERDICTS,
    ANCESTRIES,
    POLICY_VERDICTS,
)
TABLES: Final = (*_INPUTS, *_GATEWAY_TABLES, *_SERVICE_TABLES, *_INGRESS_TABLES, *_SHARED_TABLES)


def _itself(value: Any) -> Any:
    return value


def _host_id(key: HostKey) -> str:
    return f"{key.router}/{key.hostname}"


class Output(msgspec.Struct, frozen=True):
    """A derived table whose values are, or hold, rows of the Model.

    Attributes:
        id_of: names the row of a key, gone or not.
    """

    table: Derived[Any, Any]
    model_table: ModelTable
    id_of: Callable[[Any], str] = str
    row_of: Callable[[Any], Row] = _itself


OUTPUTS: Final = {
    output.table.name: output
    for output in (
        Output(VIPS, ModelTable.VIP),
        Output(CERTIFICATES, ModelTable.CERTIFICATE),
        Output(CHALLENGE_CERTIFICATES, ModelTable.CERTIFICATE, challenge_certificate),
        Output(SERVER_NAMES, ModelTable.SERVER_NAME, lambda host: f"{TLS_ROUTER}/{host}"),
        Output(WISHES, ModelTable.POOL, row_of=attrgetter("pool")),
        Output(ENDPOINTS, ModelTable.ENDPOINTS),
        Output(LISTENERS, ModelTable.LISTENER),
        Output(GATEWAY_SERVER_NAMES, ModelTable.SERVER_NAME, _host_id),
        Output(HOSTS, ModelTable.HOST, _host_id),
        Output(GATEWAY_HOSTS, ModelTable.HOST, _host_id),
    )
}
VERDICTS_OF: Final[dict[str, Derived[ObjectRef, Any]]] = {
    "Service": SERVICE_VERDICTS,
    "Ingress": INGRESS_VERDICTS,
    "GatewayClass": GATEWAY_CLASS_VERDICTS,
    "Gateway": GATEWAY_VERDICTS,
    "ListenerSet": LISTENER_SET_VERDICTS,
    "HTTPRoute": ROUTE_VERDICTS,
    "GRPCRoute": ROUTE_VERDICTS,
    "TLSRoute": ROUTE_VERDICTS,
    "TCPRoute": ROUTE_VERDICTS,
    "UDPRoute": ROUTE_VERDICTS,
    "BackendTLSPolicy": POLICY_VERDICTS,
}
"""What is said of objects, by kind."""
_BLOCK_LANE: Final = frozenset(table.name for table in _BLOCK_TABLES)
WAYS_LANE: Final = _BLOCK_LANE | {BORDER.name, MEMBERS.name, TRUST.name, WAYS.name}
ENDPOINT_LANE: Final = _BLOCK_LANE | {MEMBERS.name, WAYS.name, ENDPOINTS.name}
