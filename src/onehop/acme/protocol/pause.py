"""Pauses that a CA asks for: read from `Retry-After`, kept, and waited for.

A pause is about a *resource*, a URL, or about the CA as a whole: a 503 is the server's word for
itself (RFC 9110, section 15.6.4), and Let's Encrypt uses it for its limit of requests in all.
"""

from email.utils import parsedate_to_datetime
from typing import Final

from onehop.acme.clock import Clock
from onehop.base.errors import AcmeUnavailable

_LONGEST_S: Final = 30 * 24 * 3600.0
"""A CA that asks for more than a month is taken to have slipped."""
EVERYTHING: Final = "*"


def read_retry_after(value: str | None, *, now: float) -> float | None:
    """Return the seconds that a `Retry-After` header asks for (RFC 9110, section 10.2.3).

    Args:
        value: delay in seconds or an HTTP date; None or nonsense gives None.
        now: from which a date is counted.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_S)
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, at - now), _LONGEST_S)


class Pauses:
    """What may not be asked for yet.

    Args:
        patience_s: longer pauses are not waited for but raised, so that whoever asks can give its
            place to somebody else.
    """

    def __init__(self, clock: Clock, *, patience_s: float) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._until: dict[str, float] = {}

    def hold(self, resource: str, seconds: float) -> None:
        """Let nobody ask for the resource (or EVERYTHING) before so many seconds have passed."""
        now = self._clock.now()
        self._until = {held: until for held, until in self._until.items() if until > now}
        self._until[resource] = max(self._until.get(resource, 0.0), now + seconds)

    def left_s(self, *resources: str) -> float:
        """Return how long none of the resources may be asked for; 0 if all may."""
        now = self._clock.now()
        ends = (self._until.get(resource, 0.0) for resource in (EVERYTHING, *resources))
        return max(0.0, *(until - now for until in ends))

    async def wait(self, *resources: str) -> None:
        """Return when all the resources may be asked for.

        Raises:
            AcmeUnavailable: that takes longer than our patience.
        """
        while (left_s := self.left_s(*resources)) > 0:
            if left_s > self._patience_s:
                raise AcmeUnavailable(
                    f"the CA wants to be left alone for {left_s:.0f} s more", retry_after_s=left_s
                )
            await self._clock.sleep(left_s)
