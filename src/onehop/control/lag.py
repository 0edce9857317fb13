"""How late the event loop is: what blocks it delays every change."""

import asyncio
from typing import Final

_TICK_S: Final = 0.05
_WINDOW_S: Final = 60.0


class Lag:
    """Measured for as long as `run` is.

    Attributes:
        worst_s: the longest of this minute and the one before.
    """

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def run(self) -> None:
        """Wake up again and again, and see how late that was; until cancelled."""
        loop = asyncio.get_running_loop()
        window_ends = loop.time() + _WINDOW_S
        worst = 0.0
        while True:
            asked = loop.time()
            await asyncio.sleep(_TICK_S)
            worst = max(worst, loop.time() - asked - _TICK_S)
            self.worst_s = max(worst, self.worst_s)
            if loop.time() >= window_ends:
                self.worst_s, worst = worst, 0.0
                window_ends = loop.time() + _WINDOW_S
