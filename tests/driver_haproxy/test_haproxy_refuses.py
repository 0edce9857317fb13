"""What HAProxy is not given, and why: said before it sees anything."""

from pathlib import Path

import pytest

from onehop.driver.haproxy import HaproxyOptions
from onehop.driver.haproxy.book import Book
from onehop.driver.haproxy.render import why_not
from onehop.model.listener import ForwardHttp, ForwardTcp, ForwardUdp, Passthrough, PortCheck
from onehop.model.model import Row
from onehop.model.pool import AltName, BackendProtocol, BackendTls
from onehop.model.route import (
    Conditions,
    Cors,
    Forward,
    HeaderEdit,
    Mirror,
    PoolShare,
    Redirect,
    Respond,
    Retry,
)
from tests.driver_envoy.world import (
    HTTPS,
    SERVICE,
    forward,
    host,
    identity,
    listener,
    pool,
    route,
    udp_listener,
)

DNS = pool("dns", protocol=BackendProtocol.UDP)
OPTIONS = HaproxyOptions(state_dir=Path("/state"))
CA = identity("ca", "ca.example").chain_pem
MANY = tuple((f"q{number}", "x") for number in range(41))
OTHERS = (AltName("x"), AltName("spiffe://x", is_uri=True))
DEEP = ".".join("abcdefghijkl")


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (DNS, "does not pass on UDP"),
        (udp_listener(53, ForwardUdp(pool=DNS.id)), "does not pass on UDP"),
        (host(f"*.{DEEP}", route(Respond(status=200))), "more than 10 labels"),
        (host("a", route(Respond(status=200, body="x" * 9000))), "more than 8192 bytes"),
        (host("a", route(Redirect(code=300))), "300 is not a redirect"),
        (host("a", route(Redirect(scheme="ftp"))), "not http or https"),
        (host("a", route(forward(DNS, retry=Retry(codes=(418,))))), "try again after 418"),
        (host("a", route(forward(DNS, mirrors=(Mirror(DNS.id),)))), "no copies of requests"),
        (host("a", route(forward(DNS, retry=Retry(backoff_s=0.1)))), "no pause"),
        (host("a", route(Redirect(host="*.example"))), "not the name of one host"),
        (host("a", route(forward(DNS, rewrite_host="*"))), "not the name of one host"),
        (host("a", route(forward(DNS), when=Conditions(method="get it"))), "not a method"),
        (
            host("a", route(forward(DNS), when=Conditions(headers=(("it's", "x"),)))),
            "not a name that can be looked for",
        ),
        (
            host("a", route(forward(DNS), when=Conditions(queries=MANY))),
            "more than 40 conditions",
        ),
        (host("a", route(forward(DNS), cors=Cors(origins=("page.example",)))), "not the origin"),
        (
            host("a", route(forward(DNS), request_headers=HeaderEdit(set=((":path", "/"),)))),
            "not the name of a header",
        ),
        (pool("x", tls=BackendTls(ca_pem=CA, server_name="x", names=OTHERS)), "it sends to them"),
        (pool("x", tls=BackendTls(ca_pem=CA, names=(AltName("x"),))), "it sends to them"),
        (
            listener(443, ForwardHttp(router=HTTPS, tls=True, clients=PortCheck(ca_pem="CA"))),
            "not PEM",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_with_a_reason(row: Row, why: str) -> None:
    """The row alone, in words for the owner of the object."""
    reason = why_not(row, OPTIONS)

    assert reason is not None
    assert why in reason


def test_a_route_without_any_share_is_taken() -> None:
    """It answers 503, as a route to nobody does."""
    nobody = Forward(pools=(PoolShare(DNS.id, 0),))

    assert why_not(host("a", route(nobody)), OPTIONS) is None


@pytest.mark.parametrize("is_http", [True, False])
def test_bytes_go_to_no_pool_that_speaks_http(*, is_http: bool) -> None:
    """HAProxy would refuse the configuration as a whole, or turn connections away."""
    web = pool(protocol=BackendProtocol.HTTP1 if is_http else BackendProtocol.TCP)
    passed = Passthrough(hostname="a.example", owner=SERVICE, pool=web.id)
    book = Book(OPTIONS)
    book.put(web)

    for handler in (
        ForwardTcp(pool=web.id),
        ForwardHttp(router=HTTPS, tls=True, passthroughs=(passed,)),
    ):
        reason = book.why_not_passed(listener(443, handler))
        assert (reason is not None) is is_http
        assert reason is None or "use a TCP pool" in reason
