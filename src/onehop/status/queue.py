"""Which object is written next: each at most once in line, never two writes of one at a time.

The work queue of client-go (util/workqueue) in one event loop. It holds names, not work: whoever
takes a name looks at the newest of everything, so there is no backlog however fast reports come.
"""

import asyncio
import heapq
from collections.abc import Callable

from onehop.model.ident import ObjectRef


class WorkQueue:
    """Names in line, names for later, and names that are being worked on; for one taker.

    Args:
        clock: seconds, monotonic.
        goes_first: whether a name is taken before all that do not.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        goes_first: Callable[[ObjectRef], bool] = lambda _: False,
    ) -> None:
        self._clock = clock
        self._goes_first = goes_first
        self._first: dict[ObjectRef, None] = {}
        self._ready: dict[ObjectRef, None] = {}
        self._later: list[tuple[float, ObjectRef]] = []
        self._due: dict[ObjectRef, float] = {}
        self._busy: set[ObjectRef] = set()
        self._again: set[ObjectRef] = set()
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._first.keys() | self._ready.keys() | self._due.keys() | self._busy)

    def put(self, ref: ObjectRef) -> None:
        """Line up; one that is being worked on comes again after that."""
        self._due.pop(ref, None)
        if ref in self._busy:
            self._again.add(ref)
            return
        line = self._first if self._goes_first(ref) else self._ready
        line[ref] = None
        self._wake.set()

    def put_after(self, ref: ObjectRef, delay_s: float) -> None:
        """Line up after a while, or sooner if it is already to come sooner."""
        due = self._clock() + delay_s
        is_in_line = ref in self._first or ref in self._ready
        if is_in_line or self._due.get(ref, due + 1.0) <= due:
            return
        self._due[ref] = due
        heapq.heappush(self._later, (due, ref))
        self._wake.set()

    async def take(self) -> ObjectRef:
        """Wait for the next name; `done` must follow."""
        while True:
            self._wake.clear()
            next_s = self._promote()
            for line in (self._first, self._ready):
                if line:
                    ref = next(iter(line))
                    del line[ref]
                    self._busy.add(ref)
                    return ref
            try:
                async with asyncio.timeout(next_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def done(self, ref: ObjectRef) -> None:
        """End the work on a name that was taken."""
        self._busy.discard(ref)
        if ref in self._again:
            self._again.discard(ref)
            self.put(ref)

    def _promote(self) -> float | None:
        """Line up what is due; return how long until the next one is, None if there is none."""
        now = self._clock()
        while self._later:
            due, ref = self._later[0]
            if self._due.get(ref) == due and due > now:
                return due - now
            heapq.heappop(self._later)
            if self._due.get(ref) == due:  # otherwise it was put, or put sooner, meanwhile
                self.put(ref)
        return None
