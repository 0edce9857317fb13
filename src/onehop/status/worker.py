"""Works through a queue of names, several at a time, and answers whatever the world does wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from onehop.base.errors import KubeConflict, KubeNotFound, RejectedError, TransientError
from onehop.cluster import Kind
from onehop.model.ident import ObjectRef
from onehop.status.channel import NotLeading, WriterPorts
from onehop.status.limits import Limits
from onehop.status.queue import WorkQueue
from onehop.status.rights import Denied

_GO_FIRST: Final = frozenset({Kind.GATEWAY_CLASS, Kind.GATEWAY, Kind.LISTENER_SET})
"""What thousands of others hang on, and wait for: a Gateway's address comes before its routes."""

log = structlog.get_logger(__name__)


class Worker:
    """Calls `handle` for every name in line, and again after a while when it raises.

    Args:
        handle: does what is to be done about an object now; never runs twice at once for one.
        doing: for log lines, as in "write status".
        concurrency: how many at a time.
        ports: for the time, chance, and whether we lead.
        limits: how long to wait after a failure.
    """

    def __init__(
        self,
        handle: Callable[[ObjectRef], Awaitable[None]],
        *,
        doing: str,
        concurrency: int,
        ports: WriterPorts,
        limits: Limits,
    ) -> None:
        self.queue = WorkQueue(ports.clock, lambda ref: ref.kind in _GO_FIRST)
        self._handle = handle
        self._doing = doing
        self._slots = asyncio.Semaphore(concurrency)
        self._ports = ports
        self._limits = limits
        self._failures: dict[ObjectRef, int] = {}
        self._withheld: set[ObjectRef] = set()

    async def run(self) -> None:
        """Work until cancelled; while we do not lead, whatever comes in line is kept for later."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._resume())
            while True:
                await self._slots.acquire()
                group.create_task(self._work(await self.queue.take()))

    async def _resume(self) -> None:
        """Line up what was kept, as soon as we lead.

        A Lease can run out and be renewed without anybody being told: nobody else had it. So this
        looks at the one thing that counts, instead of waiting for news.
        """
        while True:
            await asyncio.sleep(self._limits.lead_poll_s)
            if self._withheld and self._ports.is_leader():
                withheld, self._withheld = self._withheld, set()
                for ref in withheld:
                    self.queue.put(ref)

    async def _work(self, ref: ObjectRef) -> None:
        try:
            if self._ports.is_leader():
                await self._try(ref)
            else:
                self._withheld.add(ref)
        finally:
            self.queue.done(ref)
            self._slots.release()

    async def _try(self, ref: ObjectRef) -> None:
        failures = self._failures.pop(ref, 0)
        try:
            await self._handle(ref)
        except NotLeading:
            self._withheld.add(ref)
        except Denied as denied:
            self.queue.put_after(ref, denied.retry_in_s)
        except (TransientError, KubeConflict, KubeNotFound) as error:
            self._failures[ref] = failures + 1
            wait_s = self._limits.retry_s(failures + 1, self._ports.random())
            if isinstance(error, TransientError):
                wait_s = max(wait_s, error.retry_after_s or 0.0)
            self._log("status_write_failed", ref, error, wait_s)
            self.queue.put_after(ref, wait_s)
        except RejectedError as error:
            # The same bytes would fail again; a newer report or object comes in line by itself.
            self._log("status_write_rejected", ref, error, self._limits.longest_retry_s)
            self.queue.put_after(ref, self._limits.longest_retry_s)

    def _log(self, event: str, ref: ObjectRef, error: Exception, wait_s: float) -> None:
        log.warning(
            event,
            doing=self._doing,
            object=str(ref),
            error=str(error),
            retry_in_s=round(wait_s, 1),
        )
