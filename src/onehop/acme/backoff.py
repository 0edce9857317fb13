"""How long to wait after failures in a row: pure, with the dice as an argument."""

from typing import Final

import msgspec


class BackoffTimes(msgspec.Struct, frozen=True):
    """Waits that double with every failure in a row.

    Attributes:
        first_s: after the first one.
        longest_s: no wait is longer, unless the other side asks for it.
    """

    first_s: float
    longest_s: float

    def wait_s(self, failures: int, dice: float) -> float:
        """Return the wait after so many failures in a row, from half of it to all of it.

        Args:
            failures: this one included.
            dice: in [0, 1), uniformly distributed, so that hosts do not march in step.
        """
        doubled = self.first_s * 2.0 ** min(max(failures - 1, 0), 64)
        return min(doubled, self.longest_s) * (0.5 + dice / 2)


AFTER_REFUSAL: Final = BackoffTimes(60.0, 12 * 3600.0)
"""Somebody has to mend something, and the CA counts each try."""
AFTER_OUTAGE: Final = BackoffTimes(1.0, 300.0)
"""The world is down: a try costs nobody anything, and it comes back by itself."""
BETWEEN_LOOKS: Final = BackoffTimes(0.050, 8.0)
"""How often something is looked at that others do, where they do not say (`Retry-After`)."""
_FIRST_LOOK: Final = BackoffTimes(0.010, 0.010)
"""Some CAs are done at once."""


def before_look_s(looks: int, dice: float) -> float:
    """Return the wait before an order or authorization is looked at after so many looks."""
    return BETWEEN_LOOKS.wait_s(looks, dice) if looks else _FIRST_LOOK.wait_s(1, dice)
