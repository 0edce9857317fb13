"""HTTPRoutes and GRPCRoutes that want the same hosts of a listener: only one of them is accepted.

"If a Route (A) of type HTTPRoute or GRPCRoute is attached to a Listener and that listener already
has another Route (B) of the other type attached and the intersection of the hostnames of A and B is
non-empty, then the implementation MUST accept exactly one of these two routes": the oldest, then
"the Route appearing first in alphabetical order by {namespace}/{name}"
(`apis/v1/grpcroute_types.go`, GRPCRouteSpec.Hostnames).

A route of which no rule can be done keeps nobody out, and neither does one that has lost itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from onehop.compile.gateway.attachment import ATTACHED_REFS, ATTACHMENTS
from onehop.compile.gateway.hostname import names_over
from onehop.compile.gateway.listener import Listening
from onehop.compile.gateway.place import Place
from onehop.compile.gateway.route import ROUTE_RULES
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, quoted

_KINDS: Final = frozenset(("HTTPRoute", "GRPCRoute"))


class Contender(msgspec.Struct, frozen=True, gc=False):
    """A route that can have hosts, and which ones it wants, by listener."""

    ref: ObjectRef
    age_key: tuple[str, str, str]
    hosts: Mapping[Listening, tuple[str, ...]]


def losses(reader: Reader, ref: ObjectRef) -> Mapping[Listening, ObjectRef]:
    """Return the listeners that a route has lost, and the routes of the other kind that won."""
    return reader.get(_LOSSES, ref) or {}


def kept(reader: Reader, ref: ObjectRef, places: Iterable[Place]) -> Iterator[Place]:
    """Yield the places of a route where it counts after all."""
    lost = losses(reader, ref)
    return (place for place in places if place.listener not in lost)


def _contender(reader: Reader, ref: ObjectRef) -> Cell[Contender]:
    attachments = reader.need(ATTACHMENTS, ref)
    if ref.kind not in _KINDS or reader.need(ROUTE_RULES, ref).fault is not None:
        return Cell(None)
    hosts: dict[Listening, tuple[str, ...]] = {}
    for place in {place for each in attachments.parents for place in each.places}:
        hosts[place.listener] = (*hosts.get(place.listener, ()), place.key.hostname)
    wanted = {listening: tuple(sorted(names)) for listening, names in hosts.items()}
    return Cell(Contender(ref, attachments.age_key, wanted) if wanted else None)


class _Given:
    """The hosts of a listener that the routes of one kind have already."""

    def __init__(self) -> None:
        self._owners: dict[str, ObjectRef] = {}
        self._below: dict[str, ObjectRef] = {}

    def give(self, hosts: Iterable[str], owner: ObjectRef) -> None:
        for host in hosts:
            self._owners.setdefault(host, owner)
            for name in names_over(host):
                self._below.setdefault(name, owner)

    def owner_of_any(self, hosts: Iterable[str]) -> tuple[str, ObjectRef] | None:
        """Return the first host that somebody has, or a part of it, and who that is."""
        for host in hosts:
            over = (self._owners[name] for name in names_over(host) if name in self._owners)
            owner = next(over, None) or self._below.get(host)
            if owner is not None:
                return host, owner
        return None


def _dispute(reader: Reader, listening: Listening) -> Cell[Mapping[ObjectRef, ObjectRef]]:
    """Return who has lost a listener, and to whom; nobody where there is one kind of routes."""
    if not reader.count(_HTTP, listening):
        return Cell(None)
    given = {kind: _Given() for kind in _KINDS}
    losers: dict[ObjectRef, ObjectRef] = {}
    problems: list[Problem] = []
    rivals = reader.unordered(_ANY, listening)
    for each in sorted(rivals, key=lambda each: (each.age_key, each.ref)):
        hosts = each.hosts[listening]
        [others] = (given[kind] for kind in _KINDS if kind != each.ref.kind)
        found = others.owner_of_any(hosts)
        if found is None:
            given[each.ref.kind].give(hosts, each.ref)
            continue
        host, winner = found
        losers[each.ref] = winner
        problems.append(_told(listening, each.ref, host, winner))
    return Cell(losers or None, tuple(problems))


def _told(listening: Listening, loser: ObjectRef, host: str, winner: ObjectRef) -> Problem:
    owner, name = listening
    return Problem(
        subject=loser,
        field="spec.hostnames",
        reason=Reason.CONFLICT,
        message=f"{quoted(host)} on listener {quoted(name)} of {owner} belongs to the older"
        f" {winner}, and requests and calls cannot share a host; this route is not served there."
        " Give it a hostname of its own",
    )


def _lost(reader: Reader, ref: ObjectRef) -> Cell[Mapping[Listening, ObjectRef]]:
    contender = reader.get(_CONTENDERS, ref)
    found: dict[Listening, ObjectRef] = {}
    for listening in contender.hosts if contender is not None else ():
        winner = (reader.get(_DISPUTES, listening) or {}).get(ref)
        if winner is not None:
            found[listening] = winner
    return Cell(found or None)


def _listeners(_ref: ObjectRef, contender: Contender) -> Iterable[Listening]:
    return contender.hosts


def _of_kind(kind: str, ref: ObjectRef, contender: Contender) -> Iterable[Listening]:
    return contender.hosts if ref.kind == kind else ()


_CONTENDERS: Final = Derived[ObjectRef, Contender]("contenders", _contender, (ATTACHED_REFS,))
_ANY: Final = Index[ObjectRef, Contender, Listening](_CONTENDERS, "listener", _listeners)
_HTTP: Final = Index[ObjectRef, Contender, Listening](
    _CONTENDERS, "http", lambda ref, contender: _of_kind("HTTPRoute", ref, contender)
)
_GRPC: Final = Index[ObjectRef, Contender, Listening](
    _CONTENDERS, "grpc", lambda ref, contender: _of_kind("GRPCRoute", ref, contender)
)
_DISPUTES: Final = Derived[Listening, Mapping[ObjectRef, ObjectRef]]("disputes", _dispute, (_GRPC,))
_LOSSES: Final = Derived[ObjectRef, Mapping[Listening, ObjectRef]](
    "losses", _lost, (ATTACHED_REFS,)
)
CONTENTION_TABLES: Final = (_CONTENDERS, _DISPUTES, _LOSSES)
