"""The Gateway API objects of the benched cluster: a Gateway, and routes to Services of `shop`.

Gateways take addresses of their own from the pools, so the product's VIP is a pool of one.
"""

from typing import Any, Final

from bench import shop
from bench.namespace import PRODUCT_VIP

VERSION: Final = "gateway.networking.k8s.io/v1"
POOLS: Final = {"pools": [{"name": "bench", "cidrs": [PRODUCT_VIP]}]}
NAME: Final = "public"
STATUS: Final = "gateways.gateway.networking.k8s.io/status"

_FOREIGN: Final = "foreign"


def classes() -> tuple[shop.Json, ...]:
    """Return our GatewayClass with its Gateway, and those of another controller."""
    return (
        _class("onehop", "onehop.dev/gateway-controller"),
        _gateway(NAME, "onehop"),
        _class(_FOREIGN, "example.com/somebody-else"),
        _gateway(_FOREIGN, _FOREIGN),
    )


def _class(name: str, controller: str) -> shop.Json:
    return {
        "apiVersion": VERSION,
        "kind": "GatewayClass",
        "metadata": {"name": name},
        "spec": {"controllerName": controller},
    }


def _gateway(name: str, class_name: str) -> shop.Json:
    return {
        "apiVersion": VERSION,
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": shop.NAMESPACE},
        "spec": {
            "gatewayClassName": class_name,
            "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
        },
    }


def backend(number: int, weight: int = 1) -> shop.Json:
    """Return a reference to a Service."""
    return {"name": f"app-{number}", "port": 80, "weight": weight}


def rule(where: str, *backends: shop.Json, filters: list[shop.Json] | None = None) -> shop.Json:
    """Return a rule for all paths below one."""
    return {
        "matches": [{"path": {"type": "PathPrefix", "value": where}}],
        "backendRefs": list(backends),
        "filters": filters or [],
    }


def header_filter(kind: str, name: str, value: str) -> shop.Json:
    """Return a filter that sets one header; `kind` is `request` or `response`."""
    change = {"set": [{"name": name, "value": value}]}
    return {
        "type": f"{kind.capitalize()}HeaderModifier",
        f"{kind}HeaderModifier": change,
    }


def route(number: int, *rules: shop.Json, hosts: tuple[str, ...] = ()) -> shop.Json:
    """Return a route that leads a host to the Service of the same number."""
    return _route(
        f"route-{number}",
        NAME,
        {
            "hostnames": [shop.host(number), *hosts],
            "rules": list(rules) or [rule("/", backend(number))],
        },
    )


def probed_route(number: int) -> shop.Json:
    """Return what gateway-api-bench's probe makes: two header filters and a rule to nowhere."""
    nowhere = {"name": "does-not-exist", "port": 80}
    filters = [
        header_filter("request", "x-route", str(number)),
        header_filter("response", "x-answered", str(number)),
    ]
    return route(
        number,
        rule(f"/{number}", backend(number), filters=filters),
        rule("/", nowhere, filters=filters),
    )


def foreign_route(number: int, turn: int) -> shop.Json:
    """Return a route on another controller's Gateway."""
    spec = {"hostnames": [shop.host(number)], "rules": [rule(f"/{turn}", backend(0))]}
    return _route(f"foreign-{number}", _FOREIGN, spec)


def _route(name: str, parent: str, spec: dict[str, Any]) -> shop.Json:
    return {
        "apiVersion": VERSION,
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": shop.NAMESPACE},
        "spec": {"parentRefs": [{"name": parent}], **spec},
    }
