"""The protobuf edge: every message of Envoy's API that onehop builds, in one import list.

The generated modules carry no types, so their names are unknown to the type checkers; they come in
here and nowhere else. Messages are built from keyword arguments and nested dicts (upb does that in
C, 10-20 µs for a cluster), with the names of Envoy's own documentation.
"""

# pyright: reportAttributeAccessIssue=false
from datetime import timedelta
from typing import Any, Final

from envoy.config.bootstrap.v3 import bootstrap_pb2 as _bootstrap
from envoy.config.cluster.v3 import cluster_pb2 as _cluster
from envoy.config.endpoint.v3 import endpoint_components_pb2 as _endpoint_components
from envoy.config.endpoint.v3 import endpoint_pb2 as _endpoint
from envoy.config.listener.v3 import listener_pb2 as _listener
from envoy.config.rbac.v3 import rbac_pb2 as _rbac
from envoy.config.route.v3 import route_components_pb2 as _route_components
from envoy.config.route.v3 import route_pb2 as _route_route
from envoy.extensions.access_loggers.file.v3 import file_pb2 as _file_file
from envoy.extensions.access_loggers.stream.v3 import stream_pb2 as _stream
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2 as _buffer
from envoy.extensions.filters.http.cors.v3 import cors_pb2 as _cors
from envoy.extensions.filters.http.local_ratelimit.v3 import (
    local_rate_limit_pb2 as _local_rate_limit,
)
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as _http_rbac
from envoy.extensions.filters.http.router.v3 import router_pb2 as _router
from envoy.extensions.filters.http.stateful_session.v3 import (
    stateful_session_pb2 as _stateful_session,
)
from envoy.extensions.filters.listener.original_src.v3 import original_src_pb2 as _original_src
from envoy.extensions.filters.listener.proxy_protocol.v3 import (
    proxy_protocol_pb2 as _proxy_protocol,
)
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2 as _tls_inspector
from envoy.extensions.filters.network.connection_limit.v3 import (
    connection_limit_pb2 as _connection_limit,
)
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as _http_connection_manager,
)
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as _network_rbac
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2 as _tcp_proxy
from envoy.extensions.filters.udp.udp_proxy.v3 import route_pb2 as _udp_proxy_route
from envoy.extensions.filters.udp.udp_proxy.v3 import udp_proxy_pb2 as _udp_proxy
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    header_mutation_pb2 as _header_mutation,
)
from envoy.extensions.http.stateful_session.cookie.v3 import cookie_pb2 as _cookie
from envoy.extensions.http.stateful_session.header.v3 import header_pb2 as _header
from envoy.extensions.load_balancing_policies.least_request.v3 import (
    least_request_pb2 as _least_request,
)
from envoy.extensions.load_balancing_policies.maglev.v3 import maglev_pb2 as _maglev
from envoy.extensions.load_balancing_policies.round_robin.v3 import round_robin_pb2 as _round_robin
from envoy.extensions.matching.common_inputs.network.v3 import network_inputs_pb2 as _network_inputs
from envoy.extensions.matching.input_matchers.runtime_fraction.v3 import (
    runtime_fraction_pb2 as _runtime_fraction,
)
from envoy.extensions.resource_monitors.downstream_connections.v3 import (
    downstream_connections_pb2 as _downstream_connections,
)
from envoy.extensions.resource_monitors.fixed_heap.v3 import fixed_heap_pb2 as _fixed_heap
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2 as _previous_hosts
from envoy.extensions.transport_sockets.proxy_protocol.v3 import (
    upstream_proxy_protocol_pb2 as _upstream_proxy_protocol,
)
from envoy.extensions.transport_sockets.quic.v3 import quic_transport_pb2 as _quic_transport
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2 as _raw_buffer
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2 as _secret
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2 as _tls
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2 as _http_protocol_options
from envoy.service.discovery.v3 import discovery_pb2 as _discovery
from google.protobuf import any_pb2 as _google_any
from google.protobuf.json_format import MessageToDict
from xds.type.matcher.v3 import ip_pb2 as _ip
from xds.type.v3 import typed_struct_pb2 as _typed_struct

