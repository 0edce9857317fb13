"""How Envoy finds out that an endpoint does not work: by asking it, and by noticing."""

from typing import Any, Final

from onehop.driver.envoy.proto import duration, wrapped
from onehop.model.pool import BackendProtocol, HealthCheck, Pool

PLAIN_CHECK: Final = {"plain": True}
"""Selects the cleartext transport socket, for checks on a port that is not the endpoint's own."""


def render_health_check(pool: Pool, check: HealthCheck) -> dict[str, Any]:
    """Return an entry of `Cluster.health_checks`."""
    rendered: dict[str, Any] = {
        "timeout": duration(check.timeout_s),
        "interval": duration(check.interval_s),
        # Envoy asks idle clusters once a minute unless told otherwise.
        "no_traffic_interval": duration(check.interval_s),
        "interval_jitter_percent": 10,
        "healthy_threshold": wrapped(check.healthy_threshold),
        "unhealthy_threshold": wrapped(check.unhealthy_threshold),
    }
    if check.port is not None:  # the port itself goes with each endpoint, by EDS
        rendered["transport_socket_match_criteria"] = PLAIN_CHECK
    if check.http_path is None:
        rendered["tcp_health_check"] = {}
    else:
        rendered["http_health_check"] = {
            "path": check.http_path,
            "host": check.http_host or "",
            # Ours are inclusive ranges, Int64Range is half-open.
            "expected_statuses": [{"start": a, "end": b + 1} for a, b in check.expected],
            "codec_client_type": "HTTP2" if _asks_in_http2(pool, check) else "HTTP1",
        }
    return rendered


def _asks_in_http2(pool: Pool, check: HealthCheck) -> bool:
    return check.port is None and pool.protocol in {BackendProtocol.H2, BackendProtocol.GRPC}


def render_outlier_detection() -> dict[str, Any]:
    """Return passive detection: five times in a row without a connection or answer, or 502-504.

    A 500 is the application's word, not a sign that another endpoint would do better. At most half
    of a pool is ejected, a lone endpoint never (`always_eject_one_host` is off by default).

    Envoy's `split_external_local_origin_errors` stays off: with it, an endpoint that accepts every
    connection and then closes it is never ejected, because each connection counts as a success.
    """
    off = wrapped(0)
    return {
        "interval": duration(2),
        "base_ejection_time": duration(5),
        "max_ejection_time": duration(60),
        "max_ejection_percent": wrapped(50),
        "consecutive_gateway_failure": wrapped(5),
        "enforcing_consecutive_gateway_failure": wrapped(100),
        "enforcing_consecutive_5xx": off,
        "enforcing_success_rate": off,
    }
