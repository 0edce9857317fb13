"""Rows in, resources out: which of Envoy's resources a row of the Model becomes.

Most rows become one resource of their own. Six relations cross tables, and only these: a host
shows the persistence of its pools, a pool whether all hosts try it again alike, a listener says
whether its pool is transparent and holds the certificates of its challenges, a router lives as long
as a listener serves it, and a certificate appears under every name that it answers.
"""

from collections.abc import Iterable
from typing import assert_never

from onehop.driver.envoy.cache import ResourceCache
from onehop.driver.envoy.challenge import challenge_chains
from onehop.driver.envoy.cluster import encode_cluster
from onehop.driver.envoy.endpoints import render_endpoints
from onehop.driver.envoy.http import render_http
from onehop.driver.envoy.links import Links, routers_of
from onehop.driver.envoy.listener import Chain, render_listener, tcp_chain
from onehop.driver.envoy.proto import encode
from onehop.driver.envoy.quic import Twins, alt_svc, twin_of
from onehop.driver.envoy.resource import ResourceKey, ResourceType
from onehop.driver.envoy.route import Pools, host_resource, render_host
from onehop.driver.envoy.router import render_router
from onehop.driver.envoy.secrets import BookChange, SecretBook
from onehop.driver.envoy.tls import render_secret
from onehop.driver.envoy.tlschain import tls_chains
from onehop.model.certificate import Certificate, ServerName
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import CertificateId, PoolId, RouterId
from onehop.model.listener import ForwardHttp, ForwardTcp, ForwardUdp, Listener, Vip
from onehop.model.model import Row, RowKey, Table, key_of
from onehop.model.pool import Persistence, Pool
from onehop.model.route import VirtualHost


