"""What all requests of a router go through: hygiene, who the client is, the way to a route.

HAProxy tests rules one by one, for each request. So what most requests need comes first, and what
ends the rules of a frontend for them comes as soon as it can (`http-request allow`).
"""

from collections.abc import Iterator
from typing import Final

from onehop.driver.haproxy import word
from onehop.driver.haproxy.choice import CHOICES_HERE, CHOSEN_HERE
from onehop.driver.haproxy.match import AFTER_PATH, NO_ROUTE
from onehop.driver.haproxy.misdirected import class_rules, misdirected_rules
from onehop.driver.haproxy.place import Place
from onehop.driver.haproxy.policy import IS_POOL
from onehop.driver.haproxy.servername import parent_of
from onehop.model.listener import ForwardHttp

POLICIES_HERE: Final = {False: "# policies, http", True: "# policies, https"}
"""Where the rules of all policies stand in a frontend; see `configuration`."""
WILDCARDS_HERE: Final = "# wildcards"
"""Where names are looked up that are deeper below a wildcard than one label."""

_HOST: Final = "req.hdr(host),field(1,:),lower"
_IS_CANONICAL: Final = "!{ pathq -m sub '#' % // /. }"
_IS_PLAIN: Final = f"{{ var(txn.pool) {IS_POOL} }}"
_PATH: Final = f"concat(,txn.path,{AFTER_PATH})"
_IS_UNKNOWN: Final = "!{ var(txn.pool) -m found }"


def http_rules(name: str, handler: ForwardHttp, place: Place) -> Iterator[str]:
    """Yield the lines of a frontend that come before and find the route.

    Args:
        name: of the frontend.
        handler: what it serves.
        place: where the maps are.
    """
    yield "mode http"
    yield from class_rules(handler, place)
    # A worker that is replaced lets idle connections have one more request: none is cut off.
    yield "option idle-close-on-response"
    yield "timeout client 300s"
    yield "timeout http-request 10s"
    yield "timeout http-keep-alive 300s"
    # A part of a host with a slash would be looked up as a path; RFC 9112, section 3.2.
    no_host = "!{ req.hdr(host) -m found } or { req.hdr(host) -m sub / }"
    yield f"http-request deny deny_status 400 if {no_host}"
    yield from _client(handler)
    leaving = f"{{ str(leaving),map_str({place.map('switch')}) -m found }}"
    yield f"http-after-response set-header connection close if {leaving}"
    yield from _fast_lane(name, handler, place)
    yield from _path_hygiene()
    yield from _find_route(handler, place)


def route_rules(handler: ForwardHttp) -> Iterator[str]:
    """Yield the lines that do as the route wants, and send the request on its way."""
    is_nowhere = f"{{ var(txn.pool) -m str {NO_ROUTE} }}"
    yield f"http-request return status 404 if {_IS_UNKNOWN} or {is_nowhere}"
    yield "http-request set-var(txn.route) var(txn.pool)"
    # What a plain answer says is the third field, and is looked at there (`policy`).
    for number, part in enumerate(("policy", "pool"), start=1):
        yield f"http-request set-var(txn.{part}) var(txn.route),field({number},:)"
    yield "http-after-response allow unless { var(txn.policy) -m found }"
    yield POLICIES_HERE[handler.tls]
    yield CHOICES_HERE
    yield CHOSEN_HERE[handler.tls]
    yield "use_backend %[var(txn.pool)]"
    yield "default_backend nothing"


def _path_hygiene() -> Iterator[str]:
    """Yield how paths are made canonical before they are matched.

    `%2F` becomes `/` by a redirect: forwarded as it came, `/admin%2Fx` would pass a guard on
    `/admin` and still be `/admin/x` to an application that decodes it.
    """
    yield "http-request deny deny_status 400 if { path -m sub '#' }"
    for normalizer in (
        "percent-to-uppercase",
        "percent-decode-unreserved",
        "path-merge-slashes",
        "path-strip-dot",
        "path-strip-dotdot full",
    ):
        yield f"http-request normalize-uri {normalizer}"
    hidden = "{ path -m sub '%2F' '%5C' }"
    # Slashes are merged once more: `//evil.example` would be another host to a browser.
    shown = "%[path,regsub(%2F,/,g),regsub(%5C,/,g),regsub(/+,/,g)]"
    for location, condition in (
        (f"{shown}?%[query]", f"{hidden} {{ query -m found }}"),
        (shown, hidden),
    ):
        yield f"http-request redirect code 307 location '{location}' if {condition}"


