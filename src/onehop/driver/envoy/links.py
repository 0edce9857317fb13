"""Who points at whom: hosts and listeners at pools, listeners at routers and at challenges.

Of hosts also, which pools they try again in a way of their own; see `retry`.
"""

from collections.abc import Collection, Hashable, Iterable
from typing import TypeVar

from onehop.driver.envoy.retry import USUAL
from onehop.model.ident import CertificateId, PoolId, RouterId
from onehop.model.listener import ForwardHttp, Listener
from onehop.model.model import Row, RowKey, key_of
from onehop.model.route import Forward, VirtualHost

Target = TypeVar("Target", bound=Hashable)


class Links:
    """The pointing rows by what they point at; rows that point at nothing are passed over."""

    def __init__(self) -> None:
        self._users_of: dict[PoolId, set[RowKey]] = {}
        self._listeners_of: dict[RouterId, set[RowKey]] = {}
        self._challengers_of: dict[CertificateId, set[RowKey]] = {}
        self._choosers_of: dict[PoolId, set[RowKey]] = {}
        self._rechosen: set[PoolId] = set()

    def add(self, row: Row | None) -> None:
        """Note whom a row points at."""
        for pool in pools_of(row):
            self._users_of.setdefault(pool, set()).add(_key(row))
        for router in routers_of(row):
            self._listeners_of.setdefault(router, set()).add(_key(row))
        for certificate in challenges_of(row):
            self._challengers_of.setdefault(certificate, set()).add(_key(row))
        for pool in retried_apart(row):
            self._choosers_of.setdefault(pool, set()).add(_key(row))
            self._rechosen.add(pool)

    def remove(self, row: Row | None) -> None:
        """Forget whom a row pointed at."""
        for pool in pools_of(row):
            _discard(self._users_of, pool, _key(row))
        for router in routers_of(row):
            _discard(self._listeners_of, router, _key(row))
        for certificate in challenges_of(row):
            _discard(self._challengers_of, certificate, _key(row))
        for pool in retried_apart(row):
            _discard(self._choosers_of, pool, _key(row))
            self._rechosen.add(pool)

    def users_of(self, pool: PoolId) -> Collection[RowKey]:
        """Return the hosts and listeners that send traffic to a pool."""
        return self._users_of.get(pool, ())

    def listeners_of(self, router: RouterId) -> Collection[RowKey]:
        """Return the listeners that serve a router."""
        return self._listeners_of.get(router, ())

    def challengers_of(self, certificate: CertificateId) -> Collection[RowKey]:
        """Return the listeners that show a certificate to CAs."""
        return self._challengers_of.get(certificate, ())

    def is_retried_apart(self, pool: PoolId) -> bool:
        """Tell whether any host tries a pool again in a way of its own."""
        return pool in self._choosers_of

    def rechosen(self) -> Collection[PoolId]:
        """Return the pools for which that may have changed since this was asked last."""
        pools, self._rechosen = self._rechosen, set()
        return pools


def pools_of(row: Row | None) -> Iterable[PoolId]:
    """Yield the pools a row sends traffic to."""
    match row:
        case VirtualHost(routes=routes):
            for route in routes:
                if isinstance(route.action, Forward):
                    yield from route.action.targets
        case Listener(handler=handler):
            yield from handler.pools
        case _:
            return


def retried_apart(row: Row | None) -> Iterable[PoolId]:
    """Yield the pools that a host tries again in a way of its own."""
    if isinstance(row, VirtualHost):
        for route in row.routes:
            if isinstance(route.action, Forward) and route.action.retry != USUAL:
                yield from (share.pool for share in route.action.pools)


def routers_of(row: Row | None) -> Iterable[RouterId]:
    """Yield the routers a listener serves, if it serves any."""
    if isinstance(row, Listener) and isinstance(row.handler, ForwardHttp):
        yield from row.handler.routers


def challenges_of(row: Row | None) -> Iterable[CertificateId]:
    """Yield the certificates a listener shows to CAs."""
    if isinstance(row, Listener) and isinstance(row.handler, ForwardHttp):
        yield from (each.certificate for each in row.handler.challenges)


def _key(row: Row | None) -> RowKey:
    assert row is not None  # noqa: S101  nothing points at nothing
    return key_of(row)


def _discard(links: dict[Target, set[RowKey]], target: Target, key: RowKey) -> None:
    keys = links.get(target, set())
    keys.discard(key)
    if not keys:
        links.pop(target, None)
