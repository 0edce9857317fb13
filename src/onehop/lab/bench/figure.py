"""What comes of several rounds: medians, and how far apart the rounds were. Pure."""

import statistics
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of several rounds."""

    median: float
    least: float
    most: float


def spread(values: Iterable[float]) -> Spread:
    """Return the median of values, and the smallest and the largest of them.

    Raises:
        ValueError: there are none.
    """
    found = sorted(values)
    if not found:
        raise ValueError("no values")
    return Spread(median=statistics.median(found), least=found[0], most=found[-1])


def ratio(values: Sequence[float], base: Sequence[float]) -> Spread:
    """Return how many times the base the values are, each compared within its own round.

    What the machine does besides changes from round to round, and falls on both sides of a round.

    Raises:
        ValueError: their numbers differ, or there are none.
    """
    return spread(value / other for value, other in zip(values, base, strict=True))


def turn(items: Sequence[T], number: int) -> tuple[T, ...]:
    """Return the order of a round: A B C D, D C B A, B C D A, A D C B and so on.

    So each comes first as often as last, and each follows every neighbour it has, whatever one
    leaves to the next: warm caches, connections that are being closed.
    """
    start = number // 2 % len(items)
    order = (*items[start:], *items[:start])
    return order if number % 2 == 0 else order[::-1]
