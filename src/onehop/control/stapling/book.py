"""What is known of each certificate and each responder, and so whose turn it is."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from onehop.control.stapling.trust import origin_of
from onehop.model.staple import Inquiry, Staple

AT_ONCE: Final = 4
"""Responders that are asked at the same time."""


class Held:
    """One certificate.

    Attributes:
        due: when to ask (again), seconds since the epoch.
        until: when what was said runs out; 0 if nothing was.
        failures: in a row.
    """

    def __init__(self, inquiry: Inquiry, due: float) -> None:
        self.inquiry = inquiry
        self.origin = origin_of(inquiry.url) or inquiry.url
        self.due = due
        self.until = 0.0
        self.staple: Staple | None = None
        self.failures = 0

    @property
    def state(self) -> str:
        """`good`, `revoked`, or `missing` if nothing is known, or nothing any more."""
        if self.staple is None:
            return "missing"
        if self.staple.revoked_at is not None:
            return "revoked"
        return "missing" if self.staple.response is None else "good"


class Responder:
    """One responder, by its origin.

    Attributes:
        is_asked: whether somebody is at it now.
        rests_until: seconds since the epoch.
        failures: in a row.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self.rests_until = 0.0
        self.failures = 0


class Book:
    """Everything that is wanted."""

    def __init__(self) -> None:
        self._held: dict[Inquiry, Held] = {}
        self._responders: dict[str, Responder] = {}

    def counts(self) -> Mapping[str, int]:
        """Return how many certificates are in which state."""
        return Counter(held.state for held in self._held.values())

    def responder(self, origin: str) -> Responder:
        """Return what is known of a responder."""
        return self._responders.setdefault(origin, Responder())

    def has(self, held: Held) -> bool:
        """Tell whether a certificate is still wanted."""
        return self._held.get(held.inquiry) is held

    def hold(self, inquiry: Inquiry, *, now: float) -> Held:
        """Take up a certificate, to be asked about now."""
        held = self._held[inquiry] = Held(inquiry, due=now)
        return held

    def want(self, wanted: Collection[Inquiry], *, now: float) -> tuple[Inquiry, ...]:
        """Take up what is new, forget and return what is not wanted any more."""
        gone = tuple(self._held.keys() - wanted)
        for inquiry in gone:
            del self._held[inquiry]
        for inquiry in wanted - self._held.keys():
            self.hold(inquiry, now=now)
        if gone:
            origins = {held.origin for held in self._held.values()}
            left = self._responders.items()
            self._responders = {
                origin: each for origin, each in left if each.is_asked or origin in origins
            }
        return gone

    def stale(self, *, now: float) -> list[Held]:
        """Return what was said and has run out."""
        return [held for held in self._held.values() if 0 < held.until <= now]

    def next_responders(self, *, now: float) -> Iterator[str]:
        """Yield responders to ask now; whoever asks one marks it, before the next is taken."""
        for held in self._held.values():
            if held.due > now:
                continue
            if sum(each.is_asked for each in self._responders.values()) >= AT_ONCE:
                return
            responder = self.responder(held.origin)
            if not responder.is_asked and responder.rests_until <= now:
                yield held.origin

    def due(self, origin: str, *, now: float) -> list[Held]:
        """Return what one responder is to be asked about."""
        return [held for held in self._held.values() if held.due <= now and held.origin == origin]
