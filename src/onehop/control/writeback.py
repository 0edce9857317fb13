"""Writing back to the cluster: by one leader, from what the data plane has acknowledged."""

import asyncio
import os
import random
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from onehop.base.latest import Latest
from onehop.cluster import Kind
from onehop.cluster.gateway_verdict import ListenerSetVerdict
from onehop.compile.compiler import Compiler
from onehop.compile.gateway.listenerset import LISTENER_SETS_OF
from onehop.compile.verdict import ServiceVerdict, Verdict
from onehop.control.binding import Binding
from onehop.control.config import Config
from onehop.control.refusals import Refusals
from onehop.control.served import Served
from onehop.kube import Client
from onehop.kube.lease import Candidacy, Election
from onehop.model.ident import ListenerId, ObjectRef
from onehop.model.listener import ForwardHttp
from onehop.model.model import RowKey, Table
from onehop.model.problem import Problem
from onehop.status import Report, StatusWriter, WriterMetrics, WriterPorts
from onehop.status.channel import newest_version

LEASE_NAME: Final = "onehop"

# Problems may also be about what is no object: a file, an address, the data plane.
_WRITTEN_TO: Final = frozenset(Kind)

log = structlog.get_logger(__name__)


class WriteBack(Protocol):
    """Who is told what became of objects."""

    @property
    def metrics(self) -> WriterMetrics | None:
        """What is counted, or None where nothing is written."""
        ...

    @property
    def leads(self) -> Latest[bool]:
        """Whether this process is the one that acts for all, each time that changes."""
        ...

    @property
    def told_of(self) -> list[Callable[[ObjectRef], tuple[Problem, ...]]]:
        """Who is asked what is wrong with an object; add to it."""
        ...

    def leader(self) -> str:
        """Return who acts for all, as people call it; empty if nobody knows."""
        ...

    def is_leader(self) -> bool:
        """Tell whether this process is the one that acts for all."""
        ...

    def seen(self, ref: ObjectRef) -> None:
        """Take note that the source has brought a new form of an object."""
        ...

    def reported(self, subjects: frozenset[ObjectRef]) -> None:
        """Take note that the data plane has answered for what these objects ask for."""
        ...

    def tell(self, ref: ObjectRef, reason: str, message: str) -> None:
        """Tell an object's owner of something good that has happened."""
        ...

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with writing itself."""
        ...

    async def run(self) -> None:
        """Write until cancelled."""
        ...


class NoWriteBack:
    """Where nothing can be written: a folder of manifests has no status."""

    metrics = None

    def __init__(self) -> None:
        self.leads = Latest[bool]()
        self.leads.put(True)
        self.told_of: list[Callable[[ObjectRef], tuple[Problem, ...]]] = []

    def leader(self) -> str:
        """Return this host."""
        return socket.gethostname()

    def is_leader(self) -> bool:
        """Tell that nobody else acts for this one."""
        return True

    def seen(self, ref: ObjectRef) -> None:
        """Pass over it."""

    def reported(self, subjects: frozenset[ObjectRef]) -> None:
        """Pass over it."""

    def tell(self, ref: ObjectRef, reason: str, message: str) -> None:
        """Pass over it."""

    def problems(self) -> tuple[Problem, ...]:
        """Return nothing."""
        return ()

    async def run(self) -> None:
        """Wait."""
        await asyncio.Event().wait()


class ClusterWriteBack:
    """Finalizers, status and events in a cluster, while the Lease is ours."""

    def __init__(  # noqa: PLR0913  where it looks, by name
        self,
        client: Client,
        config: Config,
        *,
        compiler: Compiler,
        served: Served,
        binding: Binding,
        refusals: Refusals,
        api_version: Callable[[Kind], str] = newest_version,
    ) -> None:
        self._compiler = compiler
        self._served = served
        self._binding = binding
        binding.on_outcome.append(self.reported)
        self._refusals = refusals
        self.leads = Latest[bool]()
        self.told_of: list[Callable[[ObjectRef], tuple[Problem, ...]]] = [
            compiler.problems_of,
            binding.problems_of,
            refusals.problems_of,
        ]
        self._fares: dict[ObjectRef, tuple[frozenset[ListenerId], frozenset[ListenerId]]] = {}
        """Which listeners of each Gateway are served, and which refused, as reported last."""
        self._holder = ""
        host = socket.gethostname()
        namespace = config.cluster.namespace
        # The process id and the time make a restarted process a new candidate.
        identity = f"{host}-{os.getpid()}-{time.time_ns():x}"
        self._election = Election(
            client, Candidacy(namespace=namespace, name=LEASE_NAME, identity=identity)
        )
        self._writer = StatusWriter(
            WriterPorts(
                client=client,
                object=compiler.object,
                is_leader=self.is_leader,
                clock=time.monotonic,
                now=lambda: datetime.now(UTC),
                random=random.random,
                instance=host,
                api_version=api_version,
            )
        )

    @property
    def metrics(self) -> WriterMetrics:
        """What the writer counts."""
        return self._writer.metrics

    def leader(self) -> str:
        """Return the host whose process holds the Lease."""
        return self._holder.rsplit("-", 2)[0]

    def is_leader(self) -> bool:
        """Tell whether the Lease is ours, by our own clock."""
        return self._election.is_leader

    def seen(self, ref: ObjectRef) -> None:
        """Look at an object again: somebody may have changed what is ours to say."""
        self._writer.changed(ref)

    def reported(self, subjects: frozenset[ObjectRef]) -> None:
        """Write what these objects' owners shall read."""
        for ref in subjects:
            if ref.kind in _WRITTEN_TO:
                report = self._report(ref)
                self._writer.update(ref, report)
                if ref.kind == Kind.GATEWAY:
                    self._pass_on(ref, report)

    def tell(self, ref: ObjectRef, reason: str, message: str) -> None:
        """Write an event."""
        self._writer.happened(ref, reason, message)

    def problems(self) -> tuple[Problem, ...]:
        """Return objects that somebody else keeps overwriting."""
        return self._writer.problems()

    async def run(self) -> None:
        """Stand for election, and write while elected, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._election.run())
            tasks.create_task(self._writer.run())
            tasks.create_task(self._follow_election())

    async def _follow_election(self) -> None:
        seen, led = 0, False
        while True:
            seen, leadership = await self._election.changes.newer(seen)
            self._holder = leadership.holder
            if leadership.is_leader != led:
                led = leadership.is_leader
                self.leads.put(led)
                log.info("leading" if led else "not_leading", holder=leadership.holder)
                if led:
                    self._writer.gained()
            elif leadership.fault:
                log.warning("lease_not_renewed", error=leadership.fault)

    def _pass_on(self, gateway: ObjectRef, report: Report) -> None:
        """Report ListenerSets anew whose Gateway's sockets fare otherwise than before."""
        fares = report.served, report.refused
        if self._fares.get(gateway, (frozenset(), frozenset())) == fares:
            return
        self._fares[gateway] = fares
        if not any(fares):
            del self._fares[gateway]
        for each in self._compiler.reader().unordered(LISTENER_SETS_OF, gateway):
            self._writer.update(each.ref, self._report(each.ref))

    def _listeners_of(self, ref: ObjectRef, verdict: Verdict | None) -> frozenset[ListenerId]:
        """Return the listeners that are served for an object; a ListenerSet's are its Gateway's."""
        if not isinstance(verdict, ListenerSetVerdict):
            return self._served.listeners_of(ref)
        needs = {need for listener in verdict.listeners for need in listener.needs}
        return frozenset(need for need in needs if self._served.listener(need) is not None)

    def _report(self, ref: ObjectRef) -> Report:
        verdict, live = self._compiler.verdict(ref), self._compiler.object(ref)
        mine = self._listeners_of(ref, verdict)
        refused = frozenset(i for i in mine if RowKey(Table.LISTENER, i) in self._refusals)
        unreachable = frozenset(i for i in mine if not self._is_reachable(i))
        return Report(
            verdict=verdict,
            uid=live.metadata.uid if live is not None else "",
            generation=getattr(live.metadata, "generation", 0) if live is not None else 0,
            problems=tuple(problem for told in self.told_of for problem in told(ref)),
            served=mine - refused - unreachable,
            refused=refused,
            has_endpoints=not isinstance(verdict, ServiceVerdict) or self._has_endpoints(mine),
        )

    def _is_reachable(self, name: ListenerId) -> bool:
        listener = self._served.listener(name)
        return listener is not None and self._binding.is_bound(listener.address)

    def _has_endpoints(self, listeners: frozenset[ListenerId]) -> bool:
        for name in listeners:
            row = self._served.listener(name)
            if row is not None and not isinstance(row.handler, ForwardHttp):
                members = self._served.endpoints(row.handler.pool)
                if members is not None and members.endpoints:
                    return True
        return False
