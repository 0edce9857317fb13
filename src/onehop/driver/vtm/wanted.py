"""What our part of the unit shall be, kept up to date row by row.

Rendering all of ten thousand objects for an edit of one would make the edit as slow as a start. So
rows belong to groups that are rendered together, and a changed row renders its groups only.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar, assert_never

from onehop.driver.vtm.certificate import render_certificate
from onehop.driver.vtm.content import (
    AddressGroup,
    CertificateGroup,
    Content,
    Group,
    Kind,
    ListenerGroup,
    ObjectKey,
    PoolGroup,
)
from onehop.driver.vtm.listener import Served, render_address, render_listener
from onehop.driver.vtm.name import Names
from onehop.driver.vtm.pool import render_pool
from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate, ServerName
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import ListenerId, PoolId, RouterId
from onehop.model.listener import ForwardHttp, Listener, Vip
from onehop.model.model import Row, RowKey, Table, key_of
from onehop.model.pool import Pool
from onehop.model.route import Forward, VirtualHost

K = TypeVar("K")
R = TypeVar("R")


class Wanted:
    """Rows, and the objects that they become.

    Args:
        names: of one owner.
        machines: the traffic managers that carry addresses.
        raises: whether they shall have the addresses.
    """

    def __init__(self, names: Names, *, machines: Sequence[str] = (), raises: bool = True) -> None:
        self.rows: dict[RowKey, Row] = {}
        self.objects: dict[ObjectKey, Content] = {}
        self._names = names
        self._machines = machines
        self._raises = raises
        self._keys: dict[Group, frozenset[ObjectKey]] = {}
        self._group_of: dict[ObjectKey, Group] = {}
        self._pools: dict[PoolId, Pool] = {}
        self._awaiting: dict[PoolId, set[ListenerId]] = {}
        self._hosts: dict[RouterId, dict[str, VirtualHost]] = {}
        self._server_names: dict[RouterId, dict[str, ServerName]] = {}
        self._listeners: dict[ListenerId, Listener] = {}
        self._at: dict[str, set[ListenerId]] = {}
        self._of: dict[RouterId, set[ListenerId]] = {}

    def put(self, rows: Iterable[Row]) -> frozenset[ObjectKey]:
        """Take rows in; return the objects that may differ now, those that are no more included."""
        return self._render({group for row in rows for group in self._take(key_of(row), row)})

    def remove(self, keys: Iterable[RowKey]) -> frozenset[ObjectKey]:
        """Drop rows; return the objects that may differ now."""
        return self._render({group for key in keys for group in self._take(key, None)})

    def set_machines(self, machines: Sequence[str]) -> frozenset[ObjectKey]:
        """Take in which traffic managers there are; return the objects that may differ now."""
        if machines == self._machines:
            return frozenset()
        self._machines = machines
        return self._render(self._addresses())

    def set_raised(self, *, raises: bool) -> frozenset[ObjectKey]:
        """Have the addresses raised, or lowered; return the objects that may differ now."""
        self._raises = raises
        return self._render(self._addresses())

    @property
    def addresses(self) -> frozenset[IpAddr]:
        """All that something is served on."""
        return frozenset(IpAddr(group.id) for group in self._addresses())

    def serves(self, router: RouterId) -> bool:
        """Tell whether some listener serves the hosts of a router."""
        return bool(self._of.get(router))

    def rows_behind(self, key: ObjectKey) -> tuple[RowKey, ...]:
        """Return the rows that an object was made from, the likeliest to be at fault first."""
        match self._group_of.get(key):
            case PoolGroup(id=pool):
                return RowKey(Table.POOL, pool), RowKey(Table.ENDPOINTS, pool)
            case CertificateGroup(id=certificate):
                return (RowKey(Table.CERTIFICATE, certificate),)
            case AddressGroup(id=address):
                at = sorted(self._at.get(address, ()))
                return RowKey(Table.VIP, address), *(RowKey(Table.LISTENER, each) for each in at)
            case ListenerGroup(id=id_):
                own = (RowKey(Table.LISTENER, id_),)
                behind = self._behind(self._listeners[id_])
                hosts, names = map(key_of, behind.hosts), map(key_of, behind.server_names)
                is_server = key.kind is Kind.SERVER
                return (*own, *names, *hosts) if is_server else (*hosts, *own)
            case None:
                return ()

    def _addresses(self) -> tuple[AddressGroup, ...]:
        return tuple(group for group in self._keys if isinstance(group, AddressGroup))

    def _take(self, key: RowKey, row: Row | None) -> Iterator[Group]:
        old = self.rows.pop(key, None)
        if row is not None:
            self.rows[key] = row
        for each, is_new in ((old, False), (row, True)):
            if each is not None:
                yield from self._index(each, is_new=is_new)

    def _index(self, row: Row, *, is_new: bool) -> Iterator[Group]:
        match row:
            case Pool(id=id_):
                _keep(self._pools, id_, row, is_new=is_new)
                yield PoolGroup(id_)
                yield from map(ListenerGroup, self._awaiting.pop(id_, ()))
            case PoolEndpoints(pool=pool):
                yield PoolGroup(pool)
            case Certificate(id=id_):
                yield CertificateGroup(id_)
            case Vip(address=address):
                yield AddressGroup(address)
            case Listener(id=id_, address=address, handler=handler):
                _keep(self._listeners, id_, row, is_new=is_new)
                _note(self._at, address, id_, is_new=is_new)
                if isinstance(handler, ForwardHttp):
                    _note(self._of, handler.router, id_, is_new=is_new)
                yield ListenerGroup(id_)
                yield AddressGroup(address)
            case VirtualHost(router=router):
                _keep(self._hosts.setdefault(router, {}), row.id, row, is_new=is_new)
                yield from self._serving(router)
            case ServerName(router=router):
                _keep(self._server_names.setdefault(router, {}), row.id, row, is_new=is_new)
                yield from self._serving(router)
            case _:
                assert_never(row)

    def _serving(self, router: RouterId) -> Iterator[Group]:
        yield from map(ListenerGroup, self._of.get(router, ()))

    def _render(self, groups: Iterable[Group]) -> frozenset[ObjectKey]:
        touched: set[ObjectKey] = set()
        for group in groups:
            objects = self._objects(group)
            touched |= self._keys.get(group, frozenset()) | objects.keys()
            for key in self._keys.pop(group, frozenset()):
                self.objects.pop(key, None)
                self._group_of.pop(key, None)
            if objects:
                self.objects |= objects
                self._keys[group] = frozenset(objects)
                self._group_of |= dict.fromkeys(objects, group)
        return frozenset(touched)

    def _objects(self, group: Group) -> dict[ObjectKey, Content]:
        match group:
            case PoolGroup(id=pool_id):
                pool = self._pools.get(pool_id)
                if pool is None:
                    return {}
                return render_pool(pool, self._endpoints(pool_id), self._names)
            case CertificateGroup(id=id_):
                row = self.rows.get(RowKey(Table.CERTIFICATE, id_))
                return render_certificate(row, self._names) if isinstance(row, Certificate) else {}
            case AddressGroup(id=address):
                is_used = RowKey(Table.VIP, address) in self.rows or self._at.get(address)
                if not is_used:
                    return {}
                raises = self._raises
                return render_address(address, self._machines, self._names, is_raised=raises)
            case ListenerGroup(id=listener_id):
                listener = self._listeners.get(listener_id)
                if listener is None:
                    return {}
                return render_listener(listener, self._behind(listener), self._names)
            case _:
                assert_never(group)

    def _endpoints(self, pool: PoolId) -> tuple[Endpoint, ...]:
        row = self.rows.get(RowKey(Table.ENDPOINTS, pool))
        return row.endpoints if isinstance(row, PoolEndpoints) else ()

    def _behind(self, listener: Listener) -> Served:
        if not isinstance(listener.handler, ForwardHttp):
            return Served(pools=self._pools)
        router = listener.handler.router
        hosts = tuple(self._hosts.get(router, {}).values())
        for missing in {pool for host in hosts for pool in _pools_of(host)} - self._pools.keys():
            self._awaiting.setdefault(missing, set()).add(listener.id)
        names = tuple(self._server_names.get(router, {}).values())
        return Served(hosts=hosts, server_names=names, pools=self._pools)


def _pools_of(host: VirtualHost) -> Iterator[PoolId]:
    for route in host.routes:
        if isinstance(route.action, Forward):
            yield from route.action.targets


def _keep(table: dict[K, R], key: K, row: R, *, is_new: bool) -> None:
    if is_new:
        table[key] = row
    else:
        table.pop(key, None)


def _note(table: dict[K, set[ListenerId]], key: K, listener: ListenerId, *, is_new: bool) -> None:
    if is_new:
        table.setdefault(key, set()).add(listener)
    else:
        table.get(key, set()).discard(listener)
