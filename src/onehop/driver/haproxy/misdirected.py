"""Hosts that are served on connections for certain names only (`VirtualHost.made_for`).

A connection has a *class*: of all names that hosts of the router speak of, the closest one to the
name in the handshake (SNI). It is looked up once, when the handshake is over; no class is that of
connections without a name, or with one that is nobody's. What stands for a route of such a host in
the map begins with a *mark*, which says for whom the host's connections are made, and an entry for
`MARK@CLASS` says that a connection is one of these. So a request costs one lookup more, and hosts
and listeners with other names cost entries of maps and no reload.
"""

from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from onehop.driver.haproxy import word
from onehop.driver.haproxy.place import Place
from onehop.driver.haproxy.servername import DEEPEST_WILDCARD, labels_of_wildcard, parents_of
from onehop.model.ident import RouterId
from onehop.model.listener import ForwardHttp
from onehop.model.route import MadeFor

_IS_MARKED: Final = "{ var(txn.pool) -m beg m }"
_NO_CLASS: Final = ""
_ANSWER: Final = r'"this connection was not made for this host\n"'


def mark_of(router: RouterId, made_for: MadeFor) -> str:
    """Return what the values of a host's routes begin with; no other value begins like it.

    Raises:
        Unfit: a name cannot be said to HAProxy.
    """
    names = [word.host(name) for name in _names_of(made_for)]
    if any(labels_of_wildcard(name) > DEEPEST_WILDCARD for name in names):
        raise word.Unfit(f"a connection's wildcard over more than {DEEPEST_WILDCARD} labels")
    return word.token_of("m", msgspec.json.encode([router, made_for]))


def marked(mark: str, value: str) -> str:
    """Return the value of a route on whose host there is a mark."""
    return f"{mark}@{value}"


def made_entries(router: RouterId, made_fors: Collection[MadeFor]) -> Iterator[tuple[str, str]]:
    """Yield the entries by which connections of a router get their class, and what it is good for.

    A class is all that has to be known of a connection: of names that cover the same name each
    covers the next, so who takes one connection of a class takes them all.
    """
    classes = {name for each in made_fors for name in _names_of(each)} - {"*"}
    for name in classes:
        yield f"{name}/{word.name_of('r', router)}", name
    for each in made_fors:
        mark = mark_of(router, each)
        yield from ((f"{mark}@{name}", "yes") for name in classes if _is_for(each, name))
        if each.hostname == "*":
            yield f"{mark}@{_NO_CLASS}", "yes"


def class_rules(handler: ForwardHttp, place: Place) -> Iterator[str]:
    """Yield the rules of a frontend that find the class of a connection."""
    if not handler.splits_names:
        return
    look_up = f"concat(/{word.name_of('r', handler.router)}),map_str({place.map('made')})"
    yield "tcp-request session set-var(sess.sni) ssl_fc_sni,lower"
    yield f"tcp-request session set-var(sess.made) var(sess.sni),{look_up}"
    for parent in parents_of("*"):
        found = f"var(sess.sni),{parent},{look_up} if !{{ var(sess.made) -m found }}"
        yield f"tcp-request session set-var(sess.made) {found}"


def misdirected_rules(handler: ForwardHttp, place: Place) -> Iterator[str]:
    """Yield the rules that compare a route with the connection, and take its mark off.

    They come wherever a route may have been found, before anything is done as it says.
    """
    if not handler.splits_names:
        return
    is_here = f"var(txn.pool),field(1,@),concat(@,sess.made),map_str({place.map('made')})"
    sent_away = f"http-request return status 421 content-type text/plain string {_ANSWER}"
    yield f"{sent_away} if {_IS_MARKED} !{{ {is_here} -m found }}"
    yield f"http-request set-var(txn.pool) var(txn.pool),field(2,@) if {_IS_MARKED}"


def _names_of(made_for: MadeFor) -> tuple[str, ...]:
    return (made_for.hostname, *made_for.exceptions)


def _is_for(made_for: MadeFor, name: str) -> bool:
    is_taken = any(_covers(exception, name) for exception in made_for.exceptions)
    return _covers(made_for.hostname, name) and not is_taken


def _covers(hostname: str, name: str) -> bool:
    is_below = hostname.startswith("*") and name.endswith(hostname[1:])
    return is_below or hostname == name
