"""Pools: one for each distinct wish, however many routes and listeners share it."""

from typing import Final

from onehop.compile.gateway.routepool import ROUTE_WISHES
from onehop.compile.ingress import INGRESS_WISHES
from onehop.compile.service import SERVICE_WISHES
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.compile.wish import Wish
from onehop.model.ident import PoolId


def _wish(reader: Reader, pool: PoolId) -> Cell[Wish]:
    # The id says all of the wish, so everybody who asks for the id asks for the same.
    service, ingress = reader.any(SERVICE_WISHES, pool), reader.any(INGRESS_WISHES, pool)
    wishes = [port.wish for port in service.ports] if service else []
    route = reader.any(ROUTE_WISHES, pool)
    wishes += ingress.wishes if ingress else ()
    wishes += route.wishes if route else ()
    return Cell(next(wish for wish in wishes if wish.pool.id == pool))


WISHES: Final = Derived[PoolId, Wish](
    "wishes", _wish, (SERVICE_WISHES, INGRESS_WISHES, ROUTE_WISHES)
)
WISH_IDS: Final = Index[PoolId, Wish, PoolId](WISHES, "id", lambda pool, _: (pool,))
