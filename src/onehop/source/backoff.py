"""How long to wait before asking again."""

from collections.abc import Callable

from onehop.source.patience import BackoffTimes


class Backoff:
    """Waits that double with every failure in a row, spread so that hosts do not march in step.

    Args:
        times: the limits.
        random: a number in [0, 1), uniformly distributed.
    """

    def __init__(self, times: BackoffTimes, random: Callable[[], float]) -> None:
        self._times = times
        self._random = random
        self._next_s = times.first_s

    def next_s(self, retry_after_s: float | None = None) -> float:
        """Return how long to wait now: half to all of the backoff, and never less than asked."""
        wait_s = self._next_s * (0.5 + self._random() / 2)
        self._next_s = min(self._next_s * 2, self._times.longest_s)
        return max(wait_s, retry_after_s or 0.0)

    def reset(self) -> None:
        """Begin anew: something succeeded."""
        self._next_s = self._times.first_s
