"""Brings what the cluster says of our objects to what is true, for as long as we lead.

    update, changed, gained ──▶ queue ──▶ decide ──┬─▶ patches, one object at a time
                                                   └─▶ herald ──▶ events

Level-triggered: a report replaces the one before, and whatever goes wrong, the object comes in line
again and is decided anew from the newest report and the newest form of the object. There is no
memory of what was written, so a restart writes nothing if nothing differs.
"""

import asyncio
from collections.abc import Iterable
from typing import Final, assert_never

import msgspec

from onehop.base.errors import KubeConflict, KubeNotFound
from onehop.cluster.kind import KINDS, ClusterObject, Kind
from onehop.kube import Collection, collection_of
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem
from onehop.status.channel import Channel, WriterPorts
from onehop.status.contest import Contest
from onehop.status.decide import decide
from onehop.status.event import good_news, problem_event
from onehop.status.form import change_of
from onehop.status.gateway_pace import CountPace
from onehop.status.herald import Herald
from onehop.status.limits import Limits, Pace
from onehop.status.metrics import WriteKind, WriterMetrics
from onehop.status.report import Report
from onehop.status.rights import Rights
from onehop.status.seen import Seen
from onehop.status.worker import Worker
from onehop.status.write import (
    AddFinalizer,
    EmitEvent,
    ObjectWrite,
    PatchGatewayApi,
    PatchStatus,
    RemoveFinalizer,
    Write,
)

ROUNDS: Final = 3
"""Conflicts in a row that are answered at once; after them it backs off like any failure."""


class _Entry:
    """What is known of one object.

    Attributes:
        pending_since_s: when its report began to be pending.
        written: the report that the object has last been brought to, completely.
    """

    def __init__(self, report: Report, limits: Limits, now_s: float) -> None:
        self.report = report
        self.pending_since_s = now_s
        self.seen = Seen()
        self.written: Report | None = None
        self.contest = Contest(limits)
        self.counts = CountPace()

    def replace(self, report: Report, now_s: float) -> None:
        """Take a newer report."""
        if not self.report.is_pending:
            self.pending_since_s = now_s
        self.report = report


