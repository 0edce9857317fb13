"""What was asked of the unit, what came of it, and how late endpoints reached it."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from itertools import accumulate
from typing import Final

BUCKETS_S: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Outcome(StrEnum):
    """What became of a call."""

    READ = "read"
    WRITTEN = "written"
    REFUSED = "refused"
    """The unit has something against the object."""
    DENIED = "denied"
    """The unit does not take our name and password, or has not given us the right."""
    FAILED = "failed"
    """5xx, or no answer of the unit's own."""
    LATE = "late"
    """No answer within the time."""
    UNREACHED = "unreached"
    """No connection, one that was cut, or a certificate that is not trusted."""


class Calls:
    """Counters that only grow."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.writes = 0
        """How many were begun, whatever became of them."""
        self._late: Counter[int] = Counter()
        self._late_s = 0.0

    @property
    def made(self) -> int:
        """Return how many calls have ended."""
        return self.outcomes.total()

    def endpoints_took(self, lag_s: float) -> None:
        """Take in how long a change of endpoints took to be on the unit."""
        self._late[bisect_left(BUCKETS_S, lag_s)] += 1
        self._late_s += lag_s

    def lag(self) -> tuple[Mapping[float, int], float]:
        """Return how many changes took up to so many seconds, and the sum of all."""
        each = (self._late[number] for number in range(len(BUCKETS_S) + 1))
        return dict(zip((*BUCKETS_S, float("inf")), accumulate(each), strict=True)), self._late_s
