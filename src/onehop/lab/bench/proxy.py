"""The Envoys inside the cluster, as configurations: the Pods' responders, and the second tier.

A Pod answers by Envoy's `direct_response`, which is several times cheaper than any proxying, so
that Pods are never what limits a way. Its answer names the Pod and the source address it saw:
https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#command-operators

The second tier is a plain reverse proxy: no filters, no access log, round robin, keep-alive to the
Pods. Products that are built on Envoy do more for each request than this one.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from onehop.lab.bench.way import EDGE_HTTP_PORT, EDGE_TCP_PORT, POD_PORT

Json: TypeAlias = dict[str, Any]

POD_HEADER: Final = "x-pod"
SAW_HEADER: Final = "x-saw"

_BODY: Final = "served\n"
_FILTER: Final = "type.googleapis.com/envoy.extensions.filters"
_CLUSTER: Final = "pods"


def responder(pod: str, address: str) -> Json:
    """Return the Envoy of a Pod: it answers every request itself.

    Args:
        pod: the Pod's name.
        address: the Pod's own.
    """
    answer = {"status": 200, "body": {"inline_string": _BODY}}
    headers = {POD_HEADER: pod, SAW_HEADER: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}
    added = [{"header": {"key": name, "value": value}} for name, value in headers.items()]
    route = {"match": {"prefix": "/"}, "direct_response": answer, "response_headers_to_add": added}
    return {"static_resources": {"listeners": [_listener(address, POD_PORT, _http(route))]}}


def edge(address: str, pods: Sequence[str]) -> Json:
    """Return the Envoy of the second tier: an HTTP and a TCP proxy to Pods, by their addresses.

    Args:
        address: its own Pod's.
        pods: where it sends to.
    """
    route = {"match": {"prefix": "/"}, "route": {"cluster": _CLUSTER}}
    tcp = _named("tcp_proxy", "network.tcp_proxy.v3.TcpProxy", stat_prefix="edge", cluster=_CLUSTER)
    listeners = [
        _listener(address, EDGE_HTTP_PORT, _http(route)),
        _listener(address, EDGE_TCP_PORT, tcp),
    ]
    endpoints = [{"endpoint": {"address": _socket(pod, POD_PORT)}} for pod in pods]
    cluster = {
        "name": _CLUSTER,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": _CLUSTER, "endpoints": [{"lb_endpoints": endpoints}]},
    }
    return {"static_resources": {"listeners": listeners, "clusters": [cluster]}}


def _http(route: Json) -> Json:
    hosts = [{"name": "all", "domains": ["*"], "routes": [route]}]
    return _named(
        "http",
        "network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="edge",
        route_config={"virtual_hosts": hosts},
        http_filters=[_named("router", "http.router.v3.Router")],
    )


def _named(name: str, kind: str, **fields: object) -> Json:
    return {"name": name, "typed_config": {"@type": f"{_FILTER}.{kind}", **fields}}


def _listener(address: str, port: int, network_filter: Json) -> Json:
    return {
        "name": f"port-{port}",
        "address": _socket(address, port),
        "filter_chains": [{"filters": [network_filter]}],
    }


def _socket(address: str, port: int) -> Json:
    return {"socket_address": {"address": address, "port_value": port}}
