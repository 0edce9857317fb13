"""The pools of a route, as the Gateways that it is attached to speak to them.

A route knows its pools, and its Gateways know what is shown to endpoints there. The same route may
be on Gateways that show different certificates, so a pool that is spoken to by TLS becomes one for
each of them.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from onehop.compile.gateway.attachment import ATTACHED_REFS, ATTACHMENTS
from onehop.compile.gateway.gateway import GATEWAY_INTENT_REFS, GATEWAY_INTENTS
from onehop.compile.gateway.route import ROUTE_RULES
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.compile.wish import Wish, as_client
from onehop.model.ident import CertificateId, ObjectRef, PoolId
from onehop.model.listener import StreamShare
from onehop.model.route import Forward, Mirror

Shown = Mapping[PoolId, PoolId]
"""What stands for a pool whose endpoints are shown a certificate; others stand for themselves."""


class RoutePools(msgspec.Struct, frozen=True, gc=False):
    """The pools of a route.

    Attributes:
        wishes: all of them, whichever Gateway sends to them.
        shown: by Gateway, what stands for the pools that the rules name.
    """

    wishes: tuple[Wish, ...]
    shown: Mapping[ObjectRef, Shown]


def shown_at(reader: Reader, route: ObjectRef, gateway: ObjectRef) -> Shown:
    """Return what stands for a route's pools where requests come by a Gateway."""
    return reader.need(ROUTE_POOLS, route).shown.get(gateway, {})


def with_shown(action: Forward, shown: Shown) -> Forward:
    """Return an action that sends to the pools which stand for those that it names."""
    pools = tuple(
        msgspec.structs.replace(
            share,
            pool=shown.get(share.pool, share.pool),
            mirrors=_mirrors_shown(share.mirrors, shown),
        )
        for share in action.pools
    )
    return msgspec.structs.replace(
        action, pools=pools, mirrors=_mirrors_shown(action.mirrors, shown)
    )


def _mirrors_shown(mirrors: tuple[Mirror, ...], shown: Shown) -> tuple[Mirror, ...]:
    return tuple(Mirror(shown.get(each.pool, each.pool), each.per_million) for each in mirrors)


def shares_shown(shares: tuple[StreamShare, ...], shown: Shown) -> tuple[StreamShare, ...]:
    """Return shares of a stream with the pools which stand for those that they name."""
    return tuple(
        StreamShare(shown.get(share.pool, share.pool), share.weight) if share.pool else share
        for share in shares
    )


def _compute(reader: Reader, ref: ObjectRef) -> Cell[RoutePools]:
    named = reader.need(ROUTE_RULES, ref).wishes
    has_tls = any(wish.pool.tls is not None for wish in named)
    gateways = {each.gateway for each in reader.need(ATTACHMENTS, ref).parents if has_tls}
    by_gateway = {each: _known_as(reader, each, named) for each in sorted(gateways)} or {ref: named}
    wishes = {wish.pool.id: wish for wishes in by_gateway.values() for wish in wishes}
    shown = {gateway: dict(_replaced(named, wishes)) for gateway, wishes in by_gateway.items()}
    return Cell(
        RoutePools(
            wishes=tuple(wishes[pool] for pool in sorted(wishes)),
            shown={gateway: replaced for gateway, replaced in shown.items() if replaced},
        )
    )


def _known_as(reader: Reader, gateway: ObjectRef, named: tuple[Wish, ...]) -> tuple[Wish, ...]:
    certificate = reader.get(_CLIENTS, gateway)
    if certificate is None:
        return named
    return tuple(as_client(wish, certificate) for wish in named)


def _replaced(named: tuple[Wish, ...], wishes: tuple[Wish, ...]) -> Iterator[tuple[PoolId, PoolId]]:
    for old, new in zip(named, wishes, strict=True):
        if old.pool.id != new.pool.id:
            yield old.pool.id, new.pool.id


def _client(reader: Reader, gateway: ObjectRef) -> Cell[CertificateId]:
    identity = reader.need(GATEWAY_INTENTS, gateway).identity
    return Cell(identity.certificate if identity is not None else None)


_CLIENTS: Final = Derived[ObjectRef, CertificateId](
    "gateway-clients", _client, (GATEWAY_INTENT_REFS,)
)
ROUTE_POOLS: Final = Derived[ObjectRef, RoutePools]("route-pools", _compute, (ATTACHED_REFS,))
ROUTE_WISHES: Final = Index[ObjectRef, RoutePools, PoolId](
    ROUTE_POOLS, "pool", lambda _, pools: [wish.pool.id for wish in pools.wishes]
)
ROUTE_POOL_TABLES: Final = (_CLIENTS, ROUTE_POOLS)
