"""What Envoy knows before it asks us: where we are, what it may use, and what it counts."""

from typing import Any, Final

from onehop.driver.envoy.options import EnvoyOptions
from onehop.driver.envoy.proto import (
    Bootstrap,
    DownstreamConnectionsConfig,
    FixedHeapConfig,
    HttpProtocolOptions,
    any_of,
    duration,
    extension,
)

NODE_ID: Final = "onehop"
XDS_CLUSTER: Final = "onehop-xds"

COUNTED: Final = (
    # Bounded: what grows with the number of listeners, not of pools. The exceptions are the four
    # counters of a pool that tell whether it works; Envoy makes them when traffic comes first.
    r"^server\.(live|uptime|memory_allocated|memory_heap_size|total_connections|state)$",
    r"^listener\..*\.downstream_cx_(active|total|overflow|overload_reject)$",
    r"^listener\..*\.(no_filter_chain_match|ssl\.handshake|ssl\.connection_error)$",
    r"^http\..*\.downstream_(cx_active|cx_total|rq_total|rq_active|rq_[1-5]xx|rq_timeout)$",
    r"^http\..*\.rq_direct_response$",
    r"^(tcp|udp)\..*\.downstream_(cx_total|sess_active|sess_total)$",
    r"^cluster_manager\.(active_clusters|warming_clusters|update_failure)$",
    r"^listener_manager\.(total_listeners_active|total_listeners_draining|lds\.update_rejected)$",
    r"^control_plane\.connected_state$",
    r"^overload\..*\.(active|scale_percent|pressure)$",
    r"^cluster\..*\.upstream_(rq_total|rq_5xx|cx_connect_fail|cx_active)$",
)
"""The statistics Envoy keeps. With 10,000 pools they take 37 of its 478 MB and no time to speak of,
because those of a pool are made when its traffic begins (`deferred_stat_options`)."""

_RUNTIME: Final = {
    # HTTP/2 rapid reset (CVE-2023-44487): one request for each turn of the I/O loop, and a
    # connection that keeps cancelling requests within a second is closed.
    "http.max_requests_per_io_cycle": 1,
    "overload.premature_reset_total_stream_count": 500,
    "overload.premature_reset_min_stream_lifetime_seconds": 1,
}


def render_bootstrap(options: EnvoyOptions) -> Any:
    """Return the Bootstrap message; it holds no secret and nothing of the Model."""
    return Bootstrap(
        node={"id": NODE_ID, "cluster": NODE_ID},
        admin={"address": {"pipe": {"path": str(options.admin_socket), "mode": 0o600}}},
        static_resources={"clusters": [_xds_cluster(options)]},
        dynamic_resources={
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": XDS_CLUSTER}}],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        layered_runtime={"layers": [{"name": "static", "static_layer": _RUNTIME}]},
        stats_config={
            "stats_matcher": {
                "inclusion_list": {
                    "patterns": [{"safe_regex": {"regex": pattern}} for pattern in COUNTED]
                }
            }
        },
        deferred_stat_options={"enable_deferred_creation_stats": True},
        overload_manager=_overload(options),
    )


def _xds_cluster(options: EnvoyOptions) -> dict[str, Any]:
    pipe = {"pipe": {"path": str(options.xds_socket)}}
    return {
        "name": XDS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": duration(1),
        "load_assignment": {
            "cluster_name": XDS_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": pipe}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": any_of(
                HttpProtocolOptions(
                    explicit_http_config={
                        "http2_protocol_options": {
                            "connection_keepalive": {
                                "interval": duration(30),
                                "timeout": duration(10),
                            }
                        }
                    }
                )
            )
        },
    }


def _overload(options: EnvoyOptions) -> dict[str, Any]:
    """Limits after https://www.envoyproxy.io/docs/envoy/latest/configuration/best_practices/edge."""
    connections = extension(
        "envoy.resource_monitors.global_downstream_max_connections",
        DownstreamConnectionsConfig(max_active_downstream_connections=options.max_connections),
    )
    overload: dict[str, Any] = {
        "refresh_interval": duration(0.25),
        "resource_monitors": [connections],
    }
    if options.max_heap_bytes is not None:
        heap = "envoy.resource_monitors.fixed_heap"
        overload["resource_monitors"].append(
            extension(heap, FixedHeapConfig(max_heap_size_bytes=options.max_heap_bytes))
        )
        overload["actions"] = [
            _action("envoy.overload_actions.shrink_heap", heap, 0.85),
            _action("envoy.overload_actions.disable_http_keepalive", heap, 0.92),
            _action("envoy.overload_actions.stop_accepting_requests", heap, 0.95),
            _action("envoy.overload_actions.stop_accepting_connections", heap, 0.98),
        ]
    return overload


def _action(name: str, monitor: str, threshold: float) -> dict[str, Any]:
    return {"name": name, "triggers": [{"name": monitor, "threshold": {"value": threshold}}]}
