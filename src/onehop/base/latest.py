"""A slot that holds the newest value, so that stages hand over without a backlog."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """The newest value of something, for one or more readers in the same event loop.

    Putting never blocks and never queues: a slow reader skips what was overtaken.
    """

    def __init__(self) -> None:
        self._value: T | None = None
        self._revision = 0
        self._changed = asyncio.Event()

    @property
    def revision(self) -> int:
        """How many values have been put; 0 when there is none yet."""
        return self._revision

    def peek(self) -> T | None:
        """Return the newest value without waiting, or None when there is none yet."""
        return self._value

    def put(self, value: T) -> None:
        """Replace the value and wake every reader."""
        self._value = value
        self._revision += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def newer(self, than: int) -> tuple[int, T]:
        """Wait for a value put after revision `than`, and return it with its own revision."""
        while self._revision <= than:
            await self._changed.wait()
        value = self._value
        assert value is not None  # noqa: S101  revision > 0 means that a value was put
        return self._revision, value
