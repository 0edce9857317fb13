"""When a responder is asked: pure, with the time and the dice as arguments."""

from typing import Final

import msgspec

REFUSED_AGAIN_S: Final = 86_400.0
"""When a responder that must not be asked is thought over: what this host trusts may change."""
_SPREAD: Final = 0.1
_LONGEST_S: Final = 86_400.0


class Pace(msgspec.Struct, frozen=True):
    """How fast is asked.

    Attributes:
        look_s: how often it is looked at whose turn it is.
        least_s: between two answers for one certificate, however short they are valid.
        backoff_s: after the first failure in a row, the second, ...; then the last.
    """

    look_s: float = 0.5
    least_s: float = 60.0
    backoff_s: tuple[float, ...] = (10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)

    def fresh_at(self, until: float, *, now: float, dice: float) -> float:
        """Return when to ask again: when half of what is left of an answer's validity is over.

        Up to a tenth later, so that certificates made together part ways. CAs renew answers by
        half their lifetime (CA/Browser Forum, Baseline Requirements, section 4.9.10).
        """
        return now + max(self.least_s, (until - now) / 2 * (1 + dice * _SPREAD))

    def again_at(
        self, failures: int, *, now: float, dice: float, asked_s: float | None = None
    ) -> float:
        """Return when to try again what has failed.

        Args:
            failures: in a row, at least one.
            now: seconds since the epoch.
            dice: in [0, 1).
            asked_s: what the responder asked for (Retry-After).
        """
        wait_s = self.backoff_s[min(failures, len(self.backoff_s)) - 1] * (1 + dice * _SPREAD)
        return now + min(max(wait_s, asked_s or 0.0), _LONGEST_S)
