"""What a row asks of the data plane that carries it out: field by field, as capabilities.

What every data plane does for every row is not asked for. A default is a wish like any other where
it has an effect, and none where it says "as you like".
"""

from collections.abc import Iterator
from typing import Final, assert_never

import msgspec

from onehop.driver.capability import Capability
from onehop.model.certificate import Certificate, ServerName, is_challenge
from onehop.model.endpoint import PoolEndpoints, Readiness
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.listener import (
    ForwardHttp,
    ForwardTcp,
    ForwardUdp,
    Listener,
    TlsPolicy,
    Vip,
)
from onehop.model.model import Row
from onehop.model.pool import (
    BackendProtocol,
    BackendTls,
    Balancing,
    CookiePersistence,
    HeaderPersistence,
    HealthCheck,
    Persistence,
    Pool,
    SourceIpPersistence,
)
from onehop.model.route import (
    Conditions,
    Forward,
    Guard,
    HeaderEdit,
    PathKind,
    PoolShare,
    Redirect,
    Respond,
    Retry,
    Route,
    VirtualHost,
)

USUAL_COOKIE: Final = "onehop"
"""What the cookie of a pool is called where nobody named it."""

_PLAIN: Final = Pool(id=PoolId(""), service=ObjectRef("", "", ""), port=0)
_ALWAYS: Final = Conditions()
_NO_EDIT: Final = HeaderEdit()
_IDLE_S: Final = {
    ForwardTcp: ForwardTcp(pool=_PLAIN.id).idle_timeout_s,
    ForwardUdp: ForwardUdp(pool=_PLAIN.id).idle_timeout_s,
    Forward: Forward(pools=()).idle_timeout_s,
}


class Ask(msgspec.Struct, frozen=True):
    """A wish of a row.

    Attributes:
        owner: whose wish it is, where the row knows it.
    """

    capability: Capability
    owner: ObjectRef | None = None


def asks_of(row: Row) -> Iterator[Ask]:
    """Yield what a row asks for; the same more than once, where several owners do."""
    match row:
        case Listener():
            yield from _listener(row)
        case VirtualHost():
            yield from _host(row)
        case Pool():
            yield from (Ask(capability, row.service) for capability in _pool(row))
        case PoolEndpoints():
            yield from map(Ask, _members(row))
        case Certificate(id=id_):
            if row.ocsp is not None:
                yield Ask(Capability.OCSP_STAPLE)
            yield Ask(Capability.TLS_ALPN_CHALLENGE if is_challenge(id_) else Capability.TLS)
        case ServerName():
            yield Ask(Capability.TLS)
        case Vip():
            return
        case _:
            assert_never(row)


def _listener(listener: Listener) -> Iterator[Ask]:
    wishes = (
        (Capability.SOURCE_RANGES, bool(listener.sources)),
        (Capability.CONNECTION_LIMIT, listener.max_connections is not None),
        (Capability.PROXY_PROTOCOL_IN, listener.accepts_proxy_protocol),
    )
    for capability in _wished(*wishes):
        yield Ask(capability, listener.owner)
    match listener.handler:
        case ForwardHttp() as http:
            yield from _http(http, listener.owner)
        case ForwardTcp() | ForwardUdp() as stream:
            if isinstance(stream, ForwardUdp):
                yield Ask(Capability.UDP, listener.owner)
            if stream.shares:
                is_udp = isinstance(stream, ForwardUdp)
                weighted = Capability.WEIGHTED_FLOWS if is_udp else Capability.WEIGHTED_STREAMS
                yield Ask(weighted, listener.owner)
            if stream.idle_timeout_s != _IDLE_S[type(stream)]:
                yield Ask(Capability.STREAM_IDLE_TIMEOUT, listener.owner)
        case _:
            assert_never(listener.handler)


