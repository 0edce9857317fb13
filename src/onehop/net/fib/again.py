"""Looking again at what has changed, a moment later.

The kernel tells of some changes before it carries them out: of an IPv4 route that is removed
(fib_table_delete), of an interface that goes down, of an address or a nexthop object that goes. The
event may even be what interrupts it, on a host with one processor. Whoever asks at once may hear of
the old route; so it is asked at once, for mostly the answer is right, and again after each of
AGAIN_S.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

AGAIN_S: Final = (0.01, 0.1, 1.0)
"""After a scheduler's slice, after a busy one, and after a table of a hundred thousand routes that
goes with its interface."""

T = TypeVar("T")


class Again(Generic[T]):
    """Things to look at again."""

    def __init__(self) -> None:
        self._lines = tuple(_Line[T](pause_s) for pause_s in AGAIN_S)

    def add(self, what: T) -> None:
        """Have something looked at after each pause from now."""
        now = asyncio.get_running_loop().time()
        for line in self._lines:
            line.waiting.append((now + line.pause_s, what))
            line.is_filled.set()

    async def run(self, look: Callable[[list[T]], Awaitable[None]]) -> None:
        """Call with what is due, until cancelled; what is due together comes together."""
        async with asyncio.TaskGroup() as group:
            for line in self._lines:
                group.create_task(line.run(look))


class _Line(Generic[T]):
    """Things that wait for the same time, in order."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s
        self.waiting: deque[tuple[float, T]] = deque()
        self.is_filled = asyncio.Event()

    async def run(self, look: Callable[[list[T]], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.is_filled.wait()
            await asyncio.sleep(self.waiting[0][0] - loop.time())
            due: list[T] = []
            while self.waiting and self.waiting[0][0] <= loop.time():
                due.append(self.waiting.popleft()[1])
            if not self.waiting:
                self.is_filled.clear()
            await look(due)
