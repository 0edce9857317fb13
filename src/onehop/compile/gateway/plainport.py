"""Port 80 of Gateways' addresses: where CAs look at hosts by HTTP (RFC 8555, section 8.3).

An address whose port 80 is somebody's is left to them: the answers to CAs stand on the Gateway's
router, if HTTP is spoken there, and else there are none. Where it is nobody's, and a Gateway there
asks for certificates that may be proven so, it is opened for CAs alone: all other requests get 404.
It stays open while the Gateway asks, and not only while a CA looks, for a data plane may have
acknowledged a new socket and not have it yet, and HAProxy reloads for each
(docs/adr/0038-port-80-for-cas.md).

It is no port of the Gateway's in the ledger: who comes later with the same `share-address` gets it.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from onehop.compile.allocation import SERVICES_AT, Placement
from onehop.compile.ask import ASKS_OF_GATEWAY, Ask
from onehop.compile.backend import options_of
from onehop.compile.gateway.gateway import GATEWAY_INTENTS
from onehop.compile.gateway.hostname import ANY
from onehop.compile.gateway.listener import Protocol
from onehop.compile.gateway.place import router_of
from onehop.compile.gateway.placement import GATEWAY_ADDRESSES, GATEWAYS_AT
from onehop.compile.router import ACME_ROUTER, HostKey
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.address import IpAddr
from onehop.model.ident import ListenerId, ObjectRef, RouterId
from onehop.model.listener import ForwardHttp, Listener, Transport
from onehop.model.problem import Problem, Reason

HTTP_PORT: Final = 80
TLS_PORT: Final = 443
"""Where CAs look by TLS (RFC 8737, section 3)."""


class PlainPort(msgspec.Struct, frozen=True, gc=False):
    """Port 80 of an address, where HTTP is spoken.

    Attributes:
        router: where the answers to CAs stand.
        is_awaited: whether somebody there asks for certificates that are proven so.
        listener: made for CAs alone; None where it is a Gateway's own.
    """

    router: RouterId
    is_awaited: bool
    listener: Listener | None = None


def _compute(reader: Reader, address: IpAddr) -> Cell[PlainPort]:
    gateways = reader.where(GATEWAYS_AT, address)
    asks = [ask for each in gateways for ask in reader.unordered(ASKS_OF_GATEWAY, each.owner)]
    asks.sort(key=_age)
    others = (*gateways, *reader.where(SERVICES_AT, address))
    problems = tuple(_without_tls(address, asks, gateways))
    awaited = [ask for ask in asks if ask.issuer.has_http]
    holder = _holder(others, HTTP_PORT)
    if holder is None:
        return Cell(_opened(reader, address, awaited), problems)
    if not _speaks_http(reader, holder):
        return Cell(None, (*problems, *_taken(address, asks, holder)))
    return Cell(PlainPort(router_of(holder, HTTP_PORT), bool(awaited)), problems)


def _age(ask: Ask) -> tuple[str, str, str]:
    return ask.age_key


def _holder(placements: Sequence[Placement], port: int) -> ObjectRef | None:
    found = (each.owner for each in placements if (port, Transport.TCP) in each.ports)
    return next(found, None)


def _speaks_http(reader: Reader, holder: ObjectRef) -> bool:
    intent = reader.get(GATEWAY_INTENTS, holder)
    listener = intent.sockets().get((HTTP_PORT, Transport.TCP)) if intent is not None else None
    return listener is not None and listener.protocol is Protocol.HTTP


def _opened(reader: Reader, address: IpAddr, asks: Sequence[Ask]) -> PlainPort | None:
    """Return the port as it is opened for CAs, if anybody there needs it."""
    if not asks:
        return None
    listener = Listener(
        id=ListenerId(f"acme@{address}"),
        owner=asks[0].gateway,
        address=address,
        port=HTTP_PORT,
        handler=ForwardHttp(
            router=ACME_ROUTER, tls=False, trusted_hops=options_of(reader).trusted_hops
        ),
    )
    return PlainPort(ACME_ROUTER, is_awaited=True, listener=listener)


def _taken(address: IpAddr, asks: Sequence[Ask], holder: ObjectRef) -> Iterator[Problem]:
    for ask in asks:
        if not (ask.issuer.has_dns or ask.issuer.has_tls):
            what = f"port {HTTP_PORT} of {address}, which is {holder}'s and speaks no HTTP"
            advice = "share no address with it, or ask an issuer with another solver"
            yield _unprovable(ask, f"by HTTP on {what}; {advice}")


def _without_tls(
    address: IpAddr, asks: Sequence[Ask], gateways: Sequence[Placement]
) -> Iterator[Problem]:
    """Tell those that can be proven on port 443 alone, where no TLS ends."""
    ends_tls = any(
        listener.port == TLS_PORT
        and isinstance(listener.handler, ForwardHttp)
        and listener.handler.tls
        and listener.address == address
        for each in gateways
        for listener in each.listeners
    )
    for ask in asks if not ends_tls else ():
        if not (ask.issuer.has_dns or ask.issuer.has_http):
            what = f"port {TLS_PORT} of {address}, where no TLS ends"
            advice = "give a listener that port, or ask an issuer with another solver"
            yield _unprovable(ask, f"by TLS on {what}; {advice}")


def _unprovable(ask: Ask, how: str) -> Problem:
    return Problem(
        subject=ask.ref,
        field=ask.field,
        reason=Reason.UNSUPPORTED,
        message=f"issuer {ask.issuer.name} would look at the hosts {how}",
    )


PLAIN_PORTS: Final = Derived[IpAddr, PlainPort]("plain-ports", _compute, (GATEWAY_ADDRESSES,))
PLAIN_PORT_LISTENERS: Final = Index[IpAddr, PlainPort, ListenerId](
    PLAIN_PORTS, "listener", lambda _, port: (port.listener.id,) if port.listener else ()
)
PLAIN_PORT_HOSTS: Final = Index[IpAddr, PlainPort, HostKey](
    PLAIN_PORTS, "host", lambda _, port: (HostKey(port.router, ANY),) if port.is_awaited else ()
)
"""The hosts of last resort, there before a CA comes: others need not notice when it does."""
