"""TCPRoutes and UDPRoutes: whose connections a listener's are.

`apis/v1/tcproute_types.go`, `udproute_types.go`. Nothing in a stream tells for whom it is, so of
several routes on one listener the oldest has it, and the others are told.
"""

from collections.abc import Iterator
from typing import Final

from onehop.compile.gateway.attachment import ATTACHMENTS, Attachments
from onehop.compile.gateway.listener import Listening
from onehop.compile.gateway.route import ROUTE_RULES
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, quoted

_KINDS: Final = frozenset(("TCPRoute", "UDPRoute"))


def is_stream(ref: ObjectRef) -> bool:
    """Tell whether a route is for whole listeners."""
    return ref.kind in _KINDS


def has_any(reader: Reader, attachments: Attachments) -> bool:
    """Tell whether a stream's route has any of the listeners that it is attached to."""
    places = ((each.owner, name) for each in attachments.parents for name in each.listeners)
    return any(reader.get(STREAM_OWNERS, place) == attachments.ref for place in places)


def _owner(reader: Reader, listening: Listening) -> Cell[ObjectRef]:
    able = [
        each
        for each in reader.unordered(_STREAMS, listening)
        if reader.need(ROUTE_RULES, each.ref).fault is None
    ]
    if not able:
        return Cell(None)
    winner, *others = sorted(able, key=lambda each: (each.age_key, each.ref))
    return Cell(winner.ref, tuple(_told(listening, winner.ref, each.ref) for each in others))


def _told(listening: Listening, winner: ObjectRef, loser: ObjectRef) -> Problem:
    owner, name = listening
    return Problem(
        subject=loser,
        field="spec.parentRefs",
        reason=Reason.CONFLICT,
        message=f"listener {quoted(name)} of {owner} belongs to the older {winner}; this route"
        " gets no connections there",
    )


def _listeners(ref: ObjectRef, attachments: Attachments) -> Iterator[Listening]:
    if is_stream(ref):
        for each in attachments.parents:
            yield from ((each.owner, name) for name in each.listeners)


_STREAMS: Final = Index[ObjectRef, Attachments, Listening](ATTACHMENTS, "stream", _listeners)
STREAM_OWNERS: Final = Derived[Listening, ObjectRef]("stream-owners", _owner, (_STREAMS,))
