"""Clients that make a TLS handshake for each request, at the price of an Envoy.

With Python's `ssl` over OpenSSL 3.0 a handshake costs the client 1.4 ms of processor time, and a
thousand a second would leave nothing of two processors for what is measured. So requests go over
plain connections to an Envoy that makes a connection of its own for each of them: a whole
handshake (nothing is resumed), whose chain and name it verifies; and it says in a header whose
certificate it was shown. A handshake that fails is a 503; nothing is tried again.
"""

import contextlib
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

from bench.child import running
from onehop.driver.envoy.binary import find_envoy

CLIENTS: Final = "127.0.0.10"
SHOWN: Final = b"x-shown: CN="
MOST_AT_ONCE: Final = 4000
"""Handshakes under way; on a busy machine they queue up, and are not refused."""

_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions"


@contextlib.contextmanager
def tls_clients(folder: Path, ca_pem: str, to: str) -> Generator[None]:
    """Run them, before port 443 of an address.

    Args:
        folder: where its files go.
        ca_pem: whom they trust.
        to: the address.
    """
    # A closed connection keeps its port for a minute: a thousand a second need all there are.
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("1025 65535")
    Path("/proc/sys/net/ipv4/tcp_tw_reuse").write_text("1")
    bootstrap = folder / "clients.json"
    bootstrap.write_text(json.dumps(_bootstrap(ca_pem, to)))
    options = ("--concurrency", "1", "--log-level", "error", "--disable-hot-restart")
    with running((str(find_envoy()), "-c", str(bootstrap), *options), folder / "clients.log"):
        yield


def _bootstrap(ca_pem: str, to: str) -> dict[str, Any]:
    http = {
        "@type": f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "product"}}],
                }
            ],
            "response_headers_to_add": [
                {"header": {"key": "x-shown", "value": "%UPSTREAM_PEER_SUBJECT%"}}
            ],
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "http", "typed_config": http}]
    listener = {
        "name": "clients",
        "address": _socket(CLIENTS, 80),
        "filter_chains": [{"filters": filters}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [_cluster(ca_pem, to)]}}


def _cluster(ca_pem: str, to: str) -> dict[str, Any]:
    upstream = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    tls = {
        "@type": f"{_EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext",
        "max_session_keys": 0,
        "common_tls_context": {
            "validation_context": {"trusted_ca": {"inline_string": ca_pem}},
        },
    }
    kinds = ("max_connections", "max_pending_requests", "max_requests")
    many = dict.fromkeys(kinds, MOST_AT_ONCE)
    return {
        "name": "product",
        "type": "STATIC",
        "connect_timeout": "30s",
        "circuit_breakers": {"thresholds": [many]},
        "load_assignment": {
            "cluster_name": "product",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(to, 443)}}]}],
        },
        "transport_socket": {"name": "tls", "typed_config": tls},
        "typed_extension_protocol_options": {
            upstream: {
                "@type": f"type.googleapis.com/{upstream}",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"max_requests_per_connection": 1},
                "upstream_http_protocol_options": {"auto_sni": True, "auto_san_validation": True},
            }
        },
    }


def _socket(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}
