"""Virtual hosts: what all claims on one host name come to.

Precedence is Ingress v1's: an exact host before a wildcard before none; within a host an exact path
before prefixes, longer prefixes first. The same path claimed twice goes to the older object, and
the other is told. What no rule of the host takes goes to the oldest `defaultBackend`. Before all of
them stands what a CA looks for just now (see `proof`).
"""

from typing import Final

import msgspec

from onehop.compile.clientcert import (
    HOST_CHECKS,
    MISDIRECTED,
    REFUSED,
    UNCHECKED,
    HostCheck,
)
from onehop.compile.hostkey import HOST_KEYS
from onehop.compile.ingress import (
    ANY_HOST,
    CLAIMS_BY_HOST,
    DEFAULT_CLAIMS,
)
from onehop.compile.inputs import ONLY
from onehop.compile.passthrough import is_passed
from onehop.compile.proof import PROOFS_IN, proofs_in
from onehop.compile.router import PLAIN_ROUTER, TLS_ROUTER, HostKey
from onehop.compile.rule import Claim
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.compile.tlsowner import PASSTHROUGHS
from onehop.model.ident import HostId, ObjectRef, RouterId
from onehop.model.problem import Problem, Reason, Severity, quoted
from onehop.model.route import Labels, PathKind, PathMatch, Route, VirtualHost

EVERYTHING: Final = PathMatch(PathKind.PREFIX, "/")


class Lost(msgspec.Struct, frozen=True):
    """A claim on a path that another claim has."""

    loser: ObjectRef
    claim: Claim
    winner: Claim


class Merged(msgspec.Struct, frozen=True):
    """The claims on a host in the order of precedence, each path once, and who lost."""

    claims: tuple[Claim, ...]
    lost: tuple[Lost, ...]


def _compute(reader: Reader, key: HostKey) -> Cell[VirtualHost]:
    tls = key.router != PLAIN_ROUTER
    check = reader.get(HOST_CHECKS, key.hostname) or UNCHECKED
    if key.router != (check.check.router if tls and check.check else _usual(tls=tls)):
        return Cell(_misdirected(key))
    merged = claims_on(reader, key.hostname)
    routes = [_route(claim, check, tls=tls) for claim in merged.claims]
    if tls and reader.get(PASSTHROUGHS, key.hostname) is not None:
        routes = [_misdirected_route(key)]
    if key.hostname.startswith("*."):
        # An Ingress wildcard stands for one label only: deeper names are names without a rule.
        wider = claims_on(reader, ANY_HOST)
        any_check = reader.get(HOST_CHECKS, ANY_HOST) or UNCHECKED
        others = [_route(claim, any_check, tls=tls) for claim in wider.claims]
        routes = [
            *(msgspec.structs.replace(route, labels=Labels.ONE) for route in routes),
            *(msgspec.structs.replace(route, labels=Labels.MORE) for route in others),
        ]
    default = reader.get(DEFAULT, ONLY)
    if default is not None and not any(_takes_everything(route) for route in routes):
        routes.append(_route(default, UNCHECKED, tls=tls))
    host = VirtualHost(
        id=HostId(f"{key.router}/{key.hostname}"),
        router=key.router,
        hostname=key.hostname,
        routes=(*proofs_in(reader, key), *routes),
    )
    # Both routers merge the same claims; one telling of who lost is enough.
    told = (lost for lost in merged.lost if not tls and not is_passed(lost.claim))
    return Cell(host, tuple(map(_lost, told)))


def _usual(*, tls: bool) -> RouterId:
    return TLS_ROUTER if tls else PLAIN_ROUTER


def _route(claim: Claim, check: HostCheck, *, tls: bool) -> Route:
    route = claim.route(tls=tls)
    if tls and not check.serves(claim):
        return msgspec.structs.replace(route, action=REFUSED)
    return route


def _misdirected(key: HostKey) -> VirtualHost:
    """Return what a host is to connections that were not made for it."""
    return VirtualHost(
        id=HostId(f"{key.router}/{key.hostname}"),
        router=key.router,
        hostname=key.hostname,
        routes=(_misdirected_route(key),),
    )


def _misdirected_route(key: HostKey) -> Route:
    return Route(
        id=f"{key.router}/{key.hostname}", owner=None, match=EVERYTHING, action=MISDIRECTED
    )


def _takes_everything(route: Route) -> bool:
    return route.match == EVERYTHING and route.labels is Labels.ANY


def claims_on(reader: Reader, hostname: str) -> Merged:
    """Return what all claims on a host come to."""
    winners: dict[PathMatch, Claim] = {}
    lost: list[Lost] = []
    rivals = reader.unordered(CLAIMS_BY_HOST, hostname)
    for intent in sorted(rivals, key=lambda intent: intent.age_key):
        for claim in intent.claims:
            if claim.hostname != hostname:
                continue
            winner = winners.setdefault(claim.plain.match, claim)
            if winner is not claim:
                lost.append(Lost(intent.ref, claim, winner))
    ordered = sorted(winners.values(), key=lambda claim: _precedence(claim.plain.match))
    return Merged(tuple(ordered), tuple(lost))


def _precedence(match: PathMatch) -> tuple[bool, int, str]:
    return (match.kind is not PathKind.EXACT, -len(match.value), match.value)


def _lost(lost: Lost) -> Problem:
    match = lost.claim.plain.match
    owner = lost.winner.plain.owner
    older = "an earlier rule of this Ingress" if owner == lost.loser else f"the older {owner}"
    return Problem(
        subject=lost.loser,
        field=f"spec.rules[host={lost.claim.hostname}].http.paths[path={quoted(match.value)}]",
        reason=Reason.CONFLICT,
        message=f"{match.kind} path {quoted(match.value)} of host {lost.claim.hostname} belongs to"
        f" {older}; this one takes no requests",
    )


def _default(reader: Reader, _only: tuple[()]) -> Cell[Claim]:
    """Give the shared VIP's left-overs to the oldest Ingress that has a defaultBackend."""
    rivals = sorted(reader.unordered(DEFAULT_CLAIMS, ONLY), key=lambda intent: intent.age_key)
    problems = tuple(
        Problem(
            subject=rival.ref,
            field="spec.defaultBackend",
            reason=Reason.CONFLICT,
            message=f"what no rule takes goes to the older {rivals[0].ref}; this defaultBackend"
            " gets no requests",
            severity=Severity.WARNING,
        )
        for rival in rivals[1:]
    )
    return Cell(rivals[0].default, problems)


DEFAULT: Final = Derived[tuple[()], Claim]("default", _default, (DEFAULT_CLAIMS,))
CHECKED_KEYS: Final = Index[str, HostCheck, HostKey](
    HOST_CHECKS,
    "host-key",
    lambda hostname, item: (
        {HostKey(item.check.router, name) for name in (hostname, ANY_HOST)} if item.check else ()
    ),
)
HOSTS: Final = Derived[HostKey, VirtualHost](
    "hosts", _compute, (HOST_KEYS, CHECKED_KEYS, PROOFS_IN)
)
