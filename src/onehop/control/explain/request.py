"""The road of one request or connection."""

from collections.abc import Iterator

from onehop.compile.backend import options_of
from onehop.control.explain.arrival import (
    gateway_served,
    listener_step,
    listeners_at,
    protocol_of,
    shared_served,
    vip_step,
)
from onehop.control.explain.explanation import Refusal, Road
from onehop.control.explain.facts import Facts
from onehop.control.explain.matching import host_for
from onehop.control.explain.road import passthrough_road, stream_road
from onehop.control.explain.rule import (
    NOTHING_THERE,
    outcome_of,
    route_taken,
    step_of_request,
)
from onehop.control.explain.target import UrlTarget
from onehop.model.address import IpAddr, parse_ip
from onehop.model.listener import ForwardHttp, ForwardTcp, ForwardUdp, Listener

_PASSES = {
    "http": ("http", "tcp"),
    "https": ("https", "tcp"),
    "tcp": ("tcp",),
    "udp": ("udp",),
}
"""The listeners that take what a scheme sends."""
_USUAL_PORT = {"http": 80, "https": 443}
_SHOWN = 5


def roads_of_request(facts: Facts, url: UrlTarget) -> tuple[Road, ...] | Refusal:
    """Return the roads of a request, one for each address family, or why nothing listens."""
    address = parse_ip(url.host)
    at_hand = tuple(listeners_at(facts, address) if address else _named(facts, url))
    fitting = [item for item in at_hand if protocol_of(item) in _PASSES[url.scheme]]
    chosen = [item for item in fitting if item.port == _port(facts, url, item)]
    if not chosen and url.port is None:
        chosen = [item for item in fitting if protocol_of(item) == url.scheme]
    if chosen:
        return tuple(_road(facts, listener, url) for listener in chosen)
    return _nobody_listens(facts, url, address, at_hand)


def _named(facts: Facts, url: UrlTarget) -> tuple[Listener, ...]:
    """Return the listeners that have the host of a request; where none has, the shared ones.

    The same name may be an Ingress's and a Gateway's, on two addresses: DNS says which.
    """
    shared = tuple(shared_served(facts))
    fitting = (
        item
        for item in (*shared, *gateway_served(facts))
        if protocol_of(item) in _PASSES[url.scheme] and _knows(facts, item, url.host)
    )
    return tuple(fitting) or shared


def _knows(facts: Facts, listener: Listener, hostname: str) -> bool:
    handler = listener.handler
    if not isinstance(handler, ForwardHttp):
        return False
    if handler.passthrough_for(hostname) is not None:
        return True
    host = host_for(facts.served, handler.router_for(hostname), hostname)
    return host is not None and any(each.hostname in {None, hostname} for each in host.routes)


def _port(facts: Facts, url: UrlTarget, listener: Listener) -> int | None:
    """Return the port that is asked for; without one, of a shared listener, its own."""
    if url.port is not None:
        return url.port
    options = options_of(facts.compiler.reader())
    ports = {"http": options.http_port, "https": options.https_port}
    is_shared = listener.owner is None and parse_ip(url.host) is None
    return ports.get(url.scheme) if is_shared else _USUAL_PORT.get(url.scheme)


def _road(facts: Facts, listener: Listener, url: UrlTarget) -> Road:
    handler = listener.handler
    if isinstance(handler, ForwardTcp | ForwardUdp):
        return stream_road(facts, listener, handler)
    passed = handler.passthrough_for(url.host)
    if passed is not None:
        return passthrough_road(facts, listener, passed)
    host = host_for(facts.served, handler.router_for(url.host), url.host)
    route = route_taken(host, url.host, url.path) if host is not None else None
    step, outcome = None, NOTHING_THERE
    if host is not None and route is not None:
        step = step_of_request(facts, host, route, url.host, url.path)
        outcome = outcome_of(route)
    return Road(
        vip=vip_step(facts, listener.address),
        listener=listener_step(facts, listener, url.host),
        route=step,
        outcome=outcome,
    )


def _nobody_listens(
    facts: Facts, url: UrlTarget, address: IpAddr | None, at_hand: tuple[Listener, ...]
) -> Refusal:
    if address is not None and not at_hand:
        said = f"{address} is no address of this load balancer"
        others = facts.served.vips()
        return Refusal(message=said, near=tuple(_urls(facts, sorted(others))))
    if not at_hand:
        return Refusal(
            message="there are no HTTP listeners: onehop.yaml has no addresses.shared, or nothing"
            " is served yet; for a Service, name its address in place of a host",
        )
    have = ", ".join(dict.fromkeys(f"{protocol_of(item)} {item.port}" for item in at_hand))
    hint = "" if address is not None else "; for a Service, name its address in place of the host"
    return Refusal(message=f"nothing takes {url} here: there is {have}{hint}")


def _urls(facts: Facts, addresses: list[IpAddr]) -> Iterator[str]:
    listeners = (item for address in addresses for item in listeners_at(facts, address))
    for number, item in enumerate(listeners):
        if number >= _SHOWN:
            return
        host = f"[{item.address}]" if ":" in item.address else item.address
        yield f"{protocol_of(item)}://{host}:{item.port}"