def _http(http: ForwardHttp, owner: ObjectRef | None) -> Iterator[Ask]:
    wishes = (
        (Capability.HTTP, True),
        (Capability.TLS, http.tls),
        (Capability.TLS_MODERN, http.tls and http.tls_policy is TlsPolicy.MODERN),
        (Capability.TRUSTED_PROXIES, http.trusted_hops > 0),
        (Capability.TLS_ALPN_CHALLENGE, bool(http.challenges)),
        (Capability.HTTP3, http.http3),
        (Capability.PORT_CLIENT_CERTIFICATES, http.clients is not None),
    )
    for capability in _wished(*wishes):
        yield Ask(capability, owner)
    for check in http.client_checks:
        needs, may = Capability.CLIENT_CERTIFICATES, Capability.OPTIONAL_CLIENT_CERTIFICATES
        yield Ask(needs if check.is_required else may, check.owner)
    for passed in http.passthroughs:
        yield Ask(Capability.TLS_PASSTHROUGH, passed.owner)
        if passed.ends_tls:
            yield Ask(Capability.TLS_STREAMS, passed.owner)
        if passed.shares:
            yield Ask(Capability.WEIGHTED_STREAMS, passed.owner)


def _host(host: VirtualHost) -> Iterator[Ask]:
    owners = dict.fromkeys(route.owner for route in host.routes)
    for owner in owners or (None,):
        yield Ask(Capability.HTTP, owner)
        if host.hostname.startswith("*."):
            yield Ask(Capability.WILDCARD_HOSTS, owner)
        if host.made_for is not None:
            yield Ask(Capability.MISDIRECTED, owner)
    for route in host.routes:
        for capability in _route(route):
            yield Ask(capability, route.owner)


def _route(route: Route) -> Iterator[Capability]:
    request, response = route.request_headers, route.response_headers
    yield from _wished(
        (Capability.MATCHES, route.when != _ALWAYS or route.match.kind is PathKind.METHOD),
        (Capability.CORS, route.cors is not None),
        (Capability.REQUEST_HEADERS, bool(request.set or request.add or request.remove)),
        (Capability.RESPONSE_HEADERS, bool(response.set or response.add or response.remove)),
    )
    yield from _guard(route.guard)
    match route.action:
        case Forward() as forward:
            yield from _forward(forward)
        case Redirect() as redirect:
            yield Capability.REDIRECT
            if (redirect.host, redirect.path, redirect.prefix) != (None, None, None):
                yield Capability.REDIRECT_ELSEWHERE
        case Respond():
            return
        case _:
            assert_never(route.action)


def _guard(guard: Guard) -> Iterator[Capability]:
    limit = guard.rate_limit
    yield from _wished(
        (Capability.CLIENT_NETWORKS, bool(guard.allow or guard.deny)),
        (Capability.RATE_LIMIT, limit is not None),
        (Capability.RATE_LIMIT_BURST, limit is not None and limit.burst > 0),
        (Capability.BODY_LIMIT, guard.body_limit_bytes is not None),
    )


def _forward(forward: Forward) -> Iterator[Capability]:
    retry = forward.retry
    yield from _wished(
        (Capability.WEIGHTED_POOLS, sum(share.weight > 0 for share in forward.pools) > 1),
        (Capability.REWRITE_PREFIX, forward.rewrite_prefix is not None),
        (Capability.REWRITE_PATH, forward.rewrite_path is not None),
        (Capability.REWRITE_HOST, forward.rewrite_host is not None),
        (Capability.MIRRORS, bool(forward.mirrors)),
        (Capability.MISSING_BACKENDS, forward.missing > 0),
        (Capability.BACKEND_HEADERS, any(map(_edits, forward.pools))),
        (Capability.BACKEND_FILTERS, forward.is_divided),
        (Capability.RETRY_ON_SILENCE, retry.on_silence),
        (Capability.RETRY_PAUSE, retry.backoff_s is not None),
        (Capability.REQUEST_TIMEOUT, forward.timeout_s is not None),
        (Capability.IDLE_TIMEOUT, forward.idle_timeout_s != _IDLE_S[Forward]),
        (Capability.RETRIES, retry.attempts != Retry().attempts),
        (Capability.RETRY_CODES, bool(retry.codes)),
        (Capability.RETRY_TIMEOUT, retry.per_try_timeout_s is not None),
    )


