"""The objects of the benched cluster, as the API server would hold them.

Service number n has `endpoints` Pods in one slice. Each Pod has a twin on another address: moving a
Service to its other side replaces all its Pods at once, so the first answer tells which side it is.
"""

from typing import Any, Final

Json = dict[str, Any]

NAMESPACE: Final = "shop"
PORT: Final = 8080
SIDES: Final = ("198.18", "198.19")
_PER_SIDE: Final = 1 << 16
_NODES: Final = 100

OWN_NAMESPACE: Final[Json] = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "onehop-system"},  # where the Lease lies; without it no status is written
}
CLASS: Final[Json] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": "onehop"},
    "spec": {"controller": "onehop.dev/ingress"},
}
FOREIGN_CLASS: Final[Json] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": "foreign"},
    "spec": {"controller": "example.com/somebody-else"},
}


def host(number: int) -> str:
    """Return the host name of a Service."""
    return f"{number}-route.example.com"


def addresses(number: int, count: int, side: int) -> list[str]:
    """Return a Service's Pods on one side; in large clusters Services share Pods."""
    first = number * count
    places = ((first + place) % _PER_SIDE for place in range(count))
    return [f"{SIDES[side]}.{place >> 8}.{place & 255}" for place in places]


def service(number: int) -> Json:
    """Return a Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"app-{number}", "namespace": NAMESPACE, "labels": {"app": "app"}},
        "spec": {
            "type": "ClusterIP",
            "selector": {"app": f"app-{number}"},
            "ports": [{"name": "http", "port": 80, "targetPort": PORT, "protocol": "TCP"}],
        },
    }


def endpoint_slice(number: int, count: int, side: int = 0) -> Json:
    """Return a Service's slice, as long as a real one: node, conditions, target of each Pod."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"app-{number}-x7k2p",
            "namespace": NAMESPACE,
            "labels": {
                "kubernetes.io/service-name": f"app-{number}",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": [address],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": f"node-{(number + place) % _NODES}",
                "targetRef": {
                    "kind": "Pod",
                    "namespace": NAMESPACE,
                    "name": f"app-{number}-6d4cf56db6-{place:05d}",
                    "uid": f"6f1c8a52-0000-4000-8000-{number:06x}{place:06x}",
                },
            }
            for place, address in enumerate(addresses(number, count, side))
        ],
    }


def path(where: str, number: int) -> Json:
    """Return a rule's path that leads to a Service."""
    backend = {"service": {"name": f"app-{number}", "port": {"number": 80}}}
    return {"path": where, "pathType": "Prefix", "backend": backend}


def ingress(
    number: int,
    *,
    class_name: str = "onehop",
    paths: list[Json] | None = None,
    annotations: dict[str, str] | None = None,
) -> Json:
    """Return an Ingress that leads a host to the Service of the same number."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": f"route-{number}",
            "namespace": NAMESPACE,
            "annotations": annotations or {},
        },
        "spec": {
            "ingressClassName": class_name,
            "rules": [{"host": host(number), "http": {"paths": paths or [path("/", number)]}}],
        },
    }


def wishing_ingress(number: int, issuer: str) -> Json:
    """Return an Ingress that asks for a certificate."""
    wishing = ingress(number, annotations={"onehop.dev/acme": issuer})
    wishing["spec"]["tls"] = [{"hosts": [host(number)], "secretName": f"route-{number}-tls"}]
    return wishing


def probed_ingress(number: int) -> Json:
    """Return what gateway-api-bench's probe makes: two header filters and a rule to nowhere."""
    nowhere = {"service": {"name": "does-not-exist", "port": {"number": 80}}}
    return ingress(
        number,
        paths=[
            path(f"/{number}", number),
            {"path": "/", "pathType": "Prefix", "backend": nowhere},
        ],
        annotations={
            "onehop.dev/request-headers-set": f"x-route: {number}",
            "onehop.dev/response-headers-set": f"x-answered: {number}",
        },
    )
