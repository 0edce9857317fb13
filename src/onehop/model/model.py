"""The whole of what shall be served, and the difference between two of them.

A `Model` is for what needs the whole: golden files, the copy on disk, a first plan. What moves
through the running program is a `Change`: the rows that differ, so that nothing on the way from
one edit to the data plane grows with the size of the cluster.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TypeAlias

import msgspec

from onehop.model.certificate import Certificate, ServerName
from onehop.model.endpoint import PoolEndpoints
from onehop.model.listener import Listener, Vip
from onehop.model.pool import Pool
from onehop.model.route import VirtualHost

Row: TypeAlias = Vip | Certificate | ServerName | Pool | PoolEndpoints | Listener | VirtualHost


class Table(StrEnum):
    """The tables of a Model, by the tag of their rows."""

    VIP = "vip"
    CERTIFICATE = "certificate"
    SERVER_NAME = "server-name"
    POOL = "pool"
    ENDPOINTS = "endpoints"
    LISTENER = "listener"
    HOST = "host"


class RowKey(msgspec.Struct, frozen=True, gc=False, order=True):
    """Which row of which table."""

    table: Table
    id: str


_TABLES: dict[type, Table] = {
    Vip: Table.VIP,
    Certificate: Table.CERTIFICATE,
    ServerName: Table.SERVER_NAME,
    Pool: Table.POOL,
    PoolEndpoints: Table.ENDPOINTS,
    Listener: Table.LISTENER,
    VirtualHost: Table.HOST,
}


def key_of(row: Row) -> RowKey:
    """Return the row's place in a Model."""
    return RowKey(_TABLES[type(row)], row.id)


class Change(msgspec.Struct, frozen=True, gc=False):
    """What turns one Model into another; at most one entry per key over both fields."""

    upserts: tuple[Row, ...] = ()
    removals: tuple[RowKey, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.upserts or self.removals)

    def then(self, later: "Change") -> "Change":
        """Return the one Change that does this and then `later`."""
        merged: dict[RowKey, Row | None] = {
            **{key_of(row): row for row in self.upserts},
            **dict.fromkeys(self.removals),
            **{key_of(row): row for row in later.upserts},
            **dict.fromkeys(later.removals),
        }
        return _change(merged.items())


class Model(msgspec.Struct, frozen=True, gc=False):
    """Everything that is served, each table sorted by id: equal meaning is equal bytes."""

    vips: tuple[Vip, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    server_names: tuple[ServerName, ...] = ()
    pools: tuple[Pool, ...] = ()
    endpoints: tuple[PoolEndpoints, ...] = ()
    listeners: tuple[Listener, ...] = ()
    hosts: tuple[VirtualHost, ...] = ()

    def rows(self) -> Iterator[Row]:
        """Yield every row, table by table."""
        yield from self.vips
        yield from self.certificates
        yield from self.server_names
        yield from self.pools
        yield from self.endpoints
        yield from self.listeners
        yield from self.hosts


def model_of(rows: Iterable[Row]) -> Model:
    """Return the Model that holds exactly these rows; a later row replaces one of the same key."""
    unique = {key_of(row): row for row in rows}
    ordered = [row for _, row in sorted(unique.items())]
    return Model(
        vips=tuple(row for row in ordered if isinstance(row, Vip)),
        certificates=tuple(row for row in ordered if isinstance(row, Certificate)),
        server_names=tuple(row for row in ordered if isinstance(row, ServerName)),
        pools=tuple(row for row in ordered if isinstance(row, Pool)),
        endpoints=tuple(row for row in ordered if isinstance(row, PoolEndpoints)),
        listeners=tuple(row for row in ordered if isinstance(row, Listener)),
        hosts=tuple(row for row in ordered if isinstance(row, VirtualHost)),
    )


def change_between(have: Model, want: Model) -> Change:
    """Return what turns `have` into `want`."""
    old = {key_of(row): row for row in have.rows()}
    new = {key_of(row): row for row in want.rows()}
    return Change(
        upserts=tuple(row for key, row in new.items() if old.get(key) != row),
        removals=tuple(key for key in old if key not in new),
    )


def with_change(model: Model, change: Change) -> Model:
    """Return the Model after the change."""
    gone = set(change.removals)
    kept = (row for row in model.rows() if key_of(row) not in gone)
    return model_of((*kept, *change.upserts))


def _change(entries: Iterable[tuple[RowKey, Row | None]]) -> Change:
    upserts: list[Row] = []
    removals: list[RowKey] = []
    for key, row in entries:
        if row is None:
            removals.append(key)
        else:
            upserts.append(row)
    return Change(tuple(upserts), tuple(removals))