class StatusWriter:
    """Writes back, newest first and nothing twice."""

    def __init__(self, ports: WriterPorts, limits: Limits = Limits()) -> None:  # noqa: B008  frozen
        self.metrics = WriterMetrics()
        self._ports = ports
        self._limits = limits
        self._entries: dict[ObjectRef, _Entry] = {}
        rights = Rights(retry_s=limits.denied_retry_s, clock=ports.clock, metrics=self.metrics)

        def channel(pace: Pace) -> Channel:
            return Channel(
                ports, pace, timeout_s=limits.request_s, rights=rights, metrics=self.metrics
            )

        self._channel = channel(limits.writes)
        self._herald = Herald(
            channel(limits.events), ports=ports, limits=limits, metrics=self.metrics
        )
        self._worker = Worker(
            self._bring,
            doing="write status",
            concurrency=limits.writes.concurrency,
            ports=ports,
            limits=limits,
        )

    @property
    def pending(self) -> int:
        """How many objects, and how many objects' events, are in line, put off, or in work."""
        return len(self._worker.queue) + self._herald.pending

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with writing itself: objects that somebody else writes too."""
        now_s = self._ports.clock()
        found = (entry.contest.problem(ref, now_s) for ref, entry in self._entries.items())
        return tuple(sorted(problem for problem in found if problem is not None))

    def update(self, ref: ObjectRef, report: Report) -> None:
        """Take the newest report on an object; an empty one means it is no concern of ours."""
        if report.is_empty:
            self._forget(ref)
            return
        entry = self._entries.get(ref)
        now_s = self._ports.clock()
        if entry is None or entry.report.uid != report.uid:
            self._entries[ref] = _Entry(report, self._limits, now_s)
        else:
            entry.replace(report, now_s)
        self._worker.queue.put(ref)

    def changed(self, ref: ObjectRef) -> None:
        """Look at an object again: the watch has brought a new form, perhaps a foreign one."""
        if ref in self._entries:
            self._worker.queue.put(ref)

    def happened(self, ref: ObjectRef, reason: str, message: str) -> None:
        """Tell an object's owner of something good that has happened to it."""
        entry = self._entries.get(ref)
        live = self._ports.object(ref)
        uid = entry.report.uid if entry else live.metadata.uid if live else ""
        if uid:
            self._herald.happened(ref, good_news(ref, uid, reason, message))

    def gained(self) -> None:
        """Look at everything again: from now on it is we who write, and others have meanwhile."""
        self._herald.gained()
        for ref, entry in self._entries.items():
            entry.seen = Seen()
            entry.written = None
            self._worker.queue.put(ref)

    async def run(self) -> None:
        """Write until cancelled; while we do not lead, nothing is sent."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._worker.run())
            group.create_task(self._herald.run())

    def _forget(self, ref: ObjectRef) -> None:
        self._entries.pop(ref, None)
        self._herald.forget(ref)

    async def _bring(self, ref: ObjectRef) -> None:
        """Bring one object to its report."""
        for left in reversed(range(ROUNDS)):
            entry = self._entries.get(ref)
            if entry is None:
                return
            try:
                await self._write_round(ref, entry)
            except (KubeConflict, KubeNotFound):
                if not left:
                    raise
                await self._look_again(ref, entry)
            else:
                return

    async def _write_round(self, ref: ObjectRef, entry: _Entry) -> None:
        report, now_s = entry.report, self._ports.clock()
        live = entry.seen.newest(self._ports.object(ref))
        patience_s = entry.pending_since_s + self._limits.patience_s - now_s
        is_patient = report.is_pending and patience_s > 0
        if is_patient:
            self._worker.queue.put_after(ref, patience_s)
        decided = decide(report, live, now=self._ports.now(), is_patient=is_patient)
        writes = [write for write in decided if not isinstance(write, EmitEvent)]
        is_early = self._counts_wait(ref, entry, writes, now_s)
        may_write = not writes or entry.written != report or self._may_repair(ref, entry, now_s)
        self._herald.stands(ref, self._standing(ref, entry, decided))
        if live is not None and may_write and not is_early:
            await self._carry_out(entry, live, decided)
            if not is_patient:
                entry.written = report

    def _counts_wait(
        self, ref: ObjectRef, entry: _Entry, writes: list[ObjectWrite], now_s: float
    ) -> bool:
        """Tell whether nothing but numbers differs and it is too early for them; they will come."""
        is_count_only = any(
            isinstance(write, PatchGatewayApi) and write.is_count_only for write in writes
        )
        wait_s = entry.counts.wait_s(now_s) if is_count_only else 0.0
        if wait_s > 0:
            self._worker.queue.put_after(ref, wait_s)
        return wait_s > 0

    def _may_repair(self, ref: ObjectRef, entry: _Entry, now_s: float) -> bool:
        """Tell whether what somebody else has changed may be undone now; if not, it will be."""
        wait_s = entry.contest.wait_s(now_s)
        if wait_s > 0:
            self._worker.queue.put_after(ref, wait_s)
            return False
        entry.contest.repaired(now_s)
        self.metrics.repairs += 1
        return True

    def _standing(
        self, ref: ObjectRef, entry: _Entry, decided: Iterable[Write]
    ) -> tuple[EmitEvent, ...]:
        events = tuple(
            write for write in decided if isinstance(write, EmitEvent) and write.is_standing
        )
        contest = entry.contest.problem(ref, self._ports.clock())
        return (*events, problem_event(ref, entry.report.uid, contest)) if contest else events

    async def _carry_out(
        self, entry: _Entry, live: ClusterObject, decided: Iterable[Write]
    ) -> None:
        # Each write was decided from `live`. That the one before went through proves that nobody
        # else wrote in between, so the version it left is as good to build the next one on.
        for write in decided:
            if not isinstance(write, EmitEvent):
                answer = await self._write(write, live.metadata.resource_version)
                entry.seen.answered(live, answer)
                entry.counts.wrote(self._ports.clock())
                live = answer
            elif not write.is_standing:
                self._herald.happened(write.ref, write)

    async def _write(self, write: ObjectWrite, resource_version: str) -> ClusterObject:
        change = change_of(write, resource_version)
        return await self._channel.patch(
            _kind_of(write), self._collection_of(write.ref), write.ref, change
        )

    async def _look_again(self, ref: ObjectRef, entry: _Entry) -> None:
        """Read the object itself, for the watch is late; one that is gone is forgotten."""
        copy = self._ports.object(ref)
        live = await self._channel.find(self._collection_of(ref), ref.namespace, ref.name)
        if live is not None:
            entry.seen.answered(copy, live)
        elif self._entries.get(ref) is entry:
            self._forget(ref)

    def _collection_of(self, ref: ObjectRef) -> Collection[ClusterObject]:
        kind = Kind(ref.kind)
        newest: Collection[ClusterObject] = collection_of(KINDS[kind].struct)
        return msgspec.structs.replace(newest, api_version=self._ports.api_version(kind))


def _kind_of(write: ObjectWrite) -> WriteKind:
    match write:
        case AddFinalizer() | RemoveFinalizer():
            return WriteKind.FINALIZER
        case PatchStatus() | PatchGatewayApi():
            return WriteKind.STATUS
        case _:
            assert_never(write)
