"""How often a number is worth a write: `attachedRoutes` while a thousand routes come.

The first change is written at once, and each further one after a longer wait, up to the longest.
So nobody waits for the number of a single route, and a thousand of them cost no more than a few
writes. After a silence it begins anew.
"""

from typing import Final

FIRST_S: Final = 0.05
LONGEST_S: Final = 0.8


class CountPace:
    """When the numbers of one object may be written again."""

    def __init__(self) -> None:
        self._interval_s = 0.0
        self._free_at_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Return how long a write of numbers must wait; 0 when it may be made."""
        return max(0.0, self._free_at_s - now_s)

    def wrote(self, now_s: float) -> None:
        """Count a write, whatever was in it."""
        is_silent = now_s - self._free_at_s > LONGEST_S
        doubled = min(max(FIRST_S, 2 * self._interval_s), LONGEST_S)
        self._interval_s = FIRST_S if is_silent else doubled
        self._free_at_s = now_s + self._interval_s
