"""A Listener as HAProxy's frontends.

Most are one. A listener that ends TLS but passes the connections of some hosts on as streams, or
answers a CA by ALPN (RFC 8737), is more: HAProxy chooses a certificate by the name alone, cannot
pass on what it has begun to decrypt, and speaks HTTP on all connections of a socket or on none. So
a frontend for bytes stands in front (`switch`), and hands connections over a Unix socket, with a
PROXY header, to the frontend that they are for.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, assert_never

from onehop.driver.haproxy import word
from onehop.driver.haproxy.guard import source_list
from onehop.driver.haproxy.http import http_rules, route_rules
from onehop.driver.haproxy.place import Place
from onehop.driver.haproxy.share import pool_name
from onehop.driver.haproxy.stream import follow, most_places, way_of
from onehop.driver.haproxy.switch import (
    check_passed,
    ended,
    ended_rules,
    is_switched,
    switch_rules,
    ways_of,
)
from onehop.driver.haproxy.tls import (
    bind_options,
    certificate_list,
    challenge_list,
    check_options,
)
from onehop.model.address import is_ipv6
from onehop.model.ident import ListenerId, PoolId
from onehop.model.listener import ForwardHttp, ForwardTcp, ForwardUdp, Listener

_LONG: Final = "3600s"


class Surroundings(NamedTuple):
    """What a frontend has to know besides its own row.

    Attributes:
        with_default: the names of the lists that have a certificate for any name.
        binds_anything: whether addresses that are not there yet may be bound, by family.
    """

    place: Place
    with_default: frozenset[str]
    binds_anything: bool


def frontend_name(listener: ListenerId) -> str:
    """Return the name of the frontend that clients of a listener reach."""
    return word.name_of("f", listener)


def check_listener(listener: Listener) -> None:
    """Look whether a listener can be had.

    Raises:
        Unfit: it cannot; the message says why.
    """
    match listener.handler:
        case ForwardUdp():
            raise word.Unfit("HAProxy does not pass on UDP")
        case ForwardHttp() as handler:
            if handler.clients is not None:
                word.pem(handler.clients.ca_pem)
            check_passed(handler)
            for checked in handler.client_checks:
                word.host(checked.hostname)
                word.pem(checked.ca_pem)
            for challenge in handler.challenges:
                word.host(challenge.hostname)
        case ForwardTcp():
            pass
        case _:
            assert_never(listener.handler)


def render_frontends(listener: Listener, around: Surroundings) -> Iterator[tuple[str, list[str]]]:
    """Yield sections by their first line."""
    name = frontend_name(listener.id)
    match listener.handler:
        case ForwardTcp() as handler:
            lines = [*_entrance(listener, around, ()), "mode tcp"]
            lines.append(f"timeout client {max(1, round(handler.idle_timeout_s))}s")
            yield f"frontend {name}", [*lines, *_way(name, handler, around.place)]
        case ForwardHttp() as handler if is_switched(handler):
            yield from _switched(name, listener, handler, around)
        case ForwardHttp() as handler:
            tls = _tls_options(name, handler, around) if handler.tls else ()
            yield (
                f"frontend {name}",
                [*_entrance(listener, around, tls), *_http(name, handler, around)],
            )
        case ForwardUdp():
            return
        case _:
            assert_never(listener.handler)


def bytes_to(listener: Listener) -> Iterator[tuple[PoolId, float]]:
    """Yield the pools that get bytes untouched, and the longest silence that each is allowed."""
    match listener.handler:
        case ForwardTcp(pools=pools, idle_timeout_s=idle_timeout_s):
            yield from ((pool, idle_timeout_s) for pool in pools)
        case ForwardHttp(passthroughs=passthroughs):
            for each in passthroughs:
                yield from ((pool, each.idle_timeout_s) for pool in each.pools)
        case ForwardUdp():
            return
        case _:
            assert_never(listener.handler)


def ways(listener: Listener) -> Mapping[str, str]:
    """Return where the connections of a listener go as streams, by key; see `stream`."""
    name = frontend_name(listener.id)
    match listener.handler:
        case ForwardTcp(shares=shares) as handler:
            return {f"{name}/": way_of(handler)} if shares else {}
        case ForwardHttp() as handler:
            return ways_of(name, handler)
        case ForwardUdp():
            return {}
        case _:
            assert_never(listener.handler)


def checked_routers(listener: Listener) -> Mapping[str, str]:
    """Return the router of each host whose clients are checked, by key."""
    if not isinstance(listener.handler, ForwardHttp):
        return {}
    name = frontend_name(listener.id)
    return {
        f"{name}/{check.hostname}": word.name_of("r", check.router)
        for check in listener.handler.client_checks
    }


def _way(name: str, handler: ForwardTcp, place: Place) -> Iterator[str]:
    if not handler.shares:
        yield f"default_backend {pool_name(handler.pool)}"
        return
    key = f"str({name}/),map_str({place.map('way')})"
    yield f"tcp-request content set-var(txn.way) {key}"
    yield from follow(most_places((handler,)))


def _switched(
    name: str, listener: Listener, handler: ForwardHttp, around: Surroundings
) -> Iterator[tuple[str, list[str]]]:
    """Yield the frontend in front, and for each way that ends here a backend and a frontend."""
    place = around.place
    lines = [*_entrance(listener, around, ()), "mode tcp", f"timeout client {_LONG}"]
    yield f"frontend {name}", [*lines, *switch_rules(name, handler, place)]
    bound = _bound("inner", name, place, _tls_options(name, handler, around))
    yield _hand_over("inner", name, place)
    yield f"frontend inner-{name}", [bound, *_http(name, handler, around)]
    if ended(handler):
        bound = _bound("ended", name, place, _tls_options(name, handler, around, is_http=False))
        lines = [bound, "mode tcp", f"timeout client {_LONG}"]
        yield _hand_over("ended", name, place)
        yield f"frontend ended-{name}", [*lines, *ended_rules(name, handler, place)]
    if handler.challenges:
        options = f"crt-list {place.list(challenge_list(name))} alpn acme-tls/1 strict-sni"
        bound = _bound("acme", name, place, (f"ssl {options} ssl-min-ver TLSv1.2",))
        # Nothing is served on such a connection: it ends with the handshake.
        lines = [bound, "mode tcp", "timeout client 10s", "tcp-request content reject"]
        yield _hand_over("acme", name, place, silence="10s")
        yield f"frontend acme-{name}", lines


def _hand_over(way: str, name: str, place: Place, *, silence: str = _LONG) -> tuple[str, list[str]]:
    server = f"server inner {_socket(way, name, place)} send-proxy-v2"
    return f"backend {way}-{name}", ["mode tcp", f"timeout server {silence}", server]


def _bound(way: str, name: str, place: Place, tls: Iterable[str]) -> str:
    return " ".join((f"bind {_socket(way, name, place)} mode 600 accept-proxy", *tls))


def _socket(way: str, name: str, place: Place) -> str:
    return place.socket(f"{way[0]}-{name[-8:]}")


def _http(name: str, handler: ForwardHttp, around: Surroundings) -> Iterator[str]:
    yield from http_rules(name, handler, around.place)
    yield from route_rules(handler)


def _entrance(listener: Listener, around: Surroundings, tls: Iterable[str]) -> Iterator[str]:
    """Yield where clients arrive, and who may.

    The client is the one that a PROXY header names, where there is one: then it is known only after
    the header has been read, which HAProxy calls the session.
    """
    address = f"[{listener.address}]" if is_ipv6(listener.address) else listener.address
    options = ["v6only"] if is_ipv6(listener.address) else []
    if around.binds_anything or not is_ipv6(listener.address):
        options.append("transparent")  # binds before the address is there (IP_FREEBIND)
    if listener.accepts_proxy_protocol:
        options.append("accept-proxy")
    yield " ".join((f"bind {address}:{int(listener.port)}", *options, *tls))
    if listener.max_connections is not None:
        # `maxconn` would let them wait; what comes beyond is closed, as elsewhere.
        yield f"tcp-request connection reject if {{ fe_conn gt {int(listener.max_connections)} }}"
    if listener.sources:
        known = "session" if listener.accepts_proxy_protocol else "connection"
        yield from source_list("sources", listener.sources)
        yield f"tcp-request {known} reject if !sources"


def _tls_options(
    name: str, handler: ForwardHttp, around: Surroundings, *, is_http: bool = True
) -> Iterator[str]:
    certificates = certificate_list(name)
    yield f"ssl crt-list {around.place.list(certificates)}"
    if is_http:
        yield "alpn h2,http/1.1"
    if is_http and handler.clients is not None:  # streams ask for none
        yield check_options(name, handler.clients, around.place)
    yield bind_options(handler.tls_policy)
    if around.place.is_shared:
        yield "no-tls-tickets"  # ours says so in its `global`
    if certificates not in around.with_default:
        yield "strict-sni"