Bootstrap: Any = _bootstrap.Bootstrap
Cluster: Any = _cluster.Cluster
LbEndpoint: Any = _endpoint_components.LbEndpoint
ClusterLoadAssignment: Any = _endpoint.ClusterLoadAssignment
Listener: Any = _listener.Listener
RBAC: Any = _rbac.RBAC
Route: Any = _route_components.Route
VirtualHost: Any = _route_components.VirtualHost
RetryPolicy: Any = _route_components.RetryPolicy
RouteConfiguration: Any = _route_route.RouteConfiguration
FileAccessLog: Any = _file_file.FileAccessLog
StdoutAccessLog: Any = _stream.StdoutAccessLog
Buffer: Any = _buffer.Buffer
BufferPerRoute: Any = _buffer.BufferPerRoute
Cors: Any = _cors.Cors
CorsPolicy: Any = _cors.CorsPolicy
LocalRateLimit: Any = _local_rate_limit.LocalRateLimit
HttpRbac: Any = _http_rbac.RBAC
RBACPerRoute: Any = _http_rbac.RBACPerRoute
Router: Any = _router.Router
StatefulSession: Any = _stateful_session.StatefulSession
StatefulSessionPerRoute: Any = _stateful_session.StatefulSessionPerRoute
OriginalSrc: Any = _original_src.OriginalSrc
ProxyProtocol: Any = _proxy_protocol.ProxyProtocol
TlsInspector: Any = _tls_inspector.TlsInspector
ConnectionLimit: Any = _connection_limit.ConnectionLimit
HttpConnectionManager: Any = _http_connection_manager.HttpConnectionManager
NetworkRbac: Any = _network_rbac.RBAC
TcpProxy: Any = _tcp_proxy.TcpProxy
UdpRoute: Any = _udp_proxy_route.Route
UdpProxyConfig: Any = _udp_proxy.UdpProxyConfig
HeaderMutation: Any = _header_mutation.HeaderMutation
CookieBasedSessionState: Any = _cookie.CookieBasedSessionState
HeaderBasedSessionState: Any = _header.HeaderBasedSessionState
LeastRequest: Any = _least_request.LeastRequest
Maglev: Any = _maglev.Maglev
RoundRobin: Any = _round_robin.RoundRobin
SourceIPInput: Any = _network_inputs.SourceIPInput
SourcePortInput: Any = _network_inputs.SourcePortInput
RuntimeFraction: Any = _runtime_fraction.RuntimeFraction
DownstreamConnectionsConfig: Any = _downstream_connections.DownstreamConnectionsConfig
FixedHeapConfig: Any = _fixed_heap.FixedHeapConfig
PreviousHostsPredicate: Any = _previous_hosts.PreviousHostsPredicate
ProxyProtocolUpstreamTransport: Any = _upstream_proxy_protocol.ProxyProtocolUpstreamTransport
QuicDownstreamTransport: Any = _quic_transport.QuicDownstreamTransport
RawBuffer: Any = _raw_buffer.RawBuffer
Secret: Any = _secret.Secret
DownstreamTlsContext: Any = _tls.DownstreamTlsContext
UpstreamTlsContext: Any = _tls.UpstreamTlsContext
HttpProtocolOptions: Any = _http_protocol_options.HttpProtocolOptions
DeltaDiscoveryRequest: Any = _discovery.DeltaDiscoveryRequest
DeltaDiscoveryResponse: Any = _discovery.DeltaDiscoveryResponse
Resource: Any = _discovery.Resource
AnyMessage: Any = _google_any.Any
IPMatcher: Any = _ip.IPMatcher
TypedStruct: Any = _typed_struct.TypedStruct

ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}
"""A ConfigSource: ask the aggregated stream."""


def duration(seconds: float) -> timedelta:
    """Return what a `google.protobuf.Duration` field takes."""
    return timedelta(seconds=seconds)


def wrapped(value: float) -> dict[str, Any]:
    """Return what a wrapper field (`UInt32Value`, `BoolValue`, ...) takes."""
    return {"value": value}


def encode(message: Any) -> bytes:
    """Serialize with map entries in order, so that equal meaning is equal bytes."""
    encoded: bytes = message.SerializeToString(deterministic=True)
    return encoded


def any_of(message: Any) -> Any:
    """Pack a message into an Any."""
    url = f"type.googleapis.com/{message.DESCRIPTOR.full_name}"
    return AnyMessage(type_url=url, value=encode(message))


def extension(name: str, message: Any) -> dict[str, Any]:
    """Return what a field of Envoy takes that holds a named, typed extension or filter."""
    return {"name": name, "typed_config": any_of(message)}


_MAPS: Final = frozenset(
    ("filter_metadata", "typed_extension_protocol_options", "typed_per_filter_config")
)


def as_dict(message: Any) -> dict[str, Any]:
    """Return the message as JSON-able data with the field names of the `.proto` files."""
    data: dict[str, Any] = _in_order(MessageToDict(message, preserving_proto_field_name=True))
    return data


def _in_order(value: Any, key: str = "") -> Any:
    """Return the data with what are maps of a message sorted: those have no order of their own."""
    if isinstance(value, list):
        return [_in_order(each) for each in value]
    if not isinstance(value, dict):
        return value
    items = sorted(value.items()) if key in _MAPS else value.items()
    return {name: _in_order(each, name) for name, each in items}
