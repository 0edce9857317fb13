"""The client's side: the address it connects to, and the socket that takes the connection."""

from collections.abc import Iterator

from onehop.cluster import Kind
from onehop.compile.backend import options_of
from onehop.compile.listener import shared_listeners
from onehop.control.explain.explanation import ListenerStep, VipStanding, VipStep
from onehop.control.explain.facts import Facts
from onehop.control.explain.handshake import tls_step
from onehop.model.address import IpAddr
from onehop.model.listener import ForwardHttp, ForwardTcp, ForwardUdp, Listener


def shared_served(facts: Facts) -> Iterator[Listener]:
    """Yield the listeners of the shared address that are served, plain ones first."""
    wanted = shared_listeners(options_of(facts.compiler.reader()))
    for listener in sorted(wanted, key=lambda item: (protocol_of(item), item.id)):
        found = facts.served.listener(listener.id)
        if found is not None:
            yield found


def gateway_served(facts: Facts) -> Iterator[Listener]:
    """Yield the listeners of all Gateways that are served."""
    for gateway in facts.compiler.refs(Kind.GATEWAY):
        for name in sorted(facts.served.listeners_of(gateway)):
            listener = facts.served.listener(name)
            if listener is not None:
                yield listener


def listeners_at(facts: Facts, address: IpAddr) -> Iterator[Listener]:
    """Yield the listeners that are served on an address."""
    for owner in facts.served.vips().get(address, ()):
        for name in sorted(facts.served.listeners_of(owner)):
            listener = facts.served.listener(name)
            if listener is not None and listener.address == address:
                yield listener
    yield from (item for item in shared_served(facts) if item.address == address)


def protocol_of(listener: Listener) -> str:
    """Return what is spoken there: `http`, `https`, `tcp` or `udp`."""
    match listener.handler:
        case ForwardHttp(tls=tls):
            return "https" if tls else "http"
        case ForwardTcp():
            return "tcp"
        case ForwardUdp():
            return "udp"


def vip_step(facts: Facts, address: IpAddr) -> VipStep:
    """Return who has an address, and how packets for it come here."""
    owners = facts.served.vips().get(address, ())
    bind, heard_by = facts.config.addresses.bind, facts.announced_to.get(address, ())
    if bind.interface is None:
        standing, says = VipStanding.ELSEWHERE, "somebody else leads its packets to this host"
    elif not facts.is_live:
        standing, says = VipStanding.UNKNOWN, f"would be bound on {bind.interface}"
    elif facts.is_bound(address):
        says = f"bound on {bind.interface}"
        if bind.interface != "lo":
            says += ", announced to its link"
        standing = VipStanding.BOUND
    else:
        standing, says = VipStanding.NOT_BOUND, f"not bound{_why(facts, address)}"
    if heard_by:
        says += f"; announced by BGP to {', '.join(heard_by)}"
    return VipStep(
        address=address,
        owners=tuple(map(str, owners)),
        standing=standing,
        interface=bind.interface,
        announced_to=heard_by,
        says=says,
    )


def _why(facts: Facts, address: IpAddr) -> str:
    found = (p.message for p in facts.problems if address in p.message)
    return next((f": {message}" for message in found), "")


def listener_step(facts: Facts, listener: Listener, hostname: str | None = None) -> ListenerStep:
    """Return a listener as it is shown.

    Args:
        facts: all there is.
        listener: one that is served.
        hostname: the server name a client asks for, where TLS ends here.
    """
    handler, protocol = listener.handler, protocol_of(listener)
    tls = None
    if isinstance(handler, ForwardHttp) and handler.tls and hostname is not None:
        tls = tls_step(facts, handler, hostname)
    return ListenerStep(
        id=listener.id,
        port=listener.port,
        protocol=protocol,
        served_by="kernel" if facts.in_kernel(listener) else "proxy",
        sources=listener.sources,
        accepts_proxy_protocol=listener.accepts_proxy_protocol,
        max_connections=listener.max_connections,
        certificate=tls.secret if tls is not None else None,
        tls=tls,
    )