def _client(handler: ForwardHttp) -> Iterator[str]:
    """Yield who the client is taken to be, and what applications are told about it.

    With no trusted proxy in front, whatever a client says of addresses is replaced before anything
    reads it. `X_Forwarded_For` and `X-Forwarded-For` are one variable to CGI and WSGI: names with
    underscores are dropped, as nginx does by default.
    """
    scheme = "https" if handler.tls else "http"
    yield "http-request del-header _ -m sub"
    # An application that takes up h2c would take requests past every rule of this file.
    yield "http-request del-header upgrade unless { req.hdr(upgrade) -i websocket }"
    yield "http-request del-header x-forwarded-client-cert"
    is_believed = handler.trusted_hops > 0
    if is_believed:
        nth = f"hdr_ip(x-forwarded-for,-{int(handler.trusted_hops)})"
        yield "http-request set-var(txn.peer) src"
        yield f"http-request set-src req.{nth} if {{ req.{nth} -m found }}"
        yield from _told_peer()
    else:
        yield "http-request del-header forwarded"
        yield "http-request set-header x-forwarded-for %[src]"
    for name, value in (
        ("x-forwarded-host", "%[req.hdr(host)]"),
        ("x-forwarded-port", "%[dst_port]"),
        ("x-forwarded-proto", scheme),
        ("x-request-id", "%[uuid()]"),
    ):
        unless = f" unless {{ req.hdr({name}) -m found }}" if is_believed else ""
        yield f"http-request set-header {name} {value}{unless}"
    yield "http-request set-header x-real-ip %[src]"
    if handler.client_checks or (handler.clients is not None and handler.clients.is_required):
        told = 'Hash=%[ssl_c_der,sha2(256),hex,lower];Subject="%{+E}[ssl_c_s_dn(,0,rfc2253)]"'
        yield (
            "http-request set-header x-forwarded-client-cert"
            f" {word.quoted(told)} if {{ ssl_c_used }}"
        )


def _told_peer() -> Iterator[str]:
    """Yield how who connected is put behind those that are believed, in their line if it is one."""
    one_line = "{ req.fhdr_cnt(x-forwarded-for) eq 1 }"
    joined = "'%[req.fhdr(x-forwarded-for)], %[var(txn.peer)]'"
    yield f"http-request set-var(txn.told) bool(true) if {one_line}"
    told = "{ var(txn.told) -m found }"
    yield f"http-request set-header x-forwarded-for {joined} if {told}"
    yield f"http-request add-header x-forwarded-for %[var(txn.peer)] unless {told}"


def wildcard_rule(labels: int, place: Place) -> str:
    """Return how a name is looked up that has more than one label before so many of a wildcard."""
    return _look_up(f"var(txn.host),{parent_of(labels, '**')}", place)


def _look_up(host: str, place: Place) -> str:
    key = f"{host},concat(,txn.at)"
    return f"http-request set-var(txn.pool) {key},map_beg({place.map('route')}) if {_IS_UNKNOWN}"


def _fast_lane(name: str, handler: ForwardHttp, place: Place) -> Iterator[str]:
    """Yield one lookup, after which most requests are done: those that need nothing else.

    Their host is named as it is, their route only forwards, and in their path and query there is
    nothing that would have to be made canonical.
    """
    router = word.name_of("r", handler.router)
    behind = f"concat(/{router},txn.path,{AFTER_PATH})"
    if handler.client_checks:
        checked = f"str({name}/),concat(,sess.sni),map_str({place.map('check')})"
        yield "http-request set-var(sess.sni) ssl_fc_sni,lower"
        yield f"http-request set-var(txn.router) str({router})"
        yield f"http-request set-var(txn.router) {checked} if {{ ssl_fc_has_sni }}"
        behind = f"concat(/,txn.router),{_PATH}"
    found = f"{_HOST},{behind},map_beg({place.map('route')})"
    yield "http-request set-var(txn.path) path"
    yield f"http-request set-var(txn.pool) {found} if {_IS_CANONICAL}"
    yield from misdirected_rules(handler, place)
    yield f"http-request allow if {_IS_PLAIN}"


def _find_route(handler: ForwardHttp, place: Place) -> Iterator[str]:
    """Yield the lookups that `match` tells of, for all that the fast lane has left."""
    router = f"str(/{word.name_of('r', handler.router)})"
    if handler.client_checks:
        router = "str(/),concat(,txn.router)"
    yield "http-request set-var(txn.path) path"
    yield f"http-request set-var(txn.host) {_HOST}"
    yield f"http-request set-var(txn.at) {router},{_PATH}"
    yield _look_up("var(txn.host)", place)
    yield _look_up("var(txn.host),regsub(^[^.]+,*)", place)
    yield WILDCARDS_HERE
    yield _look_up("str(*)", place)
    yield from misdirected_rules(handler, place)
    yield f"http-request allow if {_IS_PLAIN}"
