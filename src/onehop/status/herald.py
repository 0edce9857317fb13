"""Tells events: each once, bounded per object, and behind everything that matters more.

An event's name follows from what it says (`form.event_name`), so the API server itself knows
whether the process before this one has told it already; nothing is kept on disk for it.
"""

from collections.abc import Iterable
from typing import Final

import structlog

from onehop.base.errors import KubeConflict, KubeNotFound, RejectedError
from onehop.model.ident import ObjectRef
from onehop.status.bucket import TokenBucket
from onehop.status.channel import Channel, WriterPorts
from onehop.status.form import (
    EVENTS,
    StoredEvent,
    event_name,
    event_namespace,
    event_object,
    recount,
)
from onehop.status.limits import Limits
from onehop.status.metrics import WriteKind, WriterMetrics
from onehop.status.rights import Denied
from onehop.status.worker import Worker
from onehop.status.write import EmitEvent

MOST_HAPPENED: Final = 8
"""Events that happened and could not be told yet, per object."""

log = structlog.get_logger(__name__)


class _News:
    """What there is to tell of one object.

    Attributes:
        standing: what holds at present.
        told: those of them that need not be told again.
        happened: what is still to be told, oldest first.
        budget: client-go's EventSourceObjectSpamFilter: a burst, then one every five minutes.
        is_forgotten: nobody speaks of it any more once `happened` is told.
    """

    def __init__(self, budget: TokenBucket) -> None:
        self.standing: tuple[EmitEvent, ...] = ()
        self.told: set[EmitEvent] = set()
        self.happened: list[EmitEvent] = []
        self.budget = budget
        self.is_forgotten = False

    def next_event(self) -> EmitEvent | None:
        """Return what is to be told next: what stands before what happened because of it."""
        untold = (event for event in self.standing if event not in self.told)
        return next(untold, self.happened[0] if self.happened else None)

    def note_told(self, event: EmitEvent) -> None:
        """Take note that an event is there; it may no longer be wanted by now."""
        if event.is_standing:
            self.told.add(event)
        elif event in self.happened:
            self.happened.remove(event)


class Herald:
    """The events of all objects."""

    def __init__(
        self, channel: Channel, *, ports: WriterPorts, limits: Limits, metrics: WriterMetrics
    ) -> None:
        self._channel = channel
        self._ports = ports
        self._limits = limits
        self._metrics = metrics
        self._news: dict[ObjectRef, _News] = {}
        self._worker = Worker(
            self._tell_all,
            doing="tell events",
            concurrency=limits.events.concurrency,
            ports=ports,
            limits=limits,
        )

    @property
    def pending(self) -> int:
        """How many objects have events to be told."""
        return len(self._worker.queue)

    def stands(self, ref: ObjectRef, events: Iterable[EmitEvent]) -> None:
        """Say what holds of an object now; what held before and does not any more is forgotten."""
        standing = tuple(events)
        if not standing and ref not in self._news:
            return
        news = self._of(ref)
        news.standing = standing
        news.told.intersection_update(standing)
        if not news.told.issuperset(standing):
            self._worker.queue.put(ref)

    def happened(self, ref: ObjectRef, event: EmitEvent) -> None:
        """Say what has happened to an object."""
        news = self._of(ref)
        news.happened = [*news.happened, event][-MOST_HAPPENED:]
        self._worker.queue.put(ref)

    def forget(self, ref: ObjectRef) -> None:
        """Tell what has happened to an object, and then nothing more."""
        news = self._news.get(ref)
        if news is not None:
            news.standing, news.is_forgotten = (), True
            self._drop_if_done(ref, news)

    def gained(self) -> None:
        """Believe nothing of what was told while we led before; what happened then is stale."""
        for ref, news in tuple(self._news.items()):
            news.told.clear()
            news.happened.clear()
            self._drop_if_done(ref, news)

    async def run(self) -> None:
        """Tell until cancelled."""
        await self._worker.run()

    def _of(self, ref: ObjectRef) -> _News:
        news = self._news.get(ref)
        if news is None:
            budget = TokenBucket(
                rate_per_s=1 / self._limits.event_every_s,
                burst=self._limits.event_burst,
                clock=self._ports.clock,
            )
            news = self._news[ref] = _News(budget)
        news.is_forgotten = False
        return news

    def _drop_if_done(self, ref: ObjectRef, news: _News) -> None:
        if news.is_forgotten and not news.happened and self._news.get(ref) is news:
            del self._news[ref]

    async def _tell_all(self, ref: ObjectRef) -> None:
        news = self._news.get(ref)
        if news is None:
            return
        while (event := news.next_event()) is not None:
            wait_s = news.budget.wait_s()
            if wait_s > 0:
                self._metrics.dropped_events += len(news.happened)
                news.happened.clear()
                self._worker.queue.put_after(ref, wait_s)
                break
            await self._tell(event)
            news.budget.take()
            news.note_told(event)
        self._drop_if_done(ref, news)

    async def _tell(self, event: EmitEvent) -> None:
        try:
            await (self._ensure(event) if event.is_standing else self._count(event))
        except KubeNotFound as error:  # no namespace to put it into any more
            log.debug("event_has_no_place", object=str(event.ref), error=str(error))
        except RejectedError as error:
            log.warning("event_rejected", object=str(event.ref), error=str(error))

    async def _ensure(self, event: EmitEvent) -> None:
        """Make a standing event be there."""
        try:
            if await self._find(event) is not None:
                return
        except Denied:
            log.debug("event_not_looked_up", object=str(event.ref))  # creating it tells as well
        try:
            await self._create(event)
        except KubeConflict:
            return  # it is there

    async def _count(self, event: EmitEvent) -> None:
        """Tell that something happened, or that it happened again."""
        try:
            await self._create(event)
        except KubeConflict:
            stored = await self._find(event)
            if stored is not None:
                ref = ObjectRef(EVENTS.kind, event_namespace(event), event_name(event))
                change = recount(stored, now=self._ports.now())
                await self._channel.patch(WriteKind.EVENT, EVENTS, ref, change)

    async def _find(self, event: EmitEvent) -> StoredEvent | None:
        return await self._channel.find(EVENTS, event_namespace(event), event_name(event))

    async def _create(self, event: EmitEvent) -> None:
        item = event_object(event, now=self._ports.now(), instance=self._ports.instance)
        await self._channel.create(WriteKind.EVENT, EVENTS, event_namespace(event), item)
