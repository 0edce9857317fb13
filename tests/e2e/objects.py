"""Kubernetes objects, as short as the stories need them."""

from typing import Any, Final

Json = dict[str, Any]

CLASS: Final = "onehop"
SHOP: Final = "shop"
HOST: Final = "shop.example.com"
FINALIZER: Final = "service.kubernetes.io/load-balancer-cleanup"


def namespace(name: str = SHOP) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def ingress_class() -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": CLASS},
        "spec": {"controller": "onehop.dev/ingress"},
    }


def service(name: str = "web", *, space: str = SHOP, **spec: Any) -> Json:
    """Return a Service with port 80; `spec` replaces what it says by default."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": space},
        "spec": {"ports": ports} | spec,
    }


def balancer(name: str, *ports: Json, **spec: Any) -> Json:
    """Return a Service of type LoadBalancer and of our class."""
    return service(
        name, type="LoadBalancer", loadBalancerClass="onehop.dev/lb", ports=list(ports), **spec
    )


def endpoints(
    of: str = "web",
    *addresses: str,
    ports: tuple[Json, ...] = ({"name": "http", "port": 8080},),
    space: str = SHOP,
    draining: tuple[str, ...] = (),
) -> Json:
    """Return the EndpointSlice of a Service; `draining` are those that go."""
    ready = {"ready": True, "serving": True, "terminating": False}
    going = {"ready": False, "serving": True, "terminating": True}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{of}-1",
            "namespace": space,
            "labels": {"kubernetes.io/service-name": of},
        },
        "addressType": "IPv4",
        "ports": list(ports),
        "endpoints": [
            *({"addresses": [each], "conditions": ready} for each in addresses),
            *({"addresses": [each], "conditions": going} for each in draining),
        ],
    }


def ingress(
    name: str = "shop",
    host: str = HOST,
    *,
    backend: str = "web",
    space: str = SHOP,
    secret: str = "",
    **annotations: str,
) -> Json:
    """Return an Ingress for one host; `cookie_ttl="x"` becomes `onehop.dev/cookie-ttl: x`."""
    to = {"service": {"name": backend, "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": to}]
    tls = {"tls": [{"hosts": [host], "secretName": secret}]} if secret else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": name,
            "namespace": space,
            "annotations": {
                f"onehop.dev/{key.replace('_', '-')}": value for key, value in annotations.items()
            },
        },
        "spec": {"ingressClassName": CLASS, "rules": [{"host": host, "http": {"paths": paths}}]}
        | tls,
    }


def node(name: str, address: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    }
