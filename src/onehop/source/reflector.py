"""One collection kept in step: list, compare, watch from there, and again when the watch is lost.

The pattern is client-go's Reflector (https://pkg.go.dev/k8s.io/client-go/tools/cache#Reflector)
with two changes. A list only compares (`ledger`), and what it no longer contains is gone only when
that can be believed (`doubt`). Watches are short, about a minute: each ends with a fresh bookmark,
and since the server must end it, silence beyond that is a hung connection, bookmarks or not.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from itertools import islice
from typing import Final

import msgspec

from onehop.base.errors import (
    KubeGone,
    KubeNotFound,
    KubeUnavailable,
    OnehopError,
    TransientError,
)
from onehop.cluster.kind import ClusterObject
from onehop.kube import Collection, Selection, WatchPatience
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem
from onehop.source import trouble
from onehop.source.backoff import Backoff
from onehop.source.counts import ReflectorCounts
from onehop.source.doubt import Judge
from onehop.source.ledger import Key, Ledger, Listing
from onehop.source.patience import ReflectorTimes
from onehop.source.source import Batch, Deleted, ObjectChange
from onehop.source.surroundings import Surroundings

HANDED_ON_AT_ONCE: Final = 200
"""A list reaches the sink in batches of so many objects; others get their turn in between."""


WORTH_SAYING: Final = 2
"""One failure may be a server that restarts; two in a row are said to the operator."""

NOTHING: Final[frozenset[Key]] = frozenset()


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What one reflector keeps in step.

    Attributes:
        collection: the kind, and where it is served.
        selection: a part of it, or everything.
        subject: what problems are said about.
        absent: a single object; the sink is told if the first list shows that it is not there.
        page_limit: objects per page; a page should take less than 10 ms to decode.
        expected: what an earlier process has seen; its absence from the first list is doubted like
            that from any other.
        is_optional: the cluster may do without the whole kind, and so may we: a server that does
            not serve it is no fault, and one that denies it keeps nobody waiting.
    """

    collection: Collection[ClusterObject]
    selection: Selection
    subject: ObjectRef
    absent: ObjectRef | None = None
    page_limit: int = 500
    expected: frozenset[Key] = NOTHING
    is_optional: bool = False


