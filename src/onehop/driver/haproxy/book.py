"""The rows, and what they come to, kept up to date: an edit costs what it edits, not what there is.

A row that changes makes a few pieces stale (`index`): its own, and those that look at it. `settle`
makes these anew, by the functions of `piece`, and says which entries that touched. A book that is
given all rows at once makes every piece in the same way: that is rendering from scratch.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from onehop.driver.haproxy.identity import identity_file
from onehop.driver.haproxy.index import (
    CHOICE,
    CHOOSING,
    IDENTITY,
    MADE,
    POLICY,
    SERVERS,
    SWITCH,
    TIMED,
    WILDCARD,
    Index,
    PieceKey,
)
from onehop.driver.haproxy.listener import bytes_to, frontend_name
from onehop.driver.haproxy.match import names_over
from onehop.driver.haproxy.options import HaproxyOptions
from onehop.driver.haproxy.piece import (
    Certificates,
    choice_piece,
    choosing_piece,
    frame,
    host_piece,
    identity_piece,
    listener_piece,
    made_piece,
    name_piece,
    policy_piece,
    pool_piece,
    servers_piece,
    switch_piece,
    timed_piece,
    wildcard_piece,
)
from onehop.driver.haproxy.rendered import NOTHING, Rendered, Touched, nothing
from onehop.driver.haproxy.retry import USUAL, Attempts
from onehop.driver.haproxy.share import pool_name
from onehop.driver.haproxy.tls import certificate_file, challenger, staple_file
from onehop.model.certificate import Certificate
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import CertificateId, HostId, ListenerId, PoolId, RouterId
from onehop.model.listener import ForwardHttp, Listener
from onehop.model.model import Row, RowKey, Table, key_of
from onehop.model.pool import BackendProtocol, Persistence, Pool, SourceIpPersistence
from onehop.model.route import VirtualHost


class Book:
    """Rows that HAProxy can have, all checked before.

    Args:
        options: how HAProxy is run.
    """

    def __init__(self, options: HaproxyOptions) -> None:
        self.rows: dict[RowKey, Row] = {}
        self.rendered = nothing()
        """What the rows came to when they were settled last."""
        self._options = options
        self._place = options.place
        self._is_leaving = False
        self._index = Index()
        self._pieces: dict[PieceKey, Rendered] = {}
        self._holders: Counter[str] = Counter()
        self._replace({PieceKey("frame", ""): frame(self._place)})

    # Rows

    def put(self, row: Row) -> None:
        """Take a row in, in place of the one of its key."""
        key = key_of(row)
        known = self.rows.get(key)
        if known == row:
            return
        if known is not None:
            self._index.note(known, -1)
        self.rows[key] = row
        self._index.note(row, 1)

    def remove(self, key: RowKey) -> None:
        """Forget a row; one that is not there is passed over."""
        known = self.rows.pop(key, None)
        if known is not None:
            self._index.note(known, -1)

    def restore(self, before: Mapping[RowKey, Row | None]) -> None:
        """Bring back what was there; None is nothing."""
        for key, row in before.items():
            if row is None:
                self.remove(key)
            else:
                self.put(row)

    def set_leaving(self, *, is_leaving: bool) -> None:
        """Say whether clients are sent away."""
        self._is_leaving = is_leaving
        self._index.stale.add(PieceKey(SWITCH, ""))

    def settle(self) -> Touched:
        """Bring `rendered` up to date, and return which entries that touched."""
        stale, self._index.stale = self._index.stale, set()
        return self._replace({key: self._piece(key) for key in stale})

    # Looking things up

    def pool(self, pool: PoolId) -> Pool | None:
        """Return the row of a pool."""
        row = self.rows.get(RowKey(Table.POOL, pool))
        return row if isinstance(row, Pool) else None

    def members(self, pool: PoolId) -> PoolEndpoints | None:
        """Return the endpoints of a pool."""
        row = self.rows.get(RowKey(Table.ENDPOINTS, pool))
        return row if isinstance(row, PoolEndpoints) else None

    def sections_of(self, pool: Pool) -> tuple[str, ...]:
        """Return the names of the backend sections that have the members of a pool."""
        return tuple(pool_name(pool.id, attempts) for attempts in self._attempts_of(pool))

    def _attempts_of(self, pool: Pool) -> tuple[Attempts, ...]:
        """Return what the sections of a pool differ in.

        The usual one is there where anybody wants it, or nobody anything; it has the table of
        clients that stay, which is one for all.
        """
        wanted = {*self._index.attempts.of(pool.id)}
        is_table = isinstance(pool.persistence, SourceIpPersistence)
        if not wanted or is_table or self._index.silences.of(pool.id):
            wanted.add(USUAL)
        return tuple(sorted(wanted))

    def listeners(self) -> Iterable[Listener]:
        """Return the listeners that there are."""
        return self._index.listeners.values()

    def why_not_passed(self, row: Row) -> str | None:
        """Return why bytes cannot be passed on as a listener wants: HAProxy has one mode a pool."""
        passed = bytes_to(row) if isinstance(row, Listener) else ()
        for pool in (self.pool(each) for each, _ in passed):
            if pool is not None and pool.protocol is not BackendProtocol.TCP:
                return f"passes bytes on to {pool.id}, which speaks {pool.protocol}: use a TCP pool"
        return None

    def words_of(self, key: RowKey) -> set[str]:
        """Return what HAProxy would call things of a row, if it complained of them."""
        if key.table is Table.HOST:
            entries = self._index.entries[HostId(key.id)]
            return {*entries.policies, *entries.choices}
        if key.table is Table.CERTIFICATE:
            certificate = CertificateId(key.id)
            files = {*self._files_of(certificate), identity_file(certificate, self._place)}
            return files | {staple_file(file) for file in files}
        piece = self._pieces.get(PieceKey(key.table, key.id), NOTHING)
        of_pool = piece.files if key.table is Table.POOL else ()
        return {*(first.partition(" ")[2] for first in piece.sections), *of_pool}

    def _files_of(self, certificate: CertificateId) -> Iterator[str]:
        for router, hostname in self._index.shown.of(certificate):
            for listener in self._index.tls_listeners.of(router):
                yield certificate_file(frontend_name(listener), hostname, self._place)
        for listener in self._index.challengers.of(certificate):
            handler = self._index.listeners[listener].handler
            assert isinstance(handler, ForwardHttp)  # noqa: S101  no other one has challenges
            for each in handler.challenges:
                shown_by = challenger(frontend_name(listener))
                yield certificate_file(shown_by, each.hostname, self._place)

    def _certificate(self, certificate: CertificateId) -> Certificate | None:
        row = self.rows.get(RowKey(Table.CERTIFICATE, certificate))
        return row if isinstance(row, Certificate) else None

    def _shown_for(self, router: RouterId, hostname: str) -> Certificate | None:
        name = self._index.names.get(router, {}).get(hostname)
        return None if name is None else self._certificate(name.certificate)

    def _persistence_of(self, pool: PoolId) -> Persistence | None:
        row = self.pool(pool)
        return None if row is None else row.persistence

    # Pieces

    def _replace(self, pieces: Mapping[PieceKey, Rendered]) -> Touched:
        """Put pieces in the place of those before them: all of these go before any new one comes.

        An entry may go over from one piece to another one.
        """
        touched = Touched()
        known = {key: self._pieces.pop(key, NOTHING) for key in pieces}
        for key, piece in pieces.items():
            if piece != known[key]:
                touched.add(known[key])
                self._take_out(known[key])
        for key, piece in pieces.items():
            if piece != known[key]:
                touched.add(piece)
                self._put_in(piece)
            if piece is not NOTHING:
                self._pieces[key] = piece
        return touched

    def _take_out(self, piece: Rendered) -> None:
        for table, gone in zip(self.rendered.flat, piece.flat, strict=True):
            for entry in gone:
                del table[entry]
        for tables, parts in zip(self.rendered.deep, piece.deep, strict=True):
            for path, gone in parts.items():
                for entry in gone:
                    del tables[path][entry]
                self._holders[path] -= 1
                if not self._holders[path]:
                    del tables[path], self._holders[path]

    def _put_in(self, piece: Rendered) -> None:
        for table, come in zip(self.rendered.flat, piece.flat, strict=True):
            table.update(come)
        for tables, parts in zip(self.rendered.deep, piece.deep, strict=True):
            for path, come in parts.items():
                tables.setdefault(path, {}).update(come)
                self._holders[path] += 1

    def _piece(self, key: PieceKey) -> Rendered:
        """Return what a row comes to now; nothing, if it is not there."""
        makers: dict[str, Callable[[PieceKey], Rendered]] = {
            Table.HOST: self._host_piece,
            Table.LISTENER: self._listener_piece,
            Table.SERVER_NAME: self._name_piece,
            Table.POOL: self._pool_piece,
            IDENTITY: self._identity_piece,
            SERVERS: self._servers_piece,
            POLICY: self._policy_piece,
            CHOICE: self._choice_piece,
            CHOOSING: self._choosing_piece,
            MADE: self._made_piece,
            TIMED: self._timed_piece,
            WILDCARD: self._wildcard_piece,
            SWITCH: lambda _: switch_piece(self._place, is_leaving=self._is_leaving),
        }
        return makers[key.kind](key)

    def _host_piece(self, key: PieceKey) -> Rendered:
        host = self.rows.get(RowKey(Table.HOST, key.id))
        if not isinstance(host, VirtualHost):
            return NOTHING
        entries = self._index.entries[host.id]
        names = (name for name in entries.named if self._taker(host.router, name) == host.id)
        return host_piece(entries, names, self._place)

    def _taker(self, router: RouterId, name: str) -> HostId | None:
        """Return the host that takes requests for a name."""
        tried = (self._index.hosts.get((router, each)) for each in names_over(name))
        return next((host for host in tried if host is not None), None)

    def _listener_piece(self, key: PieceKey) -> Rendered:
        listener = self._index.listeners.get(ListenerId(key.id))
        if listener is None:
            return NOTHING
        handler = listener.handler
        router = handler.router if isinstance(handler, ForwardHttp) else RouterId("")
        certificates = Certificates(self._certificate, partial(self._shown_for, router))
        return listener_piece(listener, certificates, self._place, self._options)

    def _name_piece(self, key: PieceKey) -> Rendered:
        listener = self._index.listeners.get(ListenerId(key.of))
        if listener is None or not isinstance(listener.handler, ForwardHttp):
            return NOTHING
        handler = listener.handler
        certificate = self._shown_for(handler.router, key.id)
        is_checked = any(check.hostname == key.id for check in handler.client_checks)
        if certificate is None or is_checked or not handler.tls:
            return NOTHING
        return name_piece(listener, key.id, certificate, self._place)

    def _pool_piece(self, key: PieceKey) -> Rendered:
        pool = self.pool(PoolId(key.id))
        if pool is None:
            return NOTHING
        silence_s = max(self._index.silences.of(pool.id), default=0.0)
        return pool_piece(pool, self._attempts_of(pool), silence_s, self._place)

    def _servers_piece(self, key: PieceKey) -> Rendered:
        pool = self.pool(PoolId(key.id))
        if pool is None:
            return NOTHING
        members = self.members(pool.id) if self._may_connect(pool) else None
        return servers_piece(pool, members, self.sections_of(pool), self._place)

    def _may_connect(self, pool: Pool) -> bool:
        """Tell whether what the endpoints of a pool are shown is there."""
        shown = pool.tls.client if pool.tls is not None else None
        return shown is None or self._certificate(shown) is not None

    def _identity_piece(self, key: PieceKey) -> Rendered:
        certificate = self._certificate(CertificateId(key.id))
        if certificate is None or not self._index.identities.of(certificate.id):
            return NOTHING
        return identity_piece(certificate, self._place)

    def _policy_piece(self, key: PieceKey) -> Rendered:
        policy = self._index.policies.get(key.id)
        if policy is None:
            return NOTHING
        kinds = (is_tls for is_tls in (False, True) if self._index.kinds.of(is_tls))
        return policy_piece(policy, kinds, self._persistence_of)

    def _choice_piece(self, key: PieceKey) -> Rendered:
        choice = self._index.choices.get(key.id)
        return NOTHING if choice is None else choice_piece(choice)

    def _choosing_piece(self, _key: PieceKey) -> Rendered:
        return choosing_piece(self._place) if self._index.choices else NOTHING

    def _made_piece(self, key: PieceKey) -> Rendered:
        router = RouterId(key.id)
        if not self._index.splitters.of(router):
            return NOTHING  # no frontend looks anything up there
        return made_piece(router, self._index.made_for.of(router), self._place)

    def _timed_piece(self, _key: PieceKey) -> Rendered:
        return timed_piece(self._place) if self._index.timed.of(TIMED) else NOTHING

    def _wildcard_piece(self, key: PieceKey) -> Rendered:
        labels = int(key.id)
        return wildcard_piece(labels, self._place) if self._index.wildcards.of(labels) else NOTHING
