"""Rate limits as token buckets, as in client-go's flowcontrol."""

from collections.abc import Callable


class TokenBucket:
    """`burst` tokens at first, refilled at a rate, never more than `burst`.

    Args:
        rate_per_s: tokens per second.
        burst: the most that can be there.
        clock: seconds, monotonic.
    """

    def __init__(self, *, rate_per_s: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._clock = clock
        self._tokens = self._burst
        self._at = clock()

    def wait_s(self) -> float:
        """Return how long until there is a token; 0 when there is one."""
        self._refill()
        return max(0.0, (1.0 - self._tokens) / self._rate_per_s)

    def take(self) -> float:
        """Take a token, on credit if there is none, and return how long to wait for it."""
        wait_s = self.wait_s()
        self._tokens -= 1.0
        return wait_s

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate_per_s)
        self._at = now