class Reflector:
    """Keeps a sink in step with one collection, whatever the API does."""

    def __init__(
        self,
        scope: Scope,
        around: Surroundings,
        *,
        times: ReflectorTimes,
        counts: ReflectorCounts,
        answered: Callable[[], None],
    ) -> None:
        """Prepare; nothing is asked before `run`.

        Args:
            scope: what to keep in step.
            around: shared with the other reflectors.
            times: when to do what.
            counts: to be written by this reflector.
            answered: called when the first list has been handed on, and, for a single object and
                for an optional kind, when the API has refused to show it.
        """
        self._scope = scope
        self._around = around
        self._times = times
        self._limits = around.limits
        self._counts = counts
        self._answered = answered
        self._ledger = Ledger(scope.collection, around.slimmer)
        self._ledger.expect(scope.expected)
        self._judge = Judge(scope.collection, around)
        self._retry = Backoff(times.retry, around.random.random)
        self._refused = Backoff(times.refused, around.random.random)
        self._failures = 0
        self._must_list = True
        self.is_listed = False
        """Whether a list has been taken over."""
        self._list_at = 0.0
        self._not_older_than = ""
        self._doubted = ""

    @property
    def known(self) -> frozenset[ObjectRef]:
        """Everything that is held."""
        return frozenset(map(self._ledger.ref, self._ledger.keys))

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            try:
                if self._is_list_due():
                    await self._list()
                wait_s = await self._watch()
            except OnehopError as error:
                wait_s = self._after(error)
            if wait_s:
                await self._around.sleep(wait_s)

    def _after(self, error: OnehopError) -> float:
        """Return how long to wait after a failure, and remember what it means."""
        match error:
            case KubeGone():
                self._must_list = True
                return self._retry.next_s()
            case TransientError():
                self._failures += 1
                if self._failures >= WORTH_SAYING:
                    self._report(failed=trouble.failed(self._scope.subject, error))
                return self._retry.next_s(error.retry_after_s)
            case KubeNotFound() if self._scope.is_optional:
                self._must_list = True
                self._heard()
                self._report(failed=None)
                return self._refused.next_s()
            case _:
                self._must_list = True
                self._report(failed=trouble.failed(self._scope.subject, error))
                if self._is_free_to_go_on():
                    self._heard()
                    self._answered()
                return self._refused.next_s()

    def _is_free_to_go_on(self) -> bool:
        """Tell whether a refusal is as good as an answer for whoever waits for the first list.

        Where an earlier process has seen objects of an optional kind, they are not let go of.
        """
        return self._scope.absent is not None or (self._scope.is_optional and not len(self._ledger))

    # Listing.

    async def _list(self) -> None:
        """Take a list over: all of it, all but its silence, or nothing.

        Raises:
            OnehopError: nothing was taken.
        """
        await self._around.identity.learn()
        listing, refusal = await self._read_list()
        if self._ledger.is_behind(listing.resource_version):
            self._counts.lists["stale"] += 1
            self._not_older_than = self._ledger.position
            raise KubeUnavailable(
                f"list {self._scope.collection.kind}: the list is of {listing.resource_version}, "
                f"but we have already seen {self._ledger.position}; a server is lagging behind"
            )
        verdict = await self._judge.rule(listing.missing, len(self._ledger))
        self._counts.lists["doubted" if verdict.reason else "believed"] += 1
        if not verdict.takes_writes:
            raise KubeUnavailable(
                f"list {self._scope.collection.kind}: {verdict.reason}",
                retry_after_s=self._limits.confirm_s / 4,
            )
        self._doubted = verdict.reason
        if verdict.reason and not self.is_listed:
            # What an earlier process left is served until a first list may be believed.
            self._report(failed=None)
            raise KubeUnavailable(f"list {self._scope.collection.kind}: {verdict.reason}")
        gone = listing.missing if verdict.takes_absence else NOTHING
        await self._hand_on(self._ledger.settle(listing, gone))
        self._first_list_taken()
        if refusal is not None:
            raise refusal
        self._not_older_than = ""
        self._must_list = False
        self._schedule_list(is_doubted=bool(verdict.reason))
        self._report(failed=None)

    async def _read_list(self) -> tuple[Listing, KubeNotFound | None]:
        """Compare a whole list with the ledger.

        A server that has no such resource has no such objects: that is an empty list, and a refusal
        to be reported.
        """
        listing = self._ledger.begin_listing()
        try:
            async with (
                self._around.lists,
                aclosing(
                    self._around.client.pages(
                        self._scope.collection,
                        self._scope.selection,
                        limit=self._scope.page_limit,
                        not_older_than=self._not_older_than,
                    )
                ) as pages,
            ):
                async for page in pages:
                    listing.add(page.items, page.resource_version)
                    self._heard()
                    await asyncio.sleep(0)
        except KubeNotFound as error:
            return self._ledger.begin_listing(), error
        except OnehopError:
            self._counts.lists["failed"] += 1
            raise
        return listing, None

    async def _hand_on(self, changes: Iterator[ObjectChange]) -> None:
        while some := tuple(islice(changes, HANDED_ON_AT_ONCE)):
            self._counts.changes += len(some)
            self._around.sink.changed(Batch(changes=some))
            await asyncio.sleep(0)

    def _first_list_taken(self) -> None:
        if self.is_listed:
            return
        self.is_listed = True
        if self._scope.absent is not None and not len(self._ledger):
            self._around.sink.changed(Batch(changes=(Deleted(self._scope.absent),)))
        self._answered()

    def _schedule_list(self, *, is_doubted: bool) -> None:
        interval_s = self._limits.confirm_s / 4 if is_doubted else self._times.relist_s
        spread = 0.9 + 0.2 * self._around.random.random()
        self._list_at = self._around.clock() + interval_s * spread

    # Watching.

    async def _watch(self) -> float:
        """Take over what one watch says; return how long to wait before the next.

        Raises:
            OnehopError: the watch was refused or broke.
        """
        started = self._around.clock()
        events_before = self._counts.events
        try:
            reason = await self._follow()
        except OnehopError as error:
            self._counts.watch_ends[type(error).__name__] += 1
            raise
        self._counts.watch_ends[reason] += 1
        is_quick = self._around.clock() - started < self._times.quick_end_s
        if reason == "ended" and is_quick and self._counts.events == events_before:
            return self._retry.next_s()
        return 0.0

    async def _follow(self) -> str:
        """Hand on the events of one watch; return why it ended."""
        left_s = max(1.0, self._list_at - self._around.clock())
        lasts_s = min(self._times.watch_s * (0.9 + 0.2 * self._around.random.random()), left_s)
        watch = self._around.client.watch(
            self._scope.collection,
            self._scope.selection,
            resource_version=self._ledger.position,
            patience=WatchPatience(
                lasts_s=lasts_s,
                silence_s=lasts_s + self._times.silence_extra_s,
                open_s=self._times.open_s,
            ),
        )
        async with aclosing(watch) as stream:
            async for events in stream:
                self._heard()
                self._refused.reset()
                if events:
                    self._counts.events += len(events)
                    self._retry.reset()
                    changes = self._ledger.take(events)
                    if changes:
                        self._counts.changes += len(changes)
                        self._around.sink.changed(Batch(changes=changes))
                self._report(failed=None)
                if self._is_list_due():
                    return "relist"
        return "ended"

    def _is_list_due(self) -> bool:
        return self._must_list or self._around.clock() >= self._list_at

    def _heard(self) -> None:
        self._counts.heard_at = self._around.clock()

    # Saying what is wrong.

    def _report(self, *, failed: Problem | None) -> None:
        if failed is None:
            self._failures = 0
        unreadable = tuple(
            trouble.unreadable(self._ledger.ref(key), text)
            for key, text in self._ledger.unreadable.items()
        )
        subject = self._scope.subject
        doubted = (trouble.doubted(subject, self._doubted),) if self._doubted else ()
        failure = (failed,) if failed is not None else ()
        self._around.troubles.put(subject, (*failure, *doubted, *unreadable))
