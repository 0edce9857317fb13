"""Where routes come to stand: the router of each port of a Gateway, and hosts on it."""

import msgspec

from onehop.compile.gateway.listener import ListenerIntent, Listening
from onehop.compile.router import HostKey
from onehop.model.ident import ObjectRef, RouterId


def router_of(gateway: ObjectRef, port: int) -> RouterId:
    """Return the router of a port; no Service's or Ingress's has such a name."""
    return RouterId(f"gateway/{gateway.namespace}/{gateway.name}:{port}")


def port_of(router: RouterId) -> int:
    """Return the port that a Gateway's router is for."""
    return int(router.rpartition(":")[2])


class Place(msgspec.Struct, frozen=True, order=True, gc=False):
    """A host on a port of a Gateway.

    Attributes:
        ends_tls: whether TLS ends here, whatever is in it; `is_tls` says that HTTP is.
        listener: the one that it belongs to.
        within: the hostname of that one.
        said: the route's own hostname by which it counts here, or that of the listener; see `host`.
    """

    key: HostKey
    port: int
    is_tls: bool
    ends_tls: bool
    listener: Listening
    within: str
    said: str


def place_of(gateway: ObjectRef, listener: ListenerIntent, hostname: str, said: str) -> Place:
    """Return a host on the port of a listener, and how a route says it."""
    key = HostKey(router_of(gateway, listener.port), hostname)
    return Place(
        key=key,
        port=listener.port,
        is_tls=listener.is_tls,
        ends_tls=listener.ends_tls,
        listener=listener.id,
        within=listener.hostname,
        said=said,
    )
