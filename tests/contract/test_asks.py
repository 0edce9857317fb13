"""Every field of the Model is a wish, or one that every data plane fulfils; none is overlooked."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from onehop.driver.asks import asks_of
from onehop.model.address import Cidr
from onehop.model.endpoint import Endpoint, PoolEndpoints, Readiness
from onehop.model.ident import CertificateId, RouterId
from onehop.model.listener import (
    ClientCheck,
    ForwardHttp,
    ForwardTcp,
    ForwardUdp,
    Listener,
    Passthrough,
    PortCheck,
    StreamShare,
    TlsChallenge,
    TlsPolicy,
    Transport,
)
from onehop.model.model import Row
from onehop.model.pool import (
    AltName,
    BackendProtocol,
    BackendTls,
    Balancing,
    CookiePersistence,
    HealthCheck,
    Pool,
    ProxyProtocol,
    SourceIpPersistence,
)
from onehop.model.route import (
    Conditions,
    Cors,
    Forward,
    Guard,
    HeaderEdit,
    Mirror,
    PathKind,
    PathMatch,
    PoolShare,
    RateLimit,
    Redirect,
    RedirectShare,
    Respond,
    Retry,
    Rewrite,
    Route,
)
from tests.driver_envoy.world import (
    ADDRESS,
    SERVICE,
    forward,
    host,
    identity,
    listener,
    pool,
    route,
)

WEB, OTHER = pool("web"), pool("other")
EDIT = HeaderEdit(set=(("x-a", "b"),))
CHECK = ClientCheck(hostname="a.example", router=RouterId("own"), ca_pem="")

Wrap = Callable[[Any], Row]


def _of_pool(**fields: Any) -> Pool:
    return msgspec.structs.replace(WEB, **fields)


def _of_route(**fields: Any) -> Row:
    return host("a.example", msgspec.structs.replace(route(forward(WEB)), **fields))


def _of_http(handler: ForwardHttp) -> Row:
    return listener(443, handler)


# By struct: the plain one, the row that has it, fields that ask for nothing, and for each other
# one a value that does.
STRUCTS: dict[type, tuple[Any, Wrap, set[str], dict[str, Any]]] = {
    Pool: (
        WEB,
        lambda each: each,
        {"id", "service", "port", "idle_timeout_s"},
        {
            "protocol": BackendProtocol.GRPC,
            "tls": BackendTls(),
            "balancing": Balancing.ROUND_ROBIN,
            "persistence": SourceIpPersistence(),
            "health_check": HealthCheck(),
            "connect_timeout_s": 9.0,
            "proxy_protocol": ProxyProtocol.V2,
            "max_connections": 7,
            "is_transparent": True,
        },
    ),
    BackendTls: (
        BackendTls(),
        lambda each: _of_pool(tls=each),
        set(),
        {
            "ca_pem": "CA",
            "server_name": "a.example",
            "trusts_system": True,
            "names": (AltName("b.example"),),
            "client": CertificateId("shop/own"),
        },
    ),
    CookiePersistence: (
        CookiePersistence(name="onehop"),
        lambda each: _of_pool(persistence=each),
        {"path", "ttl_s", "secure", "same_site"},
        {"name": "sid"},
    ),
    SourceIpPersistence: (
        SourceIpPersistence(),
        lambda each: _of_pool(persistence=each),
        set(),
        {"timeout_s": 60},
    ),
    HealthCheck: (
        HealthCheck(),
        lambda each: _of_pool(health_check=each),
        {"http_host", "expected", "interval_s", "timeout_s", "unhealthy_threshold", "spares_pods"},
        {"http_path": "/", "port": 8081, "healthy_threshold": 2},
    ),
    PoolEndpoints: (
        PoolEndpoints(WEB.id),
        lambda each: each,
        {"pool"},
        {"endpoints": (Endpoint(address=ADDRESS, port=1, readiness=Readiness.DRAINING),)},
    ),
    Endpoint: (
        Endpoint(address=ADDRESS, port=1),
        lambda each: PoolEndpoints(WEB.id, (Endpoint(address=ADDRESS, port=2), each)),
        {"address", "port", "path", "zone", "node"},
        {"readiness": Readiness.DRAINING, "weight": 2},
    ),
    Listener: (
        listener(80),
        lambda each: each,
        {"id", "owner", "address", "port", "transport"},
        {
            "handler": ForwardUdp(pool=WEB.id),
            "sources": (Cidr("10.0.0.0/8"),),
            "accepts_proxy_protocol": True,
            "max_connections": 7,
        },
    ),
    ForwardTcp: (
        ForwardTcp(pool=WEB.id),
        lambda each: listener(80, each),
        {"pool"},
        {"idle_timeout_s": 9.0, "shares": (StreamShare(WEB.id), StreamShare(OTHER.id))},
    ),
    ForwardUdp: (
        ForwardUdp(pool=WEB.id),
        lambda each: listener(53, each, transport=Transport.UDP),
        {"pool"},
        {"idle_timeout_s": 9.0, "shares": (StreamShare(WEB.id), StreamShare(OTHER.id))},
    ),
    ForwardHttp: (
        ForwardHttp(router=RouterId("r"), tls=True),
        _of_http,
        {"router", "cors", "splits_names"},  # what these are for, routes and hosts say
        {
            "tls": False,
            "trusted_hops": 1,
            "tls_policy": TlsPolicy.MODERN,
            "client_checks": (CHECK,),
            "challenges": (TlsChallenge(hostname="a", certificate=CertificateId("c")),),
            "passthroughs": (Passthrough(hostname="a", owner=SERVICE, pool=WEB.id),),
            "http3": True,
            "clients": PortCheck(ca_pem=""),
        },
    ),
    ClientCheck: (
        CHECK,
        lambda each: _of_http(ForwardHttp(router=RouterId("r"), tls=True, client_checks=(each,))),
        {"hostname", "router", "ca_pem"},
        {"is_required": False, "owner": SERVICE},
    ),
    Route: (
        route(forward(WEB)),
        lambda each: host("*.a.example", each),
        {"id", "labels", "hostname"},
        {
            "owner": SERVICE,
            "match": PathMatch(PathKind.METHOD, "Get"),
            "when": Conditions(method="GET"),
            "action": Redirect(),
            "guard": Guard(body_limit_bytes=7),
            "cors": Cors(),
            "request_headers": EDIT,
            "response_headers": EDIT,
        },
    ),
    Guard: (
        Guard(),
        lambda each: _of_route(guard=each),
        set(),
        {
            "allow": (Cidr("10.0.0.0/8"),),
            "deny": (Cidr("10.0.0.0/8"),),
            "body_limit_bytes": 7,
            "rate_limit": RateLimit(requests=7),
        },
    ),
    RateLimit: (
        RateLimit(requests=7),
        lambda each: _of_route(guard=Guard(rate_limit=each)),
        {"requests", "per_s"},
        {"burst": 7},
    ),
    Forward: (
        forward(WEB),
        lambda each: _of_route(action=each),
        {"missing_status"},
        {
            "pools": (PoolShare(WEB.id), PoolShare(OTHER.id)),
            "redirects": (RedirectShare(Redirect()),),
            "missing": 1,
            "rewrite_prefix": "/new",
            "rewrite_path": "/new",
            "rewrite_host": "b.example",
            "timeout_s": 9.0,
            "idle_timeout_s": 9.0,
            "retry": Retry(attempts=7),
            "mirrors": (Mirror(OTHER.id),),
        },
    ),
    PoolShare: (
        PoolShare(WEB.id),
        lambda each: _of_route(action=Forward(pools=(PoolShare(OTHER.id, 1), each))),
        {"pool"},
        {
            "weight": 0,
            "request_headers": EDIT,
            "response_headers": EDIT,
            "rewrite": Rewrite(host="b.example"),
            "mirrors": (Mirror(OTHER.id),),
        },
    ),
    Retry: (
        Retry(),
        lambda each: _of_route(action=forward(WEB, retry=each)),
        set(),
        {
            "attempts": 0,
            "codes": (503,),
            "per_try_timeout_s": 9.0,
            "on_silence": True,
            "backoff_s": 0.5,
        },
    ),
    Redirect: (
        Redirect(),
        lambda each: _of_route(action=each),
        {"code", "scheme", "port"},
        {"host": "b.example", "path": "/new", "prefix": "/new"},
    ),
    Respond: (Respond(status=200), lambda each: _of_route(action=each), {"status", "body"}, {}),
}


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_every_field_asks_for_something_or_is_known_not_to(kind: type) -> None:
    """A new field of the Model has to be put into one of the two lists."""
    plain, wrap, silent, telling = STRUCTS[kind]
    fields = {field.name for field in msgspec.structs.fields(kind)}

    assert fields == silent | telling.keys()
    before = [*asks_of(wrap(plain))]
    for name, value in telling.items():
        changed = msgspec.structs.replace(plain, **{name: value})
        assert [*asks_of(wrap(changed))] != before, name


def test_a_certificate_asks_to_be_shown_with_its_answer() -> None:
    """Its other fields are what it is."""
    plain = identity("site", "a.example").certificate
    stapled = msgspec.structs.replace(plain, ocsp=b"good")

    assert [*asks_of(stapled)] != [*asks_of(plain)]
