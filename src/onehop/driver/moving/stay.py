"""A data plane that comes and goes by itself."""

import asyncio
from typing import Generic, TypeVar

import structlog

from onehop.driver.driver import Driver

log = structlog.get_logger(__name__)


D = TypeVar("D", bound=Driver)


class Stay(Generic[D]):
    """One data plane, held open by a task of its own, for each comes and goes by itself.

    Attributes:
        is_needed: whether nothing is served without it: then its faults are everybody's.
        failure: why it did not come up.
    """

    def __init__(self, driver: D, *, is_needed: bool = False) -> None:
        self.driver = driver
        self.is_needed = is_needed
        self.failure: Exception | None = None
        self.gone = asyncio.Event()
        self._settled = asyncio.Event()
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Have it run until `leave`."""
        try:
            async with self.driver.running():
                self._settled.set()
                await self._leaving.wait()
        except Exception as err:
            if self._settled.is_set():
                log.error("data_plane_failed", driver=self.driver.name, error=str(err))  # noqa: TRY400
                if self.is_needed:
                    raise
            self.failure = err
        finally:
            self._settled.set()
            self.gone.set()

    async def wait_up(self) -> Exception | None:
        """Return why it does not come up, or None when it has."""
        await self._settled.wait()
        return self.failure

    def leave(self) -> None:
        """Have it end, as it does by itself when its context is left."""
        self.is_needed = False
        self._leaving.set()
