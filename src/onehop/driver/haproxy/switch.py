"""Connections told apart by the name that clients ask for, before anybody ends their TLS.

A frontend for bytes reads the ClientHello, and looks up where the name leads: to a pool, to where
TLS is ended for HTTP, to where CAs look (`acme`), or to where TLS is ended and what is in it goes
on as a stream (`ended`), which looks up the name once more for its pool.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from onehop.driver.haproxy import word
from onehop.driver.haproxy.guard import source_list
from onehop.driver.haproxy.place import Place
from onehop.driver.haproxy.servername import labels_of_wildcard, parent_of
from onehop.driver.haproxy.stream import follow, most_places, way_of
from onehop.model.listener import ForwardHttp, Passthrough

_HELLO: Final = "{ req.ssl_hello_type 1 }"
_UNKNOWN: Final = "!{ var(txn.way) -m found }"


def is_switched(handler: ForwardHttp) -> bool:
    """Tell whether connections are told apart before TLS is ended."""
    return handler.tls and bool(handler.passthroughs or handler.challenges)


def check_passed(handler: ForwardHttp) -> None:
    """Look whether names can be told apart.

    Raises:
        Unfit: one is none.
    """
    for passed in handler.passthroughs:
        for name in (passed.hostname, *passed.exceptions):
            word.host(name)


def ways_of(frontend: str, handler: ForwardHttp) -> Mapping[str, str]:
    """Return where the connections of a switched listener go, by key (`stream`).

    A name that an exception takes out of a wildcard is ended here like any other.
    """
    if not is_switched(handler):
        return {}
    ways: dict[str, str] = {}
    for host in handler.passthroughs:
        for name in _keys(host.exceptions, any_depth=host.any_depth):
            ways[f"{frontend}/{name}"] = f"inner-{frontend}:"
    for host in handler.passthroughs:
        guard = _guard_name(host) if _is_guarded(host) else ""
        for name in _keys((host.hostname,), any_depth=host.any_depth):
            if host.ends_tls:
                ways[f"{frontend}/{name}"] = f"ended-{frontend}:{guard}"
                ways[f"ended-{frontend}/{name}"] = way_of(host)
            else:
                ways[f"{frontend}/{name}"] = way_of(host, guard)
    ways |= {f"{frontend}/acme/{e.hostname}": f"acme-{frontend}:" for e in handler.challenges}
    return ways


def switch_rules(name: str, handler: ForwardHttp, place: Place) -> Iterator[str]:
    """Yield the rules of the frontend that tells connections apart."""
    passed = handler.passthroughs
    yield "tcp-request inspect-delay 5s"
    yield f"tcp-request content set-var(txn.sni) req.ssl_sni,lower if {_HELLO}"
    yield _look_up(f"{name}/acme/", "txn.sni", place, "{ req.ssl_alpn acme-tls/1 }")
    yield from _look_ups(name, passed, place)
    yield "tcp-request content set-var(txn.guard) var(txn.way),field(2,:)"
    for host in filter(_is_guarded, passed):
        yield from _guard_rules(host)
    yield from follow(most_places(each for each in passed if not each.ends_tls))
    yield f"default_backend inner-{name}"


def ended(handler: ForwardHttp) -> tuple[Passthrough, ...]:
    """Return the hosts whose TLS ends here, and goes on as a stream."""
    return tuple(each for each in handler.passthroughs if each.ends_tls)


def ended_rules(name: str, handler: ForwardHttp, place: Place) -> Iterator[str]:
    """Yield the rules of the frontend that has ended the TLS of such hosts; without their guards.

    Args:
        name: of the listener's own frontend.
        handler: what it serves.
        place: where the maps are.
    """
    hosts = ended(handler)
    yield "tcp-request content set-var(txn.sni) ssl_fc_sni,lower"
    yield from _look_ups(f"ended-{name}", hosts, place)
    yield from follow(most_places(hosts))


def _look_ups(owner: str, hosts: Iterable[Passthrough], place: Place) -> Iterator[str]:
    """Yield the lookups of a name: as it is, one label below a wildcard, and deeper."""
    yield _look_up(f"{owner}/", "txn.sni", place, _UNKNOWN)
    yield f"tcp-request content set-var(txn.wild) var(txn.sni),regsub(^[^.]+,*) if {_UNKNOWN}"
    yield _look_up(f"{owner}/", "txn.wild", place, _UNKNOWN)
    deep = (name for h in hosts if h.any_depth for name in (h.hostname, *h.exceptions))
    for labels in sorted({labels_of_wildcard(name) for name in deep} - {0}, reverse=True):
        parent = f"var(txn.sni),{parent_of(labels, '**')}"
        yield f"tcp-request content set-var(txn.wild) {parent} if {_UNKNOWN}"
        yield _look_up(f"{owner}/", "txn.wild", place, _UNKNOWN)


def _look_up(prefix: str, variable: str, place: Place, condition: str) -> str:
    key = f"str({prefix}),concat(,{variable}),map_str({place.map('way')})"
    return f"tcp-request content set-var(txn.way) {key} if {condition}"


def _keys(names: Iterable[str], *, any_depth: bool) -> Iterator[str]:
    for name in names:
        yield name
        if any_depth and name.startswith("*."):
            yield f"*{name}"


def _guard_rules(host: Passthrough) -> Iterator[str]:
    guard = _guard_name(host)
    here = f"{{ var(txn.guard) -m str {guard} }}"
    yield from source_list(f"{guard}-allow", host.allow)
    yield from source_list(f"{guard}-deny", host.deny)
    if host.allow:
        yield f"tcp-request content reject if {here} !{guard}-allow"
    if host.deny:
        yield f"tcp-request content reject if {here} {guard}-deny"


def _is_guarded(host: Passthrough) -> bool:
    return bool(host.allow or host.deny)


def _guard_name(host: Passthrough) -> str:
    return word.name_of("g", host.hostname)
