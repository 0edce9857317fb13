"""A Pool as a Cluster (CDS). Its members come by EDS; see `endpoints`."""

from functools import lru_cache
from typing import Any, Final

from msgspec import structs

from onehop.driver.envoy.health import (
    PLAIN_CHECK,
    is_unasked,
    render_health_check,
    render_outlier_detection,
    render_silence,
)
from onehop.driver.envoy.proto import (
    ADS,
    Cluster,
    HttpProtocolOptions,
    RawBuffer,
    any_of,
    duration,
    encode,
    extension,
    wrapped,
)
from onehop.driver.envoy.retry import USUAL, render_retry
from onehop.driver.envoy.tls import upstream_socket
from onehop.driver.envoy.wire import bytes_field
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.pool import BackendProtocol, Balancing, Pool, SourceIpPersistence

BUFFER_LIMIT_BYTES: Final = 32 * 1024
"""For each connection and direction: Envoy's edge best practices, in place of 1 MiB."""

CLIENT_ADDRESS: Final = {"connection_properties": {"source_ip": True}}
"""The hash policy of what hashes; for HTTP it stands at the cluster."""

_PLENTY: Final = 1 << 20
"""A circuit breaker's default of 1,024 is no limit anybody asked for."""

_NAME_FIELD: Final = 1  # envoy/config/cluster/v3/cluster.proto
_NOBODY: Final = ObjectRef("", "", "")
_MAGLEV_TABLE: Final = 16_381
"""A prime; with 100 endpoints their shares differ by 1 %, and the table is built in under 1 ms."""


def encode_cluster(pool: Pool, *, is_retried_apart: bool = False) -> bytes:
    """Return the serialized Cluster of a pool.

    A cluster is its name and its policy, and ten thousand pools share a handful of policies: each
    is built and encoded once. (Protobuf: encoded messages concatenate; a test compares both.)
    """
    policy = structs.replace(pool, id=PoolId(""), service=_NOBODY, port=0)
    return bytes_field(_NAME_FIELD, pool.id.encode()) + _encode_policy(policy, is_retried_apart)


@lru_cache(maxsize=4096)
def _encode_policy(policy: Pool, is_retried_apart: bool) -> bytes:  # noqa: FBT001  a cache's key
    return encode(render_cluster(policy, is_retried_apart=is_retried_apart))


def render_cluster(
    pool: Pool, shown: dict[str, Any] | None = None, *, is_retried_apart: bool = False
) -> Any:
    """Return the Cluster of a pool.

    Args:
        pool: whose policy it is.
        shown: see `tls.upstream_socket`.
        is_retried_apart: some route to it is tried again in a way of its own; see `retry`.
    """
    cluster = Cluster(
        name=pool.id,
        type="EDS",
        eds_cluster_config={"eds_config": ADS},
        connect_timeout=duration(pool.connect_timeout_s),
        per_connection_buffer_limit_bytes=wrapped(BUFFER_LIMIT_BYTES),
        # An endpoint that Kubernetes takes away is gone, whatever a health check says.
        ignore_health_on_host_removal=True,
        circuit_breakers=_circuit_breakers(pool),
        common_lb_config={
            # Panic (all endpoints, draining and unhealthy ones too) only when none is left:
            # with Envoy's 50 %, a roll-out that drains half of the Pods would send work to them.
            "healthy_panic_threshold": {"value": 1},
            # A persistent session reaches its endpoint while that drains.
            "override_host_status": {"statuses": ["UNKNOWN", "HEALTHY", "DEGRADED", "DRAINING"]},
        },
        **_balancing(pool),
    )
    if pool.protocol is not BackendProtocol.UDP:
        noticed = {"outlier_detection": render_outlier_detection(), **render_silence(pool)}
        cluster.MergeFrom(Cluster(**noticed))
    if pool.health_check is not None and not is_unasked(pool, pool.health_check):
        check = render_health_check(pool, pool.health_check)
        cluster.health_checks.add(**check)
    _set_transport(cluster, pool, shown)
    options = _http_options(pool, is_retried_apart=is_retried_apart)
    if options is not None:
        name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        cluster.typed_extension_protocol_options[name].CopyFrom(any_of(options))
    return cluster


def _hashes(pool: Pool) -> bool:
    return pool.balancing is Balancing.HASH or isinstance(pool.persistence, SourceIpPersistence)


def _balancing(pool: Pool) -> dict[str, Any]:
    if _hashes(pool):
        return {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": wrapped(_MAGLEV_TABLE)}}
    if pool.balancing is Balancing.ROUND_ROBIN:
        return {"lb_policy": "ROUND_ROBIN"}
    return {"lb_policy": "LEAST_REQUEST"}


def _circuit_breakers(pool: Pool) -> dict[str, Any]:
    connections = _PLENTY if pool.max_connections is None else pool.max_connections
    return {
        "thresholds": [
            {
                "max_connections": wrapped(connections),
                "max_pending_requests": wrapped(_PLENTY),
                "max_requests": wrapped(_PLENTY),
                # Retries must not double the load of a pool that is failing already.
                "retry_budget": {
                    "budget_percent": {"value": 20.0},
                    "min_retry_concurrency": wrapped(20),
                },
            }
        ]
    }


def _set_transport(cluster: Any, pool: Pool, shown: dict[str, Any] | None) -> None:
    socket = upstream_socket(pool, shown)
    if socket is None:
        return
    cluster.transport_socket.name = socket["name"]
    cluster.transport_socket.typed_config.CopyFrom(socket["typed_config"])
    if pool.health_check is not None and pool.health_check.port is not None:
        plain = extension("envoy.transport_sockets.raw_buffer", RawBuffer())
        cluster.transport_socket_matches.add(
            name="plain", match=PLAIN_CHECK, transport_socket=plain
        )


def _http_options(pool: Pool, *, is_retried_apart: bool) -> Any | None:
    match pool.protocol:
        case BackendProtocol.TCP | BackendProtocol.UDP:
            return None
        case BackendProtocol.HTTP1:
            explicit: dict[str, Any] = {"http_protocol_options": {}}
        case BackendProtocol.H2 | BackendProtocol.GRPC:
            explicit = {
                "http2_protocol_options": {
                    "initial_stream_window_size": wrapped(256 * 1024),
                    "initial_connection_window_size": wrapped(1024 * 1024),
                }
            }
    return HttpProtocolOptions(
        common_http_protocol_options={"idle_timeout": duration(pool.idle_timeout_s)},
        explicit_http_config=explicit,
        hash_policy=[CLIENT_ADDRESS] if _hashes(pool) else [],
        retry_policy=None if is_retried_apart else render_retry(USUAL),
    )
