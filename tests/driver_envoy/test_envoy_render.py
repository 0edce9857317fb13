"""The static rendering: complete, the same every time, without secrets, and valid to Envoy."""

import json
import random

import pytest

from onehop.base.errors import RejectedError
from onehop.driver.envoy import render_config, validate_config
from onehop.model.address import Cidr
from onehop.model.certificate import challenge_certificate
from onehop.model.ident import ListenerId, RouterId
from onehop.model.listener import ClientCheck, ForwardHttp, ForwardTcp, ForwardUdp, TlsChallenge
from onehop.model.model import Model, Row, model_of
from onehop.model.pool import (
    BackendProtocol,
    BackendTls,
    Balancing,
    CookiePersistence,
    HealthCheck,
    ProxyProtocol,
)
from onehop.model.route import (
    Forward,
    Guard,
    HeaderEdit,
    PoolShare,
    RateLimit,
    Redirect,
    Respond,
    Retry,
)
from tests.driver_envoy.world import (
    HTTP,
    HTTPS,
    Identity,
    draining,
    endpoint,
    exact,
    forward,
    host,
    identity,
    listener,
    members,
    pool,
    prefix,
    route,
    server_name,
    udp_listener,
)

pytestmark = pytest.mark.envoy


def everything(www: Identity, default: Identity) -> tuple[Row, ...]:
    """Return rows that use every field of the Model that Envoy is told of."""
    cookie = CookiePersistence(name="sid", ttl_s=60, same_site="Strict", secure=True)
    check = HealthCheck(http_path="/healthz", http_host="x", port=10256)
    pools = (
        pool("web", persistence=cookie, health_check=check, tls=BackendTls(), max_connections=9),
        pool("ca", tls=BackendTls(ca_pem=www.chain_pem, server_name="x.example")),
        pool("h2", protocol=BackendProtocol.H2, balancing=Balancing.ROUND_ROBIN),
        pool("hash", balancing=Balancing.HASH, health_check=HealthCheck()),
        pool("tcp", protocol=BackendProtocol.TCP, proxy_protocol=ProxyProtocol.V2),
        pool("udp", protocol=BackendProtocol.UDP),
        pool("seen", protocol=BackendProtocol.TCP, is_transparent=True),
    )
    web, ca, h2, hashed, tcp, udp, seen = pools
    guard = Guard(
        allow=(Cidr("10.0.0.0/8"), Cidr("2001:db8::/32")),
        deny=(Cidr("10.9.0.0/16"),),
        body_limit_bytes=1000,
        rate_limit=RateLimit(requests=5, burst=5),
    )
    edit = HeaderEdit(set=(("x-a", "1"),), add=(("x-b", "2"),), remove=("x-c",))
    both = Forward(
        pools=(PoolShare(web.id, 3), PoolShare(h2.id, 1)),
        rewrite_prefix="/",
        timeout_s=3,
        retry=Retry(attempts=2, codes=(503,), per_try_timeout_s=1),
    )
    return (
        *pools,
        *(
            members(each, endpoint(80, weight=3, zone="a"), draining(81), endpoint(82, zone="b"))
            for each in pools
        ),
        *(www.certificate, default.certificate),
        *(server_name("www.a.example", www), server_name("*", default)),
        listener(80, ForwardHttp(router=HTTP, trusted_hops=1), max_connections=100),
        listener(443, _checking(www), accepts_proxy_protocol=True),
        listener(53, ForwardTcp(pool=tcp.id), sources=(Cidr("10.0.0.0/8"),)),
        listener(54, ForwardTcp(pool=seen.id), accepts_proxy_protocol=True),
        udp_listener(
            53, ForwardUdp(pool=udp.id), sources=(Cidr("10.0.0.0/8"),), id=ListenerId("dns/udp")
        ),
        host(
            "www.a.example",
            route(both, prefix("/api"), guard=guard, request_headers=edit, response_headers=edit),
            route(forward(ca), exact("/ca")),
            route(Redirect(scheme="https", port=443), prefix("/old")),
            route(Respond(status=404, body="nothing here"), prefix("/none")),
            route(forward(hashed)),
        ),
        host("*", route(forward(web)), router=HTTPS),
    )


def _checking(ca: Identity) -> ForwardHttp:
    checks = tuple(
        ClientCheck(
            hostname=name,
            router=RouterId(f"{HTTPS}:{name}"),
            ca_pem=ca.chain_pem,
            is_required=is_required,
        )
        for name, is_required in (("a.b", True), ("www.a.example", False))
    )
    return ForwardHttp(router=HTTPS, tls=True, client_checks=checks)


async def test_envoy_accepts_everything_a_model_can_say() -> None:
    """Envoy's own parser and validators have nothing against it."""
    www, default = identity("www", "www.a.example"), identity("default", "any.example")

    await validate_config(model_of(everything(www, default)))


async def test_what_envoy_refuses_is_said_in_its_words() -> None:
    """The message names the field."""
    bad = route(Respond(status=200), request_headers=HeaderEdit(set=((":path", "/x"),)))

    with pytest.raises(RejectedError, match="may not be modified"):
        await validate_config(model_of((listener(80), host("*", bad))))


def test_a_rendering_is_the_same_whatever_order_its_rows_come_in() -> None:
    """Equal meaning is equal text, and it survives JSON."""
    www, default = identity("www", "www.a.example"), identity("default", "any.example")
    rows = list(everything(www, default))
    expected = render_config(model_of(rows))
    random.Random(7).shuffle(rows)  # noqa: S311  an order, no secret

    actual = render_config(model_of(rows))

    assert actual == expected
    assert json.loads(json.dumps(actual)) == expected
    assert list(actual) == ["static_resources"]


def test_a_rendering_holds_no_private_key() -> None:
    """Not the key, and of the chain only the fingerprint."""
    www, default = identity("www", "www.a.example"), identity("default", "any.example")

    text = json.dumps(render_config(model_of(everything(www, default))))

    assert "PRIVATE KEY" not in text
    assert www.certificate.fingerprint in text
    assert default.certificate.fingerprint in text


def test_nothing_is_rendered_as_nothing() -> None:
    """An empty Model is an empty configuration."""
    assert render_config(Model()) == {"static_resources": {}}


def test_a_challenge_whose_certificate_is_missing_is_passed_over() -> None:
    """Rows come one by one; the listener serves all the others."""
    shown = TlsChallenge(hostname="a.example", certificate=challenge_certificate("a.example"))
    secure = ForwardHttp(router=HTTPS, tls=True, challenges=(shown,))

    rendered = render_config(model_of((listener(443, secure),)))

    assert rendered == {"static_resources": {}}