class Translator:
    """Keeps the rows and, in step with them, the resources in the cache.

    Every method that changes something returns the resources that Envoy has to hear of.
    """

    def __init__(self, cache: ResourceCache, access_log: str | None) -> None:
        self._cache = cache
        self._access_log = access_log
        self._secrets = SecretBook()
        self._links = Links()
        self._retried_apart: set[PoolId] = set()
        self._pools = Pools(self._persistence_of, self._retried_apart.__contains__)
        self._row_of: dict[ResourceKey, RowKey] = {}
        self._twins = Twins(access_log)
        self.rows: dict[RowKey, Row] = {}

    def put(self, row: Row) -> list[ResourceKey]:
        """Take a row in."""
        key = key_of(row)
        old = self.rows.get(key)
        if old == row:
            return []
        self.rows[key] = row
        self._links.remove(old)
        self._links.add(row)
        match row:
            case Vip():
                return []
            case Certificate():
                changed = self._refresh_secrets(self._secrets.put_certificate(row))
                return changed + self._refresh_listeners(self._links.challengers_of(row.id))
            case ServerName():
                return self._follow(row.router, self._secrets.put_name(row))
            case Pool():
                return self._put_pool(row, old)
            case PoolEndpoints():
                return self._offer_endpoints(row.pool)
            case Listener():
                return self._put_listener(row, old)
            case VirtualHost():
                return self._offer_host(row)
            case _:
                assert_never(row)

    def remove(self, key: RowKey) -> list[ResourceKey]:
        """Let a row go."""
        row = self.rows.pop(key, None)
        self._links.remove(row)
        match row:
            case None | Vip():
                return []
            case Certificate():
                return self._refresh_secrets(self._secrets.remove_certificate(row.id))
            case ServerName():
                change = self._secrets.remove_name(row.router, row.hostname)
                return self._follow(row.router, change)
            case Pool():
                return self._withdraw((_cluster(row.id), _endpoints(row.id)))
            case PoolEndpoints():
                if RowKey(Table.POOL, row.pool) in self.rows:
                    return self._offer_endpoints(row.pool)
                return self._withdraw((_endpoints(row.pool),))
            case Listener():
                self._twins.touch(row)
                routers = (_router(r) for r in routers_of(row) if not self.serves(r))
                return self._withdraw((_listener(row.id), *routers))
            case VirtualHost():
                return self._withdraw((_host(row),))
            case _:
                assert_never(row)

    def settle(self) -> list[ResourceKey]:
        """Bring up to date what is rendered once for many rows; to be called after a batch."""
        changed = [key for pool in self._links.rechosen() for key in self._choose_retries(pool)]
        for listener in self._twins.due():
            resource = ResourceKey(ResourceType.LISTENER, twin_of(listener))
            row = self.rows.get(RowKey(Table.LISTENER, listener))
            twin = self._twins.render(row, self._secrets) if isinstance(row, Listener) else None
            if twin is None:
                changed += self._withdraw((resource,))
            elif self._cache.put(resource, encode(twin)):
                # No row's own: an HTTP/3 that Envoy does not take is no fault of the listener.
                changed.append(resource)
        return changed

    def revert(self, key: RowKey, old: Row | None) -> None:
        """Note that Envoy refused a row, and still serves what it had before."""
        self._links.remove(self.rows.pop(key, None))
        if old is not None:
            self._links.add(old)
            self.rows[key] = old

    def demand(self, key: ResourceKey, wanted: bool) -> list[ResourceKey]:  # noqa: FBT001  a callback
        """Take note of what Envoy begins or ceases to ask for; only Secrets depend on it."""
        if key.type is not ResourceType.SECRET:
            return []
        if wanted:
            evicted = self._secrets.demand(key.name)
            self._refresh_secrets((key.name,))
            return self._withdraw(ResourceKey(ResourceType.SECRET, name) for name in evicted)
        self._secrets.release(key.name)
        self._cache.remove(key)
        return []

    @property
    def names_asked_for(self) -> int:
        """How many Secrets Envoy asks for."""
        return self._secrets.demanded

    def row_of(self, resource: ResourceKey) -> RowKey | None:
        """Return the row that a resource was made from."""
        return self._row_of.get(resource)

    def serves(self, router: RouterId) -> bool:
        """Tell whether any listener serves this router."""
        return bool(self._links.listeners_of(router))

    def listeners_of(self, router: RouterId) -> Iterable[ResourceKey]:
        """Return the listener resources that serve a router."""
        return (ResourceKey(ResourceType.LISTENER, k.id) for k in self._links.listeners_of(router))

    def is_pointed_at(self, pool: PoolId) -> bool:
        """Tell whether a host or a listener still sends traffic to a pool."""
        return bool(self._links.users_of(pool))

    def _offer(self, resource: ResourceKey, body: bytes, row: RowKey) -> list[ResourceKey]:
        self._row_of[resource] = row
        return [resource] if self._cache.put(resource, body) else []

    def _withdraw(self, resources: Iterable[ResourceKey]) -> list[ResourceKey]:
        gone = [resource for resource in resources if self._cache.remove(resource)]
        for resource in gone:
            self._row_of.pop(resource, None)
        return gone

    # Pools and hosts

    def _put_pool(self, pool: Pool, old: Row | None) -> list[ResourceKey]:
        changed = self._offer_cluster(pool)
        changed += self._offer_endpoints(pool.id)
        if _shown_by_users(old) != _shown_by_users(pool):
            for user in self._links.users_of(pool.id):
                row = self.rows[user]
                if isinstance(row, VirtualHost):
                    changed += self._offer_host(row)
                elif isinstance(row, Listener):
                    changed += self._offer_listener(row)
        return changed

    def _choose_retries(self, pool: PoolId) -> list[ResourceKey]:
        """Have a pool's cluster say how to try again, or all routes to it."""
        if self._links.is_retried_apart(pool) == (pool in self._retried_apart):
            return []
        self._retried_apart ^= {pool}
        row = self.rows.get(RowKey(Table.POOL, pool))
        changed = self._offer_cluster(row) if isinstance(row, Pool) else []
        for user in self._links.users_of(pool):
            host = self.rows[user]
            if isinstance(host, VirtualHost):
                changed += self._offer_host(host)
        return changed

    def _offer_cluster(self, pool: Pool) -> list[ResourceKey]:
        body = encode_cluster(pool, is_retried_apart=pool.id in self._retried_apart)
        return self._offer(_cluster(pool.id), body, key_of(pool))

    def _offer_endpoints(self, pool: PoolId) -> list[ResourceKey]:
        """Offer a pool's endpoints, or that it has none: a cluster warms until it hears."""
        key = RowKey(Table.ENDPOINTS, pool)
        row = self.rows.get(key)
        members = row if isinstance(row, PoolEndpoints) else PoolEndpoints(pool)
        owner = self.rows.get(RowKey(Table.POOL, pool))
        check = owner.health_check if isinstance(owner, Pool) else None
        body = render_endpoints(members, check)
        return self._offer(_endpoints(pool), body, key)

    def _persistence_of(self, pool: PoolId) -> Persistence | None:
        row = self.rows.get(RowKey(Table.POOL, pool))
        return row.persistence if isinstance(row, Pool) else None

    def _offer_host(self, host: VirtualHost) -> list[ResourceKey]:
        body = encode(render_host(host, self._pools))
        return self._offer(_host(host), body, key_of(host))

    # Listeners

    def _put_listener(self, listener: Listener, old: Row | None) -> list[ResourceKey]:
        key = key_of(listener)
        self._twins.touch(listener)
        changed: list[ResourceKey] = []
        if isinstance(old, Listener):
            left = (_router(r) for r in routers_of(old) if not self.serves(r))
            changed += self._withdraw(left)
        for router in routers_of(listener):
            said = alt_svc(listener, router)
            changed += self._offer(_router(router), encode(render_router(router, said)), key)
        return changed + self._offer_listener(listener)

    def _offer_listener(self, listener: Listener) -> list[ResourceKey]:
        message = render_listener(
            listener, self._chains(listener), is_transparent=self._is_transparent(listener)
        )
        body = encode(message)
        return self._offer(_listener(listener.id), body, key_of(listener))

    def _is_transparent(self, listener: Listener) -> bool:
        if isinstance(listener.handler, ForwardHttp):
            return False
        row = self.rows.get(RowKey(Table.POOL, listener.handler.pool))
        return isinstance(row, Pool) and row.is_transparent

    def _chains(self, listener: Listener) -> list[Chain]:
        handler = listener.handler
        match handler:
            case ForwardUdp():
                return []
            case ForwardTcp():
                return [tcp_chain(handler, self._access_log)]
            case ForwardHttp(tls=False):
                return [Chain((), None, (render_http(handler, self._access_log),))]
            case ForwardHttp():
                static = self._secrets.static_chains(handler.router)
                chains = list(tls_chains(handler, static, self._access_log))
                challenges = challenge_chains(
                    handler.challenges, chains, self._certificate, self._access_log
                )
                return [*chains, *challenges]
            case _:
                assert_never(handler)

    def _certificate(self, certificate: CertificateId) -> Certificate | None:
        row = self.rows.get(RowKey(Table.CERTIFICATE, certificate))
        return row if isinstance(row, Certificate) else None

    def _refresh_listeners(self, listeners: Iterable[RowKey]) -> list[ResourceKey]:
        changed: list[ResourceKey] = []
        for key in listeners:
            listener = self.rows[key]
            assert isinstance(listener, Listener)  # noqa: S101  only listeners are linked
            changed += self._offer_listener(listener)
        return changed

    # Certificates

    def _follow(self, router: RouterId, change: BookChange) -> list[ResourceKey]:
        changed = self._refresh_secrets(change.secrets)
        for key in self._links.listeners_of(router):
            self._twins.touch(self.rows[key])
        for static in change.routers:
            changed += self._refresh_listeners(self._links.listeners_of(static))
        return changed

    def _refresh_secrets(self, names: Iterable[str]) -> list[ResourceKey]:
        changed: list[ResourceKey] = []
        for name in names:
            resource = ResourceKey(ResourceType.SECRET, name)
            certificate = self._secrets.resolve(name)
            if certificate is None:
                changed += self._withdraw((resource,))
            else:
                body = encode(render_secret(name, certificate))
                changed += self._offer(resource, body, key_of(certificate))
        return changed


def _shown_by_users(row: Row | None) -> tuple[Persistence | None, bool]:
    """Return what hosts and listeners say of their pool; what they say of none is the default."""
    return (row.persistence, row.is_transparent) if isinstance(row, Pool) else (None, False)


def _cluster(pool: PoolId) -> ResourceKey:
    return ResourceKey(ResourceType.CLUSTER, pool)


def _endpoints(pool: PoolId) -> ResourceKey:
    return ResourceKey(ResourceType.ENDPOINTS, pool)


def _listener(listener: str) -> ResourceKey:
    return ResourceKey(ResourceType.LISTENER, listener)


def _router(router: RouterId) -> ResourceKey:
    return ResourceKey(ResourceType.ROUTES, router)


def _host(host: VirtualHost) -> ResourceKey:
    return ResourceKey(ResourceType.HOST, host_resource(host.router, host.hostname))
