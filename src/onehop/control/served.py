"""What the data plane has been asked to serve: the newest rows, by key."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import TypeVar

from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate, is_challenge
from onehop.model.endpoint import Path, PoolEndpoints
from onehop.model.ident import CertificateId, ListenerId, ObjectRef, RouterId
from onehop.model.listener import ForwardHttp, Listener, Vip
from onehop.model.model import Change, Model, Row, RowKey, Table, key_of, model_of
from onehop.model.route import VirtualHost

G = TypeVar("G", bound=Hashable)
M = TypeVar("M", bound=Hashable)


class Served:
    """A Model one can change row by row; changing it costs what the change costs."""

    def __init__(self) -> None:
        self._rows: dict[RowKey, Row] = {}
        self._listeners_of: dict[ObjectRef, set[ListenerId]] = {}
        self._listeners_at: dict[IpAddr, set[ListenerId]] = {}
        self._challenged: dict[ListenerId, None] = {}
        self._hosts_of: dict[RouterId, set[RowKey]] = {}
        self._vips: dict[IpAddr, tuple[ObjectRef, ...]] = {}
        self._certificates: dict[CertificateId, Certificate] = {}
        self.counts: Counter[Table] = Counter()
        self.paths: Counter[Path] = Counter()

    def __contains__(self, key: RowKey) -> bool:
        return key in self._rows

    def row(self, key: RowKey) -> Row | None:
        """Return a row, or None."""
        return self._rows.get(key)

    def rows(self) -> tuple[Row, ...]:
        """Return all rows, in no particular order."""
        return tuple(self._rows.values())

    def endpoints(self, pool: str) -> PoolEndpoints | None:
        """Return the members of a pool, or None if it is not served."""
        row = self._rows.get(RowKey(Table.ENDPOINTS, pool))
        return row if isinstance(row, PoolEndpoints) else None

    def vips(self) -> Mapping[IpAddr, tuple[ObjectRef, ...]]:
        """Return the addresses that are served, and for whom."""
        return dict(self._vips)

    def certificates(self) -> Mapping[CertificateId, Certificate]:
        """Return the certificates that clients are shown; each id says which Secret it is from."""
        return dict(self._certificates)

    def listener(self, name: ListenerId) -> Listener | None:
        """Return a listener, or None if it is not served."""
        row = self._rows.get(RowKey(Table.LISTENER, name))
        return row if isinstance(row, Listener) else None

    def listeners_of(self, owner: ObjectRef) -> frozenset[ListenerId]:
        """Return the listeners that are served for one object."""
        return frozenset(self._listeners_of.get(owner, ()))

    def listeners_at(self, address: IpAddr) -> Iterator[Listener]:
        """Yield the listeners of an address, in no particular order."""
        for name in self._listeners_at.get(address, ()):
            row = self.listener(name)
            if row is not None:
                yield row

    def challenged(self) -> Iterator[tuple[Listener, ForwardHttp]]:
        """Yield the listeners that show certificates to CAs that look just now."""
        for name in self._challenged:
            row = self.listener(name)
            if row is not None and isinstance(row.handler, ForwardHttp):
                yield row, row.handler

    def hosts_of(self, router: RouterId) -> Iterator[VirtualHost]:
        """Yield the virtual hosts of a router, in no particular order."""
        for key in self._hosts_of.get(router, ()):
            row = self._rows.get(key)
            if isinstance(row, VirtualHost):
                yield row

    def take(self, change: Change) -> None:
        """Become what the change makes of this."""
        for row in change.upserts:
            key = key_of(row)
            old = self._rows.get(key)
            if old is None:
                self.counts[key.table] += 1
            if isinstance(row, PoolEndpoints):
                self.paths.update(endpoint.path for endpoint in row.endpoints)
            if isinstance(old, PoolEndpoints):
                self.paths.subtract(endpoint.path for endpoint in old.endpoints)
            self._rows[key] = row
            self._note(row, old)
        for key in change.removals:
            gone = self._rows.pop(key, None)
            if gone is not None:
                self.counts[key.table] -= 1
                self._forget(gone)

    def _note(self, row: Row, old: Row | None) -> None:
        if isinstance(row, Listener):
            if isinstance(old, Listener) and old.address != row.address:
                _discard(self._listeners_at, old.address, old.id)
            self._listeners_at.setdefault(row.address, set()).add(row.id)
            self._challenged.pop(row.id, None)
            if isinstance(row.handler, ForwardHttp) and row.handler.challenges:
                self._challenged[row.id] = None
            if row.owner is not None:
                self._listeners_of.setdefault(row.owner, set()).add(row.id)
        elif isinstance(row, VirtualHost):
            self._hosts_of.setdefault(row.router, set()).add(key_of(row))
        elif isinstance(row, Vip):
            self._vips[row.address] = row.owners
        elif isinstance(row, Certificate) and not is_challenge(row.id):
            self._certificates[row.id] = row

    def _forget(self, row: Row) -> None:
        if isinstance(row, PoolEndpoints):
            self.paths.subtract(endpoint.path for endpoint in row.endpoints)
        if isinstance(row, Listener):
            _discard(self._listeners_at, row.address, row.id)
            self._challenged.pop(row.id, None)
            if row.owner is not None:
                _discard(self._listeners_of, row.owner, row.id)
        elif isinstance(row, VirtualHost):
            _discard(self._hosts_of, row.router, key_of(row))
        elif isinstance(row, Vip):
            del self._vips[row.address]
        elif isinstance(row, Certificate):
            self._certificates.pop(row.id, None)

    def change_to(self, want: Model) -> Change:
        """Return what leads from here to `want`; its cost grows with both."""
        new = {key_of(row): row for row in want.rows()}
        return Change(
            upserts=tuple(row for key, row in new.items() if self._rows.get(key) != row),
            removals=tuple(key for key in self._rows if key not in new),
        )

    def model(self) -> Model:
        """Return the whole; its cost grows with the cluster."""
        return model_of(self._rows.values())


def _discard(groups: dict[G, set[M]], group: G, member: M) -> None:
    members = groups.get(group, set())
    members.discard(member)
    if not members:
        groups.pop(group, None)
