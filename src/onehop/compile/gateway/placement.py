"""Gateways with their addresses, and the listeners of the Model that follow.

A socket can be bound once, so all listeners of a Gateway with one port become one listener of the
Model; their hosts are told apart on its router.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.compile.allocation import LEDGER, Placement
from onehop.compile.backend import options_of
from onehop.compile.gateway.gateway import GATEWAY_INTENT_REFS, GATEWAY_INTENTS, GatewayIntent
from onehop.compile.gateway.hostname import ANY, covers
from onehop.compile.gateway.listener import ListenerIntent, Protocol
from onehop.compile.gateway.misdirected import splits_names
from onehop.compile.gateway.passed import PASSED_BY_ROUTER
from onehop.compile.gateway.place import router_of
from onehop.compile.gateway.route import ROUTE_RULES
from onehop.compile.gateway.routepool import shares_shown, shown_at
from onehop.compile.gateway.stream import STREAM_OWNERS
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.address import Cidr, IpAddr
from onehop.model.ident import ListenerId, ObjectRef
from onehop.model.listener import (
    ForwardHttp,
    ForwardTcp,
    ForwardUdp,
    Handler,
    Listener,
    Passthrough,
    PortCheck,
    Transport,
)


def listener_id(gateway: ObjectRef, listener: ListenerIntent, address: IpAddr) -> ListenerId:
    """Return the name of a Gateway's port on one of its addresses."""
    suffix = "/UDP" if listener.protocol is Protocol.UDP else ""
    return ListenerId(f"{router_of(gateway, listener.port)}{suffix}@{address}")


def _place(reader: Reader, ref: ObjectRef) -> Cell[Placement]:
    intent, addresses = reader.need(GATEWAY_INTENTS, ref), reader.get(LEDGER, ref) or ()
    handlers = {
        socket: (listener, _handler(reader, intent, listener))
        for socket, listener in intent.sockets().items()
    }
    listeners = tuple(
        Listener(
            id=listener_id(ref, listener, address),
            owner=ref,
            address=address,
            port=port,
            transport=transport,
            handler=handler,
            sources=_sources(reader, listener),
            accepts_proxy_protocol=intent.accepts_proxy_protocol and transport is Transport.TCP,
        )
        for address in addresses
        for (port, transport), (listener, handler) in handlers.items()
        if handler is not None
    )
    return Cell(Placement(ref, addresses, listeners, frozenset(handlers)))


def _handler(reader: Reader, intent: GatewayIntent, listener: ListenerIntent) -> Handler | None:
    """Return what is done with what arrives; None refuses it, for there is nobody to take it."""
    if listener.protocol is None or listener.protocol.is_named:
        options, router = options_of(reader), router_of(intent.ref, listener.port)
        is_tls = listener.protocol is not Protocol.HTTP
        return ForwardHttp(
            router=router,
            tls=is_tls,
            passthroughs=tuple(_passthroughs(reader, intent, listener.port)) if is_tls else (),
            trusted_hops=options.trusted_hops,
            tls_policy=options.tls_policy,
            cors=True,
            splits_names=is_tls and splits_names(reader, router),
            clients=_clients(intent, listener.port),
        )
    owner = reader.get(STREAM_OWNERS, listener.id)
    rules = reader.get(ROUTE_RULES, owner) if owner is not None else None
    if owner is None or rules is None or rules.pool is None:
        return None
    idle_s = rules.annotated.idle_timeout
    idle = {} if idle_s is None else {"idle_timeout_s": idle_s}
    if listener.protocol is Protocol.UDP:
        return ForwardUdp(pool=rules.pool, shares=rules.shares, **idle)
    shown = shown_at(reader, owner, intent.ref)
    pool = shown.get(rules.pool, rules.pool)
    return ForwardTcp(pool=pool, shares=shares_shown(rules.shares, shown), **idle)


def _sources(reader: Reader, listener: ListenerIntent) -> tuple[Cidr, ...]:
    """Return who may connect to a listener for streams, as its route says; empty is everybody."""
    owner = reader.get(STREAM_OWNERS, listener.id)
    rules = reader.get(ROUTE_RULES, owner) if owner is not None else None
    return rules.annotated.allow_sources or () if rules is not None else ()


def _clients(intent: GatewayIntent, port: int) -> PortCheck | None:
    """Return what clients of a port have to show: all HTTPS listeners of a port say the same."""
    asking = (each.clients for each in intent.served() if each.port == port)
    return next((clients for clients in asking if clients is not None), None)


def _passthroughs(reader: Reader, intent: GatewayIntent, port: int) -> Iterator[Passthrough]:
    """Yield the hosts of a port whose TLS goes past us, and of wildcards who is none of them."""
    ended = {each.hostname for each in intent.served() if each.is_tls and each.port == port}
    for passed in reader.where(PASSED_BY_ROUTER, router_of(intent.ref, port)):
        taken = {name for name in ended if name != ANY and covers(passed.hostname, name)}
        yield msgspec.structs.replace(passed, exceptions=tuple(sorted(taken)))


GATEWAY_PLACEMENTS: Final = Derived[ObjectRef, Placement](
    "gateway-placements", _place, (GATEWAY_INTENT_REFS,)
)
GATEWAY_LISTENERS: Final = Index[ObjectRef, Placement, ListenerId](
    GATEWAY_PLACEMENTS, "listener", lambda _, placement: [item.id for item in placement.listeners]
)
GATEWAYS_AT: Final = Index[ObjectRef, Placement, IpAddr](
    GATEWAY_PLACEMENTS, "at", lambda _, placement: placement.addresses
)
GATEWAY_ADDRESSES: Final = Index[ObjectRef, Placement, IpAddr](
    GATEWAY_PLACEMENTS,
    "address",
    lambda _, placement: {item.address for item in placement.listeners},
)
