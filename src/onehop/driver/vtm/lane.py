"""The endpoint lane: changed pools leave at once, one write of each at a time.

While a pool's write is in flight, further changes of it wait, and are one write when it is done:
each write takes what the pool shall be at that moment. Nothing here waits for a plan.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog

from onehop.base.errors import DriverUnavailable
from onehop.driver.vtm.content import Kind, ObjectKey

log = structlog.get_logger(__name__)


class Lane:
    """Objects to be brought to what they shall be, now.

    Args:
        bring: does so, and returns what is refused.
        took: told how long a pool's endpoints took to be on the unit, in seconds.
        at_once: how many pools may be written at the same time.
        again_s: when a write that failed is tried again.
    """

    def __init__(
        self,
        bring: Callable[[Iterable[ObjectKey]], Awaitable[Mapping[ObjectKey, str]]],
        took: Callable[[float], None],
        *,
        at_once: int,
        again_s: float,
    ) -> None:
        self._bring = bring
        self._took = took
        self._again_s = again_s
        self._slots = asyncio.Semaphore(at_once)
        self._waiting: dict[ObjectKey, float] = {}
        self._in_flight: set[ObjectKey] = set()
        self._added = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether everything has been written."""
        return not (self._waiting or self._in_flight)

    def add(self, keys: Iterable[ObjectKey]) -> None:
        """Write these objects."""
        for key in keys:
            self._waiting.setdefault(key, time.monotonic())
        self._added.set()

    async def run(self) -> None:
        """Write what is added, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._added.wait()
                self._added.clear()
                for key in sorted(self._waiting.keys() - self._in_flight):
                    self._in_flight.add(key)
                    group.create_task(self._send(key))

    async def _send(self, key: ObjectKey) -> None:
        while key in self._waiting:
            async with self._slots:
                since = self._waiting.pop(key)
                is_written = await self._write(key)
            if not is_written:
                self._waiting[key] = since
                await asyncio.sleep(self._again_s)
            elif key.kind is Kind.POOL:
                self._took(time.monotonic() - since)
        self._in_flight.discard(key)

    async def _write(self, key: ObjectKey) -> bool:
        try:
            refused = await self._bring((key,))
        except DriverUnavailable as err:
            log.warning("vtm_endpoints_late", object=str(key), error=str(err))
            return False
        for reason in refused.values():
            log.error("vtm_refused", object=str(key), reason=reason)
        return True
