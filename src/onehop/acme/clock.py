"""Time, as the engine takes it, and as the machine has it."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What time it is, and waiting."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds, never sooner."""
        ...


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds by the wall clock, which may be set while we wait."""
        until = self.now() + seconds
        while (left := until - self.now()) > 0:
            # At most a minute at once: a clock that is set forward is noticed, one that is set
            # back does not keep us longer than was asked for.
            await asyncio.sleep(min(left, 60.0))
            until = min(until, self.now() + left)