def _edits(share: PoolShare) -> bool:
    return (share.request_headers, share.response_headers) != (_NO_EDIT, _NO_EDIT)


def _pool(pool: Pool) -> Iterator[Capability]:
    speaks = {BackendProtocol.H2, BackendProtocol.GRPC}
    yield from _wished(
        (Capability.UDP, pool.protocol is BackendProtocol.UDP),
        (Capability.HTTP2_BACKENDS, pool.protocol in speaks),
        (Capability.ROUND_ROBIN, pool.balancing is Balancing.ROUND_ROBIN),
        (Capability.HASH, pool.balancing is Balancing.HASH),
        (Capability.CONNECT_TIMEOUT, pool.connect_timeout_s != _PLAIN.connect_timeout_s),
        (Capability.PROXY_PROTOCOL_OUT, pool.proxy_protocol is not None),
        (Capability.POOL_CONNECTION_LIMIT, pool.max_connections is not None),
        (Capability.TRANSPARENT, pool.is_transparent),
    )
    yield from _persistence(pool.persistence)
    if pool.tls is not None:
        yield from _backend_tls(pool.tls)
    if pool.health_check is not None:
        yield from _health_check(pool.health_check, is_udp=pool.protocol is BackendProtocol.UDP)


def _persistence(persistence: Persistence | None) -> Iterator[Capability]:
    match persistence:
        case None:
            return
        case CookiePersistence(name=name):
            yield Capability.COOKIE_PERSISTENCE
            if name != USUAL_COOKIE:
                yield Capability.COOKIE_NAME
        case HeaderPersistence():
            yield Capability.HTTP_PERSISTENCE_HEADER
        case SourceIpPersistence(timeout_s=timeout_s):
            yield Capability.SOURCE_PERSISTENCE
            if timeout_s != SourceIpPersistence().timeout_s:
                yield Capability.SOURCE_PERSISTENCE_TIMEOUT
        case _:
            assert_never(persistence)


def _backend_tls(tls: BackendTls) -> Iterator[Capability]:
    yield from _wished(
        (Capability.BACKEND_TLS, True),
        (Capability.BACKEND_TLS_CA, tls.ca_pem is not None),
        (Capability.BACKEND_TLS_NAME, tls.server_name is not None),
        (Capability.BACKEND_TLS_SYSTEM, tls.trusts_system),
        (Capability.BACKEND_TLS_IDENTITY, not tls.demands_what_it_sends),
        (Capability.BACKEND_CLIENT_CERTIFICATE, tls.client is not None),
    )


def _health_check(check: HealthCheck, *, is_udp: bool) -> Iterator[Capability]:
    if is_udp and check.port is None:
        yield Capability.HEALTH_CHECK_UDP
        return
    yield from _wished(
        (Capability.HEALTH_CHECK_TCP, check.http_path is None),
        (Capability.HEALTH_CHECK_HTTP, check.http_path is not None),
        (Capability.HEALTH_CHECK_PORT, check.port is not None),
        (Capability.HEALTH_CHECK_RECOVERY, check.healthy_threshold > 1),
    )


def _members(members: PoolEndpoints) -> Iterator[Capability]:
    endpoints = members.endpoints
    yield from _wished(
        (Capability.WEIGHTED_ENDPOINTS, len({each.weight for each in endpoints}) > 1),
        (Capability.DRAINING, any(each.readiness is Readiness.DRAINING for each in endpoints)),
    )


def _wished(*wishes: tuple[Capability, bool]) -> Iterator[Capability]:
    return (capability for capability, is_wished in wishes if is_wished)
