"""How many calls may be under way at once: as many as the unit takes without becoming slow.

Nothing public says how many calls a unit works at in parallel, and people use it beside us. So the
number is found out as TCP Vegas finds a rate (Brakmo and Peterson, 1995): it grows while a call
takes little longer than one alone did, shrinks when calls wait for each other, and is halved when
one fails. A unit that works at one call after another is asked two at a time, one that works at
many gets `MOST`.
"""

import asyncio
from collections import deque
from types import TracebackType
from typing import Final, Self

MOST: Final = 32
LEAST: Final = 2
_FIRST: Final = 8
_SLOW: Final = 3.0
"""Calls that take so many times what the quickest took wait for each other."""
_NEWEST: Final = 0.1
"""The share of the newest call in the average: one that was slow for a reason of its own, or of
ours, does not count for much."""
_SHRINK: Final = 0.8


class Window:
    """Holds up whoever enters while as many are inside as shall be."""

    def __init__(self) -> None:
        self.size = float(_FIRST)
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._quickest_s: dict[str, float] = {}
        self._average_s: dict[str, float] = {}
        self._calm = 0

    async def __aenter__(self) -> Self:
        """Wait until there is room."""
        if self._waiting or self._inside >= int(self.size):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._give_up(turn)
                raise
        else:
            self._inside += 1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Make room."""
        self._inside -= 1
        self._let_in()

    def took(self, method: str, duration_s: float) -> None:
        """Learn from a call that was answered; reading and writing are told apart."""
        quickest_s = min(duration_s, self._quickest_s.get(method, duration_s))
        average_s = self._average_s.get(method, duration_s)
        average_s += _NEWEST * (duration_s - average_s)
        self._quickest_s[method], self._average_s[method] = quickest_s, average_s
        self._calm = max(0, self._calm - 1)
        if average_s <= _SLOW * quickest_s:
            if self._waiting:
                self.size = min(float(MOST), self.size + 1 / self.size)
                self._let_in()
        elif self.size <= LEAST:  # it is not we who make it slow
            self._quickest_s[method] = average_s / _SLOW
        elif not self._calm:  # the calls under way were begun before the last step
            self._step_down(_SHRINK)

    def failed(self) -> None:
        """Learn from a call that was not answered, or with haste or a fault of the unit's own."""
        if not self._calm:
            self._step_down(0.5)

    def _step_down(self, share: float) -> None:
        self.size = max(float(LEAST), self.size * share)
        self._calm = int(self.size)

    def _let_in(self) -> None:
        while self._waiting and self._inside < int(self.size):
            turn = self._waiting.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        """Leave the queue; or, let in at the very moment of being cancelled, leave again."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif not turn.cancelled():
            self._inside -= 1
            self._let_in()
