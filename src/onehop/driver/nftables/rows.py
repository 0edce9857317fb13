"""The rows that the driver serves, and which entrances a change of them touches; pure."""

from collections.abc import Iterator, KeysView

from onehop.driver.nftables.element import Entrance
from onehop.driver.nftables.wanted import entrance_at
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import ListenerId, PoolId
from onehop.model.listener import ForwardHttp, Listener
from onehop.model.model import Row, RowKey, Table, key_of
from onehop.model.pool import Pool


class Rows:
    """Pools, endpoints, addresses, and listeners that fit."""

    def __init__(self) -> None:
        self.stale: set[Entrance] = set()
        """Whose elements are to be made anew."""
        self._rows: dict[RowKey, Row] = {}
        self._listeners: dict[Entrance, Listener] = {}
        self._by_pool: dict[PoolId, set[ListenerId]] = {}
        self._left: set[PoolId] = set()

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    @property
    def entrances(self) -> KeysView[Entrance]:
        """Those that have a listener."""
        return self._listeners.keys()

    def put(self, row: Row) -> None:
        """Put a row in place of what had its key."""
        key = key_of(row)
        if isinstance(row, Listener):
            self.remove(key)
            self._listeners[entrance_at(row)] = row
            for pool in _pools(row):
                self._by_pool.setdefault(pool, set()).add(row.id)
        self._rows[key] = row
        self._touch(row)

    def remove(self, key: RowKey) -> None:
        """Take a row away, if it is there."""
        row = self._rows.pop(key, None)
        if row is None:
            return
        self._touch(row)
        if isinstance(row, Listener):
            if self._listeners.get(entrance_at(row)) == row:
                del self._listeners[entrance_at(row)]
            for pool in _pools(row):
                self._by_pool[pool].discard(row.id)
                if not self._by_pool[pool]:
                    del self._by_pool[pool]
                    self._left.add(pool)

    def touch(self, pool: PoolId) -> None:
        """Have everything that sends to a pool made anew."""
        self.stale.update(entrance_at(each) for each in self.listeners_of(pool))

    def listener_at(self, entrance: Entrance) -> Listener | None:
        """Return who has an entrance."""
        return self._listeners.get(entrance)

    def listeners_of(self, pool: PoolId) -> list[Listener]:
        """Return who sends to a pool."""
        rows = (self._rows[RowKey(Table.LISTENER, each)] for each in self._by_pool.get(pool, ()))
        return [row for row in rows if isinstance(row, Listener)]

    def pool(self, name: PoolId) -> Pool | None:
        """Return a pool."""
        row = self._rows.get(RowKey(Table.POOL, name))
        return row if isinstance(row, Pool) else None

    def pools_of(self, listener: Listener) -> list[Pool]:
        """Return where a listener sends."""
        pools = map(self.pool, _pools(listener))
        return [pool for pool in pools if pool is not None]

    def members(self, pool: PoolId) -> PoolEndpoints | None:
        """Return the members of a pool, if it was said who they are."""
        row = self._rows.get(RowKey(Table.ENDPOINTS, pool))
        return row if isinstance(row, PoolEndpoints) else None

    def endpoints(self, pool: PoolId) -> tuple[Endpoint, ...]:
        """Return the endpoints of a pool."""
        row = self.members(pool)
        return () if row is None else row.endpoints

    def pools_left(self) -> frozenset[PoolId]:
        """Return, once, the pools that nobody has sent to since this was asked."""
        left, self._left = self._left - self._by_pool.keys(), set()
        return frozenset(left)

    def _touch(self, row: Row) -> None:
        if isinstance(row, Listener):
            self.stale.add(entrance_at(row))
        elif isinstance(row, Pool | PoolEndpoints):
            self.touch(PoolId(row.id))


def _pools(listener: Listener) -> tuple[PoolId, ...]:
    handler = listener.handler
    return () if isinstance(handler, ForwardHttp) else handler.pools
