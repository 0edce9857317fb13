"""The HTTP connection manager: what is done with every request before it is routed.

The limits are those of Envoy's edge best practices
(https://www.envoyproxy.io/docs/envoy/latest/configuration/best_practices/edge); where we decide
otherwise, or where they leave a choice, the reason stands beside it.
"""

from typing import Any, Final

from onehop.driver.envoy.accesslog import render_access_log
from onehop.driver.envoy.cors import CORS_FILTER
from onehop.driver.envoy.guard import BODY_FILTER, RATE_FILTER, RBAC_FILTER
from onehop.driver.envoy.misdirected import MUTATION
from onehop.driver.envoy.persistence import SESSION_FILTER
from onehop.driver.envoy.proto import (
    ADS,
    Buffer,
    Cors,
    HeaderMutation,
    HttpConnectionManager,
    HttpRbac,
    LocalRateLimit,
    Router,
    StatefulSession,
    duration,
    extension,
    wrapped,
)
from onehop.model.listener import ClientCheck, ForwardHttp, PortCheck

_MAX_BODY: Final = (1 << 32) - 1


def render_http(
    handler: ForwardHttp,
    access_log: str | None,
    *,
    check: ClientCheck | None = None,
    routes: Any | None = None,
    is_quic: bool = False,
) -> dict[str, Any]:
    """Return the network filter that serves a router.

    Args:
        handler: which router, and whom to believe about the client's address.
        check: the one that the connections have passed; then its router is served.
        access_log: see `EnvoyOptions.access_log`.
        routes: the RouteConfiguration itself, for a static configuration; None asks for it (RDS).
        is_quic: whether HTTP/3 is spoken, and nothing else.
    """
    source: dict[str, Any] = (
        {
            "rds": {
                "route_config_name": check.router if check else handler.router,
                "config_source": ADS,
            }
        }
        if routes is None
        else {"route_config": routes}
    )
    manager = HttpConnectionManager(
        stat_prefix=handler.router,
        codec_type="HTTP3" if is_quic else "AUTO",
        http_filters=_http_filters(handler, with_body_limit=True),
        upgrade_configs=[
            # A WebSocket has no body to count: it would wait for ever in the filter that holds it.
            {"upgrade_type": "websocket", "filters": _http_filters(handler, with_body_limit=False)}
        ],
        access_log=render_access_log(access_log, is_http=True),
        server_header_transformation="PASS_THROUGH",
        **_client_address(handler.trusted_hops, *((MUTATION,) if handler.splits_names else ())),
        **_client_certificate(check or handler.clients),
        **_path_hygiene(),
        **_limits(is_quic=is_quic),
        **source,
    )
    return extension("envoy.filters.network.http_connection_manager", manager)


def _http_filters(handler: ForwardHttp, *, with_body_limit: bool) -> list[dict[str, Any]]:
    """Return the filters; all but the last one are off until a route configures them.

    CORS comes first: a preflight carries no credentials by which a guard would let it in.
    """
    optional = [
        *([extension(CORS_FILTER, Cors())] if handler.cors else ()),
        extension(RBAC_FILTER, HttpRbac()),
        extension(RATE_FILTER, LocalRateLimit(stat_prefix="onehop")),
        extension(SESSION_FILTER, StatefulSession()),
    ]
    if with_body_limit:
        optional.append(extension(BODY_FILTER, Buffer(max_request_bytes=wrapped(_MAX_BODY))))
    router = extension("envoy.filters.http.router", Router(suppress_envoy_headers=True))
    return [*({**each, "disabled": True} for each in optional), router]


def _client_address(trusted_hops: int, *more: dict[str, Any]) -> dict[str, Any]:
    """Return who the client is taken to be, and what applications are told about it.

    With no trusted proxy in front, whatever a client says about addresses and about Envoy's
    internals is taken off before anything reads it; Envoy then adds what it knows, and `more`.
    """
    claims = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-real-ip"]
    believed = trusted_hops > 0
    mutations: list[dict[str, Any]] = [
        {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}},
        *({"remove": name} for name in (() if believed else claims)),
        {
            "append": {
                "header": {"key": "x-forwarded-host", "value": "%REQ(:AUTHORITY)%"},
                "append_action": "ADD_IF_ABSENT",
            }
        },
        *more,
    ]
    return {
        "use_remote_address": wrapped(True),
        "xff_num_trusted_hops": trusted_hops,
        "append_x_forwarded_port": True,
        "preserve_external_request_id": believed,
        # Nobody is "internal": by default a client in 10.0.0.0/8 could steer Envoy by headers.
        "internal_address_config": {},
        "early_header_mutation_extensions": [
            extension(
                "envoy.http.early_header_mutation.header_mutation",
                HeaderMutation(mutations=mutations),
            )
        ],
    }


def _client_certificate(check: ClientCheck | PortCheck | None) -> dict[str, Any]:
    """Return what applications are told about the client's certificate.

    The header x-forwarded-client-cert that a client sends is always thrown away. Of a certificate
    that nobody vouches for, nothing is said: applications would believe it.
    """
    if check is None or (isinstance(check, PortCheck) and not check.is_required):
        return {"forward_client_cert_details": "SANITIZE"}
    return {
        "forward_client_cert_details": "SANITIZE_SET",
        # Besides the certificate's hash, which is always there.
        "set_current_client_cert_details": {"subject": wrapped(True), "dns": True, "uri": True},
    }


def _path_hygiene() -> dict[str, Any]:
    """Return how paths are made canonical before they are matched.

    `%2F` becomes `/` by a redirect: forwarded as it came, `/admin%2Fx` would pass a guard on
    `/admin` and still be `/admin/x` to an application that decodes it.
    """
    return {
        "normalize_path": wrapped(True),
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
    }


def _limits(*, is_quic: bool) -> dict[str, Any]:
    multiplexed: dict[str, Any] = {
        "http2_protocol_options": {
            "max_concurrent_streams": wrapped(100),
            "initial_stream_window_size": wrapped(64 * 1024),
            "initial_connection_window_size": wrapped(1024 * 1024),
            "allow_connect": True,  # WebSocket over HTTP/2, RFC 8441
        }
    }
    if is_quic:
        multiplexed = {
            "http3_protocol_options": {
                "quic_protocol_options": {
                    "max_concurrent_streams": wrapped(100),
                    "initial_stream_window_size": wrapped(64 * 1024),
                    "initial_connection_window_size": wrapped(1024 * 1024),
                }
                # Of WebSocket (RFC 9220) Envoy says "work-in-progress": clients open it over TCP.
            }
        }
    return {
        "common_http_protocol_options": {
            "idle_timeout": duration(300),
            # `X_Forwarded_For` and `X-Forwarded-For` are one variable to CGI and WSGI. nginx drops
            # names with underscores by default, so applications do not depend on them.
            "headers_with_underscores_action": "DROP_HEADER",
        },
        **multiplexed,
        "stream_idle_timeout": duration(300),
        "request_headers_timeout": duration(10),
        "max_request_headers_kb": wrapped(60),
        "stream_error_on_invalid_http_message": {"value": False},
    }
