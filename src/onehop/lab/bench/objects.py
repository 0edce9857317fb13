"""What `kubectl apply` would be given for the comparison: a Service and an Ingress for each way."""

from collections.abc import Iterator
from typing import Any, TypeAlias

from onehop.lab.bench.way import (
    BALANCED,
    EDGE_HTTP_PORT,
    EDGE_TCP_PORT,
    POD_PORT,
    VIP_HTTP_PORT,
    VIP_TCP_PORT,
    Way,
)
from onehop.lab.world.objects import LABELS, NAMESPACE

Json: TypeAlias = dict[str, Any]

EDGE_LABELS = {"app": "edge"}
"""Of the Pod with the proxy inside the cluster: it is no endpoint of the others' Services."""


def bench_objects() -> Iterator[tuple[str, Json]]:
    """Yield each object behind the collection that it is created in."""
    for way in BALANCED:
        yield f"/api/v1/namespaces/{NAMESPACE}/services", _service(way)
        yield f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/ingresses", _ingress(way)


def _service(way: Way) -> Json:
    http, tcp = (EDGE_HTTP_PORT, EDGE_TCP_PORT) if way.is_two_tiers else (POD_PORT, POD_PORT)
    http_node_port, tcp_node_port = way.node_ports
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": f"bench-{way.name}",
            "namespace": NAMESPACE,
            "annotations": {"onehop.dev/addresses": way.vip, "onehop.dev/path": way.path},
        },
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": "onehop.dev/lb",
            "externalTrafficPolicy": way.policy,
            "selector": EDGE_LABELS if way.is_two_tiers else LABELS,
            "ports": [
                _port("http", VIP_HTTP_PORT, http, http_node_port),
                _port("tcp", VIP_TCP_PORT, tcp, tcp_node_port),
            ],
        },
    }


def _port(name: str, port: int, target_port: int, node_port: int) -> Json:
    return {
        "name": name,
        "port": port,
        "targetPort": target_port,
        "nodePort": node_port,
        "protocol": "TCP",
    }


def _ingress(way: Way) -> Json:
    backend = {"service": {"name": f"bench-{way.name}", "port": {"name": "http"}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": f"bench-{way.name}", "namespace": NAMESPACE},
        "spec": {
            "ingressClassName": "onehop",
            "rules": [{"host": way.host, "http": {"paths": [path]}}],
        },
    }
