"""Pools: one for each distinct wish, however many routes and listeners share it."""

from typing import Final

from onehop.compile.ingress import INGRESS_WISHES
from onehop.compile.service import SERVICE_WISHES
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.compile.wish import Wish
from onehop.model.ident import PoolId


def _wish(reader: Reader, pool: PoolId) -> Cell[Wish]:
    # The id says all of the wish, so everybody who asks for the id asks for the same.
    service = reader.any(SERVICE_WISHES, pool)
    if service is not None:
        return Cell(next(p.wish for p in service.ports if p.wish.pool.id == pool))
    ingress = reader.any(INGRESS_WISHES, pool)
    if ingress is not None:
        return Cell(next(wish for wish in ingress.wishes if wish.pool.id == pool))
    return Cell(None)


WISHES: Final = Derived[PoolId, Wish]("wishes", _wish, (SERVICE_WISHES, INGRESS_WISHES))
WISH_IDS: Final = Index[PoolId, Wish, PoolId](WISHES, "id", lambda pool, _: (pool,))
