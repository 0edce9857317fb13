"""What of a row a vTM can serve.

Three outcomes. A row fits. Or it is served without some part, which the Receipt names: a shared
listener must not go down for the wish of one tenant. Or it is refused whole, where serving it
without the part would be wrong: in the clear instead of verified, open instead of guarded.
"""

import re
from collections.abc import Iterator
from typing import Final, assert_never

import msgspec

from onehop.driver.asks import USUAL_COOKIE, asks_of
from onehop.driver.capability import Capability
from onehop.driver.vtm.support import ONE_POOL, SHORTCOMINGS
from onehop.driver.vtm.text import route_faults
from onehop.model.certificate import Certificate, ServerName, is_challenge
from onehop.model.endpoint import PoolEndpoints
from onehop.model.listener import ForwardHttp, ForwardTcp, ForwardUdp, Listener, TlsPolicy, Vip
from onehop.model.model import Row
from onehop.model.pool import (
    BackendProtocol,
    Balancing,
    CookiePersistence,
    HeaderPersistence,
    Pool,
    SourceIpPersistence,
)
from onehop.model.route import Forward, Retry, Route, VirtualHost

_COOKIE_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f;,]")

_IDLE_S: Final = Forward(pools=()).idle_timeout_s

_NEVER: Final = (
    Capability.MIRRORS,
    Capability.BACKEND_FILTERS,
    Capability.RETRY_ON_SILENCE,
    Capability.RETRY_PAUSE,
)
"""A host with a route that asks for it is not served."""


class Fit(msgspec.Struct, frozen=True):
    """What is served of a row.

    Attributes:
        row: what can be served; None for nothing.
        lacks: what cannot, and why; empty where all is served.
    """

    row: Row | None
    lacks: str = ""


def fit(row: Row, *, has_tls13: bool = True) -> Fit:
    """Return what of the row a unit serves."""
    match row:
        case Pool():
            return _pool(row)
        case Listener():
            return _listener(row, has_tls13=has_tls13)
        case VirtualHost():
            return _host(row)
        case Certificate(id=id_) if is_challenge(id_):
            return Fit(None, "vTM shows no certificate by ALPN: TLS-ALPN-01 needs another solver")
        case Certificate(chain_pem=chain) if not chain.strip():
            return Fit(None, "the chain is empty")
        case Certificate(ocsp=ocsp) if ocsp is not None:
            return _without(row, ["its CA's OCSP answer: the unit can staple by itself"])
        case Certificate() | ServerName() | Vip() | PoolEndpoints():
            return Fit(row)
        case _:
            assert_never(row)


def _pool(pool: Pool) -> Fit:
    fault = next(_pool_faults(pool), None)
    if fault is not None:
        return Fit(None, fault)
    lacks: list[str] = []
    check = pool.health_check
    if check is not None and check.port is not None and not check.spares_pods:
        lacks.append(f"the health check on port {check.port}: vTM checks a node on its own port")
        pool = msgspec.structs.replace(pool, health_check=None)
    if check is not None and pool.protocol is BackendProtocol.UDP and check.port is None:
        lacks.append("the health check: nobody can tell whether a UDP port is served")
        pool = msgspec.structs.replace(pool, health_check=None)
    elif check is not None and check.healthy_threshold > 1:
        lacks.append("the number of good checks: to vTM, one is enough")
    is_timed = isinstance(pool.persistence, SourceIpPersistence)
    if is_timed and pool.persistence != SourceIpPersistence():
        lacks.append("the timeout of persistence: it is set on the unit, for all pools")
    if isinstance(pool.persistence, CookiePersistence) and pool.persistence.name != USUAL_COOKIE:
        lacks.append("the name of the session cookie: vTM names its cookie itself")
        usual = msgspec.structs.replace(pool.persistence, name=USUAL_COOKIE)
        pool = msgspec.structs.replace(pool, persistence=usual)
    if pool.max_connections is not None:
        lacks.append("the limit of connections: vTM limits each node, not the pool")
        pool = msgspec.structs.replace(pool, max_connections=None)
    return _without(pool, lacks)


