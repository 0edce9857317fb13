"""Virtual hosts of Gateways: the rules of all routes that count on a host, in order.

A host of a port has the routes of one listener alone, the closest one (see `attachment`). A request
goes to the host whose name is closest to its own, and stays there: what no rule of it takes is
answered 404, though a route for `*.example.com` would take it. "Precedence must be given to rules
from the HTTPRoute with the largest number of characters in a matching non-wildcard hostname", then
"in a matching hostname" (HTTPRouteSpec.Hostnames) is read so by every implementation with virtual
hosts, as by Ingresses here (docs/adr/0010-ingress-hosts-do-not-fall-through.md). Where routes come
to one host by different hostnames of theirs, because the listener has narrowed them, the one that
says more goes first with all of its rules; the rules of the others take what these leave
(conformance test HTTPRouteMultipleRoutesAttachmentSameHostnameIntersection, release 1.7).

Before all routes stands what a CA looks for just now (see `proof`).
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from onehop.compile.gateway.attachment import ROUTED_HOSTS, Attachments
from onehop.compile.gateway.contention import losses
from onehop.compile.gateway.gateway import LISTENER_HOSTS
from onehop.compile.gateway.misdirected import MADE_FOR
from onehop.compile.gateway.place import Place
from onehop.compile.gateway.plainport import PLAIN_PORT_HOSTS
from onehop.compile.gateway.proof import GATEWAY_PROOFS_IN, gateway_proofs_in
from onehop.compile.gateway.route import ROUTE_RULES, Entry
from onehop.compile.gateway.routepool import Shown, shown_at, with_shown
from onehop.compile.router import HostKey
from onehop.compile.sheet import Cell, Derived, Reader
from onehop.model.ident import HostId, ObjectRef
from onehop.model.route import (
    Conditions,
    Forward,
    PathMatch,
    Redirect,
    RedirectShare,
    Route,
    VirtualHost,
)

_USUAL: Final = {False: 80, True: 443}


def _compute(reader: Reader, key: HostKey) -> Cell[VirtualHost]:
    within = key  # a listener's own name, if no route says otherwise
    is_awaited = reader.any(PLAIN_PORT_HOSTS, key) is not None
    is_wanted = is_awaited or reader.any(LISTENER_HOSTS, key) is not None
    entries: list[tuple[Entry, Place, Shown]] = []
    for attachments in reader.unordered(ROUTED_HOSTS, key):
        rules = reader.need(ROUTE_RULES, attachments.ref)
        gateway, place = _place(attachments, key)
        if place.listener in losses(reader, attachments.ref):
            continue
        is_wanted = True
        within = HostKey(key.router, place.within)
        shown = shown_at(reader, attachments.ref, gateway)
        entries += ((entry, place, shown) for entry in rules.entries)
    proofs = gateway_proofs_in(reader, key)
    if not (is_wanted or proofs):
        return Cell(None)  # requests for it are another host's, a wildcard's
    entries.sort(key=lambda item: (-len(item[1].said), item[0].order))
    routes = _first_of_each(_at(entry.route, place, shown) for entry, place, shown in entries)
    host = VirtualHost(
        id=HostId(f"{key.router}/{key.hostname}"),
        router=key.router,
        hostname=key.hostname,
        made_for=reader.get(MADE_FOR, within),
        routes=(*proofs, *routes),
    )
    return Cell(host)


def _place(attachments: Attachments, key: HostKey) -> tuple[ObjectRef, Place]:
    """Return the Gateway and the place by which a route counts on a host."""
    places = ((each.gateway, place) for each in attachments.parents for place in each.places)
    return next(found for found in places if found[1].key == key)


def _first_of_each(routes: Iterable[Route]) -> Iterable[Route]:
    """Return the routes without those that take the same as an earlier one."""
    found: dict[tuple[PathMatch, Conditions], Route] = {}
    for route in routes:
        found.setdefault((route.match, route.when), route)
    return found.values()


def _at(route: Route, place: Place, shown: Shown) -> Route:
    """Return a route as it is on a port of a Gateway."""
    match route.action:
        case Forward(redirects=redirects) as forward if shown or redirects:
            turned = tuple(
                RedirectShare(_turn(each.redirect, place), each.weight) for each in redirects
            )
            action = msgspec.structs.replace(with_shown(forward, shown), redirects=turned)
            return msgspec.structs.replace(route, action=action)
        case Redirect() as redirect:
            return msgspec.structs.replace(route, action=_turn(redirect, place))
        case _:
            return route


def _turn(redirect: Redirect, place: Place) -> Redirect:
    """Return a redirect as it is on a port of a Gateway.

    "If redirect scheme is empty, the redirect port MUST be the Gateway Listener port"; and "the
    port SHOULD NOT be added" where it is the usual one (HTTPRequestRedirectFilter.Port).
    """
    if redirect.scheme is not None:
        return redirect
    usual = _USUAL[place.is_tls]
    if redirect.port is None:
        port = None if place.port == usual else place.port
        return msgspec.structs.replace(redirect, port=port)
    if redirect.port != usual:
        return redirect
    scheme = "https" if place.is_tls else "http"  # as it is; with it, the port is left out
    return msgspec.structs.replace(redirect, scheme=scheme)


GATEWAY_HOSTS: Final = Derived[HostKey, VirtualHost](
    "gateway-hosts", _compute, (ROUTED_HOSTS, LISTENER_HOSTS, GATEWAY_PROOFS_IN, PLAIN_PORT_HOSTS)
)
