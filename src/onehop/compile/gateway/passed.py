"""TLSRoutes: hosts whose connections go to backends as streams, by the name that clients ask for.

`apis/v1/tlsroute_types.go`, listeners of protocol TLS: in mode Passthrough their TLS goes on as it
is, in mode Terminate it ends here, with the listener's certificate, and what is in it goes on. Of
several routes for one host the oldest has it. A host of a listener without routes is closed: it
belongs to nobody else ("Listener Isolation").
"""

from typing import Final

import msgspec

from onehop.compile.gateway.attachment import PASSED_HOSTS, Attachments
from onehop.compile.gateway.gateway import GATEWAY_INTENTS, GatewayIntent
from onehop.compile.gateway.hostname import ANY
from onehop.compile.gateway.listener import Protocol
from onehop.compile.gateway.route import ROUTE_RULES, Rules
from onehop.compile.gateway.routepool import shares_shown, shown_at
from onehop.compile.policy import Policy
from onehop.compile.router import HostKey
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef, RouterId
from onehop.model.listener import Passthrough
from onehop.model.problem import Problem, Reason


def _passed(reader: Reader, key: HostKey) -> Cell[Passthrough]:
    rivals = [
        each
        for each in reader.unordered(PASSED_HOSTS, key)
        if reader.need(ROUTE_RULES, each.ref).fault is None
    ]
    rivals.sort(key=lambda each: each.age_key)
    gateway = reader.any(_TLS_HOSTS, key)
    if not rivals:
        closed = _host(key, gateway.ref, None) if gateway is not None else None
        return Cell(closed)
    owner, *others = rivals
    problems = tuple(
        Problem(
            subject=other.ref,
            field="spec.hostnames",
            reason=Reason.CONFLICT,
            message=f"TLS of {key.hostname} belongs to the older {owner.ref}; this route gets no"
            " connections for it",
        )
        for other in others
    )
    ends_tls, rules = _there(reader, owner, key)
    return Cell(_host(key, owner.ref, rules, ends_tls=ends_tls), problems)


def _there(reader: Reader, owner: Attachments, key: HostKey) -> tuple[bool, Rules]:
    """Return whether TLS ends where a host is, and the rules with the pools of its Gateway."""
    rules = reader.need(ROUTE_RULES, owner.ref)
    places = ((each.gateway, place) for each in owner.parents for place in each.places)
    gateway, place = next(found for found in places if found[1].key == key)
    shown = shown_at(reader, owner.ref, gateway)
    if rules.pool is None or not shown:
        return place.ends_tls, rules
    pool, shares = shown.get(rules.pool, rules.pool), shares_shown(rules.shares, shown)
    return place.ends_tls, msgspec.structs.replace(rules, pool=pool, shares=shares)


def _host(
    key: HostKey, owner: ObjectRef, rules: Rules | None, *, ends_tls: bool = False
) -> Passthrough:
    policy = rules.annotated if rules is not None else Policy()
    host = Passthrough(
        hostname=key.hostname,
        owner=owner,
        pool=rules.pool if rules else None,
        shares=rules.shares if rules else (),
        ends_tls=ends_tls and rules is not None and rules.pool is not None,
        any_depth=True,
        allow=policy.allow_sources or (),
        deny=policy.deny_sources or (),
    )
    if policy.idle_timeout is None:
        return host
    return msgspec.structs.replace(host, idle_timeout_s=policy.idle_timeout)


def _tls_hosts(_ref: ObjectRef, intent: GatewayIntent) -> set[HostKey]:
    return {
        intent.place(each, each.hostname).key
        for each in intent.served()
        if each.protocol is Protocol.TLS and each.hostname != ANY
    }


_TLS_HOSTS: Final = Index[ObjectRef, GatewayIntent, HostKey](
    GATEWAY_INTENTS, "tls-host", _tls_hosts
)
PASSED: Final = Derived[HostKey, Passthrough]("passed", _passed, (PASSED_HOSTS, _TLS_HOSTS))
PASSED_BY_ROUTER: Final = Index[HostKey, Passthrough, RouterId](
    PASSED, "router", lambda key, _: (key.router,)
)