def _pool_faults(pool: Pool) -> Iterator[str]:
    if pool.protocol in {BackendProtocol.H2, BackendProtocol.GRPC}:
        yield "vTM speaks HTTP/1.1 to nodes, not HTTP/2"
    tls = pool.tls
    if tls is not None and (tls.is_verified or tls.server_name is not None or tls.names):
        yield "vTM has one list of CAs for all pools: it cannot hold this pool to its own"
    if tls is not None and tls.client is not None:
        yield "this driver shows nodes no certificate"
    if pool.proxy_protocol is not None:
        yield "vTM sends no PROXY header to nodes"
    if pool.is_transparent:
        yield "transparent pools are not made by this driver"
    match pool.persistence:
        case CookiePersistence(path=path, same_site=same_site):
            if not (is_cookie_text(path) and is_cookie_text(same_site)):
                yield "the session cookie's path or SameSite has characters a cookie cannot carry"
        case _:
            pass
    if isinstance(pool.persistence, HeaderPersistence):
        yield "vTM keeps no session by a response header"
    if pool.balancing is Balancing.HASH and pool.persistence is not None:
        yield "vTM hashes clients by a persistence class, and a pool has one class only"


def _listener(listener: Listener, *, has_tls13: bool) -> Fit:
    match listener.handler:
        case ForwardHttp() as http:
            if http.tls_policy is TlsPolicy.MODERN and http.tls and not has_tls13:
                return Fit(None, "this unit speaks no TLS 1.3, which the policy demands")
            if http.clients is not None:
                return Fit(None, "this driver sets up no checks of clients' certificates")
            handler, lacks = _http(http)
        case ForwardTcp(shares=shares) | ForwardUdp(shares=shares) if shares:
            return Fit(None, ONE_POOL)
        case ForwardTcp() | ForwardUdp() as handler:
            lacks = []
        case _:
            assert_never(listener.handler)
    if listener.accepts_proxy_protocol:
        lacks.append("PROXY headers of version 2: vTM reads version 1")
    return _without(msgspec.structs.replace(listener, handler=handler), lacks)


def _http(http: ForwardHttp) -> tuple[ForwardHttp, list[str]]:
    named = {
        "TLS passthrough": [each.hostname for each in http.passthroughs],
        "checks of clients' certificates (these hosts are not served at all)": [
            each.hostname for each in http.client_checks
        ],
        "answers by TLS-ALPN-01": [each.hostname for each in http.challenges],
    }
    lacks = [f"{what}: {', '.join(hosts)}" for what, hosts in named.items() if hosts]
    lacks += ["HTTP/3"] if http.http3 else []
    plain = msgspec.structs.replace(
        http, passthroughs=(), client_checks=(), challenges=(), http3=False
    )
    return plain, lacks


def _host(host: VirtualHost) -> Fit:
    fault = next(_host_faults(host), None)
    if fault is not None:
        return Fit(None, fault)
    lacks: list[str] = []
    if host.made_for is not None:
        lacks.append("a look at the name that the connection was made for")
    routes: list[Route] = []
    for route in host.routes:
        fitting, missing = _route(route)
        routes.append(fitting)
        lacks += (each for each in missing if each not in lacks)
    fitting_host = msgspec.structs.replace(host, made_for=None, routes=tuple(routes))
    return _without(fitting_host, lacks)


def _host_faults(host: VirtualHost) -> Iterator[str]:
    asked = {ask.capability for ask in asks_of(host)}
    yield from dict.fromkeys(SHORTCOMINGS[each].words for each in _NEVER if each in asked)
    yield from (fault for route in host.routes for fault in route_faults(route))


def _route(route: Route) -> tuple[Route, list[str]]:
    lacks: list[str] = []
    limit = route.guard.rate_limit
    if limit is not None and limit.burst:
        lacks.append("the burst of a rate limit: rate classes know none")
    if isinstance(route.action, Forward):
        if route.action.idle_timeout_s != _IDLE_S:
            lacks.append("a route's own idle timeout: the longest of a listener counts")
        plain = msgspec.structs.replace(route.action, timeout_s=None, retry=Retry())
        if route.action.timeout_s is not None:
            lacks.append("the timeout of a route: vTM has one for each pool, of silence")
        if route.action.retry != Retry():
            lacks.append("the retries of a route: vTM has its own, of idempotent requests")
        route = msgspec.structs.replace(route, action=plain)
    return route, lacks


def _without(row: Row, lacks: list[str]) -> Fit:
    return Fit(row, f"served without {'; without '.join(lacks)}" if lacks else "")


def is_cookie_text(text: str) -> bool:
    """Tell whether a text may stand in an attribute of a cookie (RFC 6265, section 4.1.1)."""
    return _COOKIE_UNSAFE.search(text) is None
