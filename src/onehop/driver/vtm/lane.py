"""The endpoint lane: changed pools leave at once, one write of each at a time.

While a pool's write is in flight, further changes of it wait, and are one write when it is done:
each write takes what the pool shall be at that moment. Nothing here waits for a plan.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import structlog

from onehop.base.errors import DriverUnavailable
from onehop.driver.vtm.content import ObjectKey

log = structlog.get_logger(__name__)

_AGAIN_S: Final = 1.0


class Lane:
    """Objects to be brought to what they shall be, now.

    Args:
        bring: does so, and returns what is refused.
    """

    def __init__(
        self, bring: Callable[[Iterable[ObjectKey]], Awaitable[Mapping[ObjectKey, str]]]
    ) -> None:
        self._bring = bring
        self._waiting: set[ObjectKey] = set()
        self._in_flight: set[ObjectKey] = set()
        self._added = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether everything has been written."""
        return not (self._waiting or self._in_flight)

    def add(self, keys: Iterable[ObjectKey]) -> None:
        """Write these objects."""
        self._waiting.update(keys)
        self._added.set()

    async def run(self) -> None:
        """Write what is added, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._added.wait()
                self._added.clear()
                for key in sorted(self._waiting - self._in_flight):
                    self._in_flight.add(key)
                    group.create_task(self._send(key))

    async def _send(self, key: ObjectKey) -> None:
        while key in self._waiting:
            self._waiting.discard(key)
            try:
                refused = await self._bring((key,))
            except DriverUnavailable as err:
                log.warning("vtm_endpoints_late", object=str(key), error=str(err))
                self._waiting.add(key)
                await asyncio.sleep(_AGAIN_S)
            else:
                for reason in refused.values():
                    log.error("vtm_refused", object=str(key), reason=reason)
        self._in_flight.discard(key)
