"""The prefixes of all routes and rules of the kernel, and when each was last touched.

A route that the kernel reports as removed leaves its prefix here for a while: another of the same
prefix may stand (in another table, with another metric, or a further hop of IPv6), and a prefix too
many is harmless. A full reading drops it. So routes that vanish without a word, as IPv4's do when
their interface goes down, are no trouble either: it only matters that the kernel is asked again.
"""

import math
from typing import Final

from onehop.net.fib.prefix import EVERYTHING, Key, Prefixes, length_of
from onehop.net.fib.route import Matched

REMEMBERED_S: Final = 120.0
"""How long a touch is remembered, and a prefix kept that no route has any more."""


class Reading:
    """What a reading of all routes and rules of one family found."""

    def __init__(self) -> None:
        self.keys: set[Key] = {EVERYTHING}
        self.refusals: dict[Key, tuple[int, int]] = {}

    def add(self, matched: Matched) -> None:
        """Take one of them."""
        self.keys.add(matched.key)
        if matched.refuses is not None:
            self.refusals[matched.key] = matched.refuses


class Mirror:
    """The prefixes of one family."""

    def __init__(self, *, ipv6: bool) -> None:
        self.ipv6 = ipv6
        self.prefixes = Prefixes(128 if ipv6 else 32)
        self._refusals: dict[Key, tuple[int, int]] = {}
        self._touched: dict[Key, float] = {}

    def fill(self, reading: Reading) -> None:
        """Take what there is when onehop begins; none of it counts as touched."""
        self.prefixes.replace(reading.keys)
        self._refusals = reading.refusals

    def refill(self, reading: Reading, now: float) -> None:
        """Take what a later reading found; what has come or gone unheard counts as touched now."""
        for key in reading.keys ^ self.prefixes.all():
            self._touched.setdefault(key, now)
        for key, at in list(self._touched.items()):
            if key in reading.keys:
                self.prefixes.add(key)
            if at <= now - REMEMBERED_S:
                del self._touched[key]
                if key not in reading.keys and key in self.prefixes:
                    self.prefixes.remove(key)
        self._refusals = reading.refusals

    def touch(self, matched: Matched, now: float) -> None:
        """Take note of a route that came, went or changed."""
        self.prefixes.add(matched.key)
        self._touched[matched.key] = now
        if matched.refuses is not None:
            self._refusals[matched.key] = matched.refuses

    def touched_at(self, key: Key, length: int) -> float:
        """Return when anything was last touched that may decide about a span.

        Args:
            key: the innermost prefix of the span.
            length: of the prefix that the span's route has; wider ones do not matter to it.

        Returns:
            -inf if nothing was, within REMEMBERED_S.
        """
        latest = -math.inf
        if not self._touched:
            return latest
        while length_of(key) >= length:
            latest = max(latest, self._touched.get(key, -math.inf))
            if key == EVERYTHING:
                break
            key = self.prefixes.parent(key)
        return latest

    def refusal(self, key: Key) -> tuple[Key, tuple[int, int] | None]:
        """Return the prefix that refuses what lies in another, and its table and protocol.

        A policy rule that refuses has table 0; None if it is one for all addresses.
        """
        while key != EVERYTHING and key not in self._refusals:
            key = self.prefixes.parent(key)
        return key, self._refusals.get(key)
