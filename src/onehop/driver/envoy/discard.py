"""What nobody points at any more, and the time it is given before it goes.

Requests in flight still use a pool after its last route has moved on. Waiting for them must not
hold up the next plan, so removals are put down here with a deadline, and one task makes them.
"""

import asyncio
from collections.abc import Callable, Iterable

from onehop.model.model import RowKey


class Discards:
    """Rows on their way out.

    Args:
        grace_s: how long they stay.
        discard: removes a row for good, or answers False when something points at it again.
    """

    def __init__(self, grace_s: float, discard: Callable[[RowKey], bool]) -> None:
        self._grace_s = grace_s
        self._discard = discard
        self._due_at: dict[RowKey, float] = {}
        self._added = asyncio.Event()

    def __contains__(self, key: RowKey) -> bool:
        return key in self._due_at

    def add(self, keys: Iterable[RowKey]) -> None:
        """Let these rows go when their time has come."""
        due_at = asyncio.get_running_loop().time() + self._grace_s
        self._due_at.update(dict.fromkeys(keys, due_at))
        self._added.set()

    def keep(self, key: RowKey) -> None:
        """Keep a row after all: it is wanted again."""
        self._due_at.pop(key, None)

    async def run(self) -> None:
        """Discard what is due, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._due_at:
                self._added.clear()
                await self._added.wait()
                continue
            now = loop.time()
            due = [key for key, due_at in self._due_at.items() if due_at <= now]
            for key in due:
                if self._discard(key):
                    del self._due_at[key]
                else:
                    self._due_at[key] = now + self._grace_s
            if self._due_at:
                await asyncio.sleep(max(0.0, min(self._due_at.values()) - loop.time()))
