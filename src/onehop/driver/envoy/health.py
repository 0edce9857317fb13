"""How Envoy finds out that an endpoint does not work: by asking it, and by noticing.

What notices is told apart by what it costs to be wrong. Outlier detection only keeps new work
away: a Pod that ends closes its port first and finishes what it has (Go's `Server.Shutdown`), so
refused connections must not end others. Hence no `close_connections_on_host_health_failure`. Nor
are connections closed because a route is gone: where only BGP has failed, answers still come in.
A connection ends when *it* is silent, see `render_silence`.
"""

from typing import Any, Final

from onehop.driver.envoy.proto import duration, wrapped
from onehop.model.pool import BackendProtocol, HealthCheck, Pool

PLAIN_CHECK: Final = {"plain": True}
"""Selects the cleartext transport socket, for checks on a port that is not the endpoint's own."""

_SILENT_HTTP_S: Final = 15
_SILENT_TCP_S: Final = 30
_PROBES: Final = 3
_IPPROTO_TCP: Final = 6
_TCP_USER_TIMEOUT: Final = 18  # Linux, include/uapi/linux/tcp.h


def render_silence(pool: Pool) -> dict[str, Any]:
    """Return the fields of a Cluster that end a connection to an endpoint that died silently.

    TCP_USER_TIMEOUT (RFC 5482, tcp(7)) ends a connection when what was sent has not been
    acknowledged for so long; without it Linux tries for 15 minutes. Probes ask where nothing was
    sent. The option overrules their number, so the intervals must leave room for all of them: at
    2/5, 3/5 and 4/5 of the time, and a single lost one does no harm.

    It is the least time, and one and a half times as much the longest. The limit is looked at
    when something is sent again, and the last of that is planned to be when it ends; but where
    the node's hardware address is not found any more, the kernel's own "host unreachable" plans it
    anew, with the half of the time that has gone by (RFC 6069; Linux, `tcp_ld_RTO_revert`).

    It must be longer than BGP's hold time of 9 s: nobody is dead while BGP believes in him. And
    it must be long, since the kernel also counts the time for which an endpoint has no room
    left (a zero window), although that is alive: uploads to slow storage, a broker that holds
    back its publishers. To fail those does more harm than to wait, for what was sent to a dead
    node is lost anyway, and no new work goes there by then. Others wait 20 s (gRPC, proposal A18)
    and, to take data, 60 s (nginx, `proxy_send_timeout`).
    """
    silent_s = _SILENT_TCP_S if pool.protocol is BackendProtocol.TCP else _SILENT_HTTP_S
    fifth_s = silent_s // (_PROBES + 2)
    return {
        "upstream_bind_config": {
            "socket_options": [
                {
                    "description": "TCP_USER_TIMEOUT",
                    "level": _IPPROTO_TCP,
                    "name": _TCP_USER_TIMEOUT,
                    "int_value": silent_s * 1000,
                    "state": "STATE_PREBIND",
                }
            ]
        },
        "upstream_connection_options": {
            "tcp_keepalive": {
                "keepalive_time": wrapped(2 * fifth_s),
                "keepalive_interval": wrapped(fifth_s),
                "keepalive_probes": wrapped(_PROBES),
            }
        },
    }


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


def is_unasked(pool: Pool, check: HealthCheck) -> bool:
    """Tell whether the check cannot be made: nobody knows by asking whether a UDP port is served.

    Envoy would try to connect to a TCP port of that number, and find everybody ill.
    """
    return pool.protocol is BackendProtocol.UDP and check.port is None


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
