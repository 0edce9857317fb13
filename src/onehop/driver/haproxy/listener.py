"""A Listener as HAProxy's frontends.

Most are one. A listener that ends TLS but passes the TLS of some hosts on untouched, or answers a
CA by ALPN (RFC 8737), is more: HAProxy chooses a certificate by the name alone, and cannot pass on
what it has begun to decrypt. So a frontend for bytes stands in front, reads the ClientHello, and
hands connections over a Unix socket, with a PROXY header, to the frontend that they are for.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, assert_never

from onehop.driver.haproxy import word
from onehop.driver.haproxy.guard import source_list
from onehop.driver.haproxy.http import http_rules, route_rules
from onehop.driver.haproxy.place import Place
from onehop.driver.haproxy.share import pool_name
from onehop.driver.haproxy.support import HTTP_INSIDE, ONE_POOL
from onehop.driver.haproxy.tls import bind_options, certificate_list, challenge_list
from onehop.model.address import is_ipv6
from onehop.model.ident import ListenerId, PoolId
from onehop.model.listener import ForwardHttp, ForwardTcp, ForwardUdp, Listener, Passthrough

_HELLO: Final = "{ req.ssl_hello_type 1 }"
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


def is_switched(handler: ForwardHttp) -> bool:
    """Tell whether connections are told apart before TLS is ended."""
    return handler.tls and bool(handler.passthroughs or handler.challenges)


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
                raise word.Unfit("this driver checks clients' certificates host by host")
            _check_passed(handler)
            for checked in handler.client_checks:
                word.host(checked.hostname)
                word.pem(checked.ca_pem)
            for challenge in handler.challenges:
                word.host(challenge.hostname)
        case ForwardTcp(shares=shares):
            if shares:
                raise word.Unfit(ONE_POOL)
        case _:
            assert_never(listener.handler)


def _check_passed(handler: ForwardHttp) -> None:
    for name in (*(each.hostname for each in handler.passthroughs), *_exceptions(handler)):
        word.host(name)
    if any(each.shares for each in handler.passthroughs):
        raise word.Unfit(ONE_POOL)
    if any(each.ends_tls for each in handler.passthroughs):
        raise word.Unfit(HTTP_INSIDE)


def render_frontends(listener: Listener, around: Surroundings) -> Iterator[tuple[str, list[str]]]:
    """Yield sections by their first line."""
    name = frontend_name(listener.id)
    match listener.handler:
        case ForwardTcp() as handler:
            lines = [*_entrance(listener, around, ()), "mode tcp"]
            lines.append(f"timeout client {max(1, round(handler.idle_timeout_s))}s")
            lines.append(f"default_backend {pool_name(handler.pool)}")
            yield f"frontend {name}", lines
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
        case ForwardTcp(pool=pool, idle_timeout_s=idle_timeout_s):
            yield pool, idle_timeout_s
        case ForwardHttp(passthroughs=passthroughs):
            for each in passthroughs:
                if each.pool is not None:
                    yield each.pool, each.idle_timeout_s
        case ForwardUdp():
            return
        case _:
            assert_never(listener.handler)


def ways_of(listener: Listener) -> Mapping[str, str]:
    """Return where the connections of a switched listener go, by key: a backend, and a guard.

    A name that an exception takes out of a wildcard is ended here like any other.
    """
    handler, name = listener.handler, frontend_name(listener.id)
    if not isinstance(handler, ForwardHttp) or not is_switched(handler):
        return {}
    ways = {f"{name}/{each}": f"inner-{name}:" for each in _exceptions(handler)}
    for host in handler.passthroughs:
        to = "closed" if host.pool is None else pool_name(host.pool)
        ways[f"{name}/{host.hostname}"] = f"{to}:{_guard_name(host) if _is_guarded(host) else ''}"
    ways |= {f"{name}/acme/{each.hostname}": f"acme-{name}:" for each in handler.challenges}
    return ways


def checked_routers(listener: Listener) -> Mapping[str, str]:
    """Return the router of each host whose clients are checked, by key."""
    if not isinstance(listener.handler, ForwardHttp):
        return {}
    name = frontend_name(listener.id)
    return {
        f"{name}/{check.hostname}": word.name_of("r", check.router)
        for check in listener.handler.client_checks
    }


def _switched(
    name: str, listener: Listener, handler: ForwardHttp, around: Surroundings
) -> Iterator[tuple[str, list[str]]]:
    inner, acme = around.place.socket(f"i-{name[-8:]}"), around.place.socket(f"a-{name[-8:]}")
    lines = [*_entrance(listener, around, ()), "mode tcp", f"timeout client {_LONG}"]
    lines += _switch(name, handler, around.place)
    yield f"frontend {name}", lines
    yield f"backend inner-{name}", ["mode tcp", f"timeout server {_LONG}", *_hand_over(inner)]
    options = " ".join(_tls_options(name, handler, around))
    bound = f"bind {inner} mode 600 accept-proxy {options}"
    yield f"frontend inner-{name}", [bound, *_http(name, handler, around)]
    if handler.challenges:
        shown = around.place.list(challenge_list(name))
        options = f"ssl crt-list {shown} alpn acme-tls/1 strict-sni ssl-min-ver TLSv1.2"
        yield f"backend acme-{name}", ["mode tcp", "timeout server 10s", *_hand_over(acme)]
        yield (
            f"frontend acme-{name}",
            [
                f"bind {acme} mode 600 accept-proxy {options}",
                "mode tcp",
                "timeout client 10s",
                # Nothing is served on such a connection: it ends with the handshake.
                "tcp-request content reject",
            ],
        )


def _hand_over(socket: str) -> list[str]:
    return [f"server inner {socket} send-proxy-v2"]


def _switch(name: str, handler: ForwardHttp, place: Place) -> Iterator[str]:
    ways = place.map("way")

    def look_up(prefix: str, variable: str, condition: str) -> str:
        key = f"str({name}/{prefix}),concat(,{variable}),map_str({ways})"
        return f"tcp-request content set-var(txn.way) {key} if {condition}"

    unknown = "!{ var(txn.way) -m found }"
    yield "tcp-request inspect-delay 5s"
    yield f"tcp-request content set-var(txn.sni) req.ssl_sni,lower if {_HELLO}"
    yield look_up("acme/", "txn.sni", "{ req.ssl_alpn acme-tls/1 }")
    yield look_up("", "txn.sni", unknown)
    yield f"tcp-request content set-var(txn.wild) var(txn.sni),regsub(^[^.]+,*) if {unknown}"
    yield look_up("", "txn.wild", unknown)
    yield "tcp-request content set-var(txn.guard) var(txn.way),field(2,:)"
    yield "tcp-request content set-var(txn.to) var(txn.way),field(1,:)"
    for host in filter(_is_guarded, handler.passthroughs):
        guard = _guard_name(host)
        here = f"{{ var(txn.guard) -m str {guard} }}"
        yield from source_list(f"{guard}-allow", host.allow)
        yield from source_list(f"{guard}-deny", host.deny)
        if host.allow:
            yield f"tcp-request content reject if {here} !{guard}-allow"
        if host.deny:
            yield f"tcp-request content reject if {here} {guard}-deny"
    yield "tcp-request content reject if { var(txn.to) -m str closed }"
    yield "use_backend %[var(txn.to)] if { var(txn.to) -m found }"
    yield f"default_backend inner-{name}"


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


def _tls_options(name: str, handler: ForwardHttp, around: Surroundings) -> Iterator[str]:
    certificates = certificate_list(name)
    yield f"ssl crt-list {around.place.list(certificates)}"
    yield from bind_options(handler.tls_policy)
    if around.place.is_shared:
        yield "no-tls-tickets"  # ours says so in its `global`
    if certificates not in around.with_default:
        yield "strict-sni"


def _exceptions(handler: ForwardHttp) -> Iterator[str]:
    for host in handler.passthroughs:
        yield from host.exceptions


def _is_guarded(host: Passthrough) -> bool:
    return bool(host.allow or host.deny)


def _guard_name(host: Passthrough) -> str:
    return word.name_of("g", host.hostname)
