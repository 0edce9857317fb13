"""Answers to CAs on the addresses of Gateways; on the shared VIP they are `compile.proof`'s.

A host is answered for by every Gateway that has a listener for it, of whatever protocol and on
whatever port, and whoever asked for the certificate: DNS says which of them a CA comes to.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.compile.answers import ALL_CHALLENGES, ANSWERS, HTTP_HOSTS
from onehop.compile.gateway.attachment import ROUTED_HOSTS
from onehop.compile.gateway.gateway import GATEWAY_INTENTS, LISTENER_HOSTS, GatewayIntent
from onehop.compile.gateway.hostname import ANY, covers, names_over
from onehop.compile.gateway.placement import GATEWAY_PLACEMENTS, GATEWAYS_AT
from onehop.compile.gateway.plainport import PLAIN_PORTS, TLS_PORT
from onehop.compile.inputs import ONLY
from onehop.compile.proof import answer_to, narrowed
from onehop.compile.router import ACME_ROUTER, HostKey
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.address import IpAddr
from onehop.model.certificate import challenge_certificate, challenged
from onehop.model.ident import ObjectRef, RouterId
from onehop.model.listener import ForwardHttp, Listener, TlsChallenge
from onehop.model.route import Route


class GatewayProof(msgspec.Struct, frozen=True, gc=False):
    """The routes that prove a host, and the virtual hosts where they stand."""

    host: str
    routes: tuple[Route, ...]
    places: tuple[HostKey, ...]


def gateway_proofs_in(reader: Reader, key: HostKey) -> tuple[Route, ...]:
    """Return the routes that stand in a Gateway's virtual host before all others."""
    return tuple(
        route
        for proof in reader.where(GATEWAY_PROOFS_IN, key)
        for route in narrowed(proof.routes, proof.host, key)
    )


def addresses_for(reader: Reader, host: str) -> tuple[IpAddr, ...]:
    """Return the addresses of the Gateways that have a listener for a host."""
    return tuple(sorted({address for each in _gateways_for(reader, host) for address in each}))


def with_challenges(reader: Reader, listener: Listener) -> Listener:
    """Return a Gateway's listener with what CAs are shown there that look at a host by TLS."""
    handler = listener.handler
    if not isinstance(handler, ForwardHttp) or not handler.tls or listener.port != TLS_PORT:
        return listener
    shown = reader.where(ALL_CHALLENGES, ONLY)
    if not shown:
        return listener
    names = set(_names_at(reader, listener.address))
    challenges = tuple(
        TlsChallenge(hostname=host, certificate=challenge_certificate(host))
        for host in (challenged(certificate.id) for certificate in shown)
        if any(covers(name, host) for name in names)
    )
    return msgspec.structs.replace(
        listener, handler=msgspec.structs.replace(handler, challenges=challenges)
    )


def _compute(reader: Reader, host: str) -> Cell[GatewayProof]:
    routers: set[RouterId] = set()
    for address in addresses_for(reader, host):
        port = reader.get(PLAIN_PORTS, address)
        if port is not None:
            routers.add(port.router)
    if not routers:
        return Cell(None)
    places = tuple(sorted(_place(reader, router, host) for router in routers))
    routes = tuple(map(answer_to, reader.need(ANSWERS, host).http))
    return Cell(GatewayProof(host, routes, places))


def _gateways_for(reader: Reader, host: str) -> Iterator[tuple[IpAddr, ...]]:
    for name in names_over(host):
        for intent in reader.unordered(_BY_NAME, name):
            yield reader.need(GATEWAY_PLACEMENTS, intent.ref).addresses


def _names_at(reader: Reader, address: IpAddr) -> Iterator[str]:
    for placement in reader.unordered(GATEWAYS_AT, address):
        yield from _names(reader.need(GATEWAY_INTENTS, placement.owner))


def _names(intent: GatewayIntent) -> set[str]:
    return {listener.hostname for listener in intent.named()}


def _place(reader: Reader, router: RouterId, host: str) -> HostKey:
    """Return the virtual host that takes requests for a host on a router."""
    if router == ACME_ROUTER:
        return HostKey(router, ANY)
    keys = (HostKey(router, name) for name in names_over(host))
    there = (
        key for key in keys if reader.count(ROUTED_HOSTS, key) or reader.count(LISTENER_HOSTS, key)
    )
    return next(there, HostKey(router, ANY))


_BY_NAME: Final = Index[ObjectRef, GatewayIntent, str](
    GATEWAY_INTENTS, "name", lambda _, intent: _names(intent)
)
GATEWAY_PROOFS: Final = Derived[str, GatewayProof]("gateway-proofs", _compute, (HTTP_HOSTS,))
GATEWAY_PROOFS_IN: Final = Index[str, GatewayProof, HostKey](
    GATEWAY_PROOFS, "place", lambda _, proof: proof.places
)
