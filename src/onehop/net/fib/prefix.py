"""Which addresses the kernel must answer alike.

Two addresses that lie in exactly the same prefixes of all routes (of whatever table) and of all
policy rules are the same to every look-up, for nothing else of a look-up depends on the address.
Prefixes nest; so the innermost one that an address lies in says which all the others are, and one
question for each innermost prefix is enough.

A prefix too many is harmless: it divides what is alike, and costs a question. One too few is not.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple, NewType

Key = NewType("Key", int)
"""A prefix as a number: its first address times 256, plus its length. Sorts parents first."""

EVERYTHING: Final = Key(0)
"""0.0.0.0/0 or ::/0, which is always there, be there a default route or not."""

_LENGTH_BITS: Final = 8
_LENGTH: Final = 0xFF


def key_of(number: int, length: int) -> Key:
    """Return the key of a prefix, whose host bits are zero."""
    return Key(number << _LENGTH_BITS | length)


def length_of(key: Key) -> int:
    """Return the length of a prefix."""
    return key & _LENGTH


class Span(NamedTuple):
    """Neighbouring addresses, from first to last inclusive, whose innermost prefix is `key`."""

    first: int
    last: int
    key: Key


class Prefixes:
    """All prefixes of one family.

    Args:
        bits: of an address, 32 or 128.
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self._sorted: list[Key] = [EVERYTHING]
        self._all: set[Key] = {EVERYTHING}
        self._lengths: Counter[int] = Counter((0,))
        self._longest_first: tuple[int, ...] = (0,)

    def __contains__(self, key: Key) -> bool:
        return key in self._all

    def __len__(self) -> int:
        return len(self._all)

    def add(self, key: Key) -> None:
        """Add a prefix, if it is not there."""
        if key not in self._all:
            self._all.add(key)
            insort(self._sorted, key)
            self._count(length_of(key), 1)

    def remove(self, key: Key) -> None:
        """Forget a prefix that is there."""
        self._all.remove(key)
        del self._sorted[bisect_left(self._sorted, key)]
        self._count(length_of(key), -1)

    def replace(self, keys: Iterable[Key]) -> None:
        """Forget all prefixes and take these."""
        self._all = {EVERYTHING, *keys}
        self._sorted = sorted(self._all)
        self._lengths = Counter(map(length_of, self._all))
        self._order()

    def all(self) -> frozenset[Key]:
        """Return what is there."""
        return frozenset(self._all)

    def ends(self, key: Key) -> tuple[int, int]:
        """Return the first and the last address of a prefix."""
        first = key >> _LENGTH_BITS
        return first, first | ((1 << (self.bits - length_of(key))) - 1)

    def around(self, number: int, length: int) -> Key:
        """Return the innermost prefix that an address lies in and that is at most so long."""
        for candidate in self._longest_first:
            if candidate <= length:
                shift = self.bits - candidate
                key = key_of(number >> shift << shift, candidate)
                if key in self._all:
                    return key
        return EVERYTHING

    def parent(self, key: Key) -> Key:
        """Return the innermost prefix around a prefix; of everything, everything."""
        return self.around(key >> _LENGTH_BITS, length_of(key) - 1)

    def inside(self, first: int, last: int, length: int) -> list[Key]:
        """Return what lies between two ends and is longer than `length`, parents first."""
        start = bisect_left(self._sorted, key_of(first, length + 1))
        end = bisect_right(self._sorted, key_of(last, _LENGTH))
        return self._sorted[start:end]

    def split(self, first: int, last: int, length: int) -> tuple[Span, ...]:
        """Return a prefix as spans: in order, without gaps."""
        inner = self.inside(first, last, length)
        if not inner:
            return (Span(first, last, self.around(first, length)),)
        starts = {first}
        for key in inner:
            begin, end = self.ends(key)
            starts.add(begin)
            if end < last:
                starts.add(end + 1)
        ordered = sorted(starts)
        ends = [*(start - 1 for start in ordered[1:]), last]
        spans: list[Span] = []
        for start, end in zip(ordered, ends, strict=True):
            key = self.around(start, self.bits)
            is_same = bool(spans) and spans[-1].key == key
            spans.append(Span(spans.pop().first if is_same else start, end, key))
        return tuple(spans)

    def _count(self, length: int, more: int) -> None:
        before = self._lengths[length]
        self._lengths[length] += more
        if not before or not self._lengths[length]:
            self._order()

    def _order(self) -> None:
        self._longest_first = tuple(sorted(+self._lengths, reverse=True))
