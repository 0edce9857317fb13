"""A writer on the in-memory API, and the copy of its objects that a watch would keep."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from onehop.cluster import ClusterObject, Ingress, Service
from onehop.kube import Access, connect
from onehop.lab.api import PatchType, Server, Settings, Store, WriteOptions, put, read, serve
from onehop.lab.api.access import Access as Asked
from onehop.model.ident import ObjectRef
from onehop.status import Limits, Report, StatusWriter, WriterPorts

FAST = Limits(
    patience_s=0.05,
    first_retry_s=0.01,
    longest_retry_s=0.1,
    denied_retry_s=0.05,
    lead_poll_s=0.02,
)
DEADLINE_S = 20.0
_RESOURCES = {"Service": "services", "Ingress": "ingresses.networking.k8s.io"}
_STRUCTS: dict[str, type[Service | Ingress]] = {"Service": Service, "Ingress": Ingress}


class Stage:
    """The API, the writer, and everything a test can turn.

    Attributes:
        leads: whether our lease holds, unless `is_leader` is replaced.
        on_asked: called for each request.
        denied: rights that are missing, as (verb, resource, subresource).
        copies: what the watch has brought; `catch_up` brings the rest.
    """

    def __init__(self) -> None:
        self.leads = True
        self.is_leader: Callable[[], bool] = lambda: self.leads
        self.on_asked: Callable[[Asked], object] = lambda _asked: None
        self.denied: set[tuple[str, str, str]] = set()
        self.copies: dict[ObjectRef, ClusterObject] = {}
        self.store = Store()
        self.server: Server
        self.writer: StatusWriter

    # -- the cluster ------------------------------------------------------------------------------

    def create_service(self, name: str = "web", *, finalizers: tuple[str, ...] = ()) -> ObjectRef:
        """Create a Service of ours in namespace shop."""
        metadata = {"name": name, "namespace": "shop", "finalizers": list(finalizers)}
        spec = {
            "type": "LoadBalancer",
            "ports": [{"port": 80}],
            "loadBalancerClass": "onehop.dev/lb",
        }
        put(self.store, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        return self.watched(ObjectRef("Service", "shop", name))

    def create_ingress(self, name: str = "shop") -> ObjectRef:
        """Create an Ingress in namespace shop."""
        backend = {"service": {"name": "web", "port": {"number": 80}}}
        put(
            self.store,
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {"defaultBackend": backend},
            },
        )
        return self.watched(ObjectRef("Ingress", "shop", name))

    def read(self, ref: ObjectRef) -> dict[str, Any]:
        """Return an object as the API has it."""
        return read(self.store, _RESOURCES[ref.kind], ref.namespace, ref.name)

    def patch(self, ref: ObjectRef, body: dict[str, Any], *, subresource: str = "") -> None:
        """Let somebody else change an object; the watch does not bring it yet."""
        resource = self.store.registry.named(_RESOURCES[ref.kind])
        options = WriteOptions(subresource=subresource, manager="somebody-else")
        self.store.patch(resource, (ref.namespace, ref.name), PatchType.MERGE, body, options)

    def delete(self, ref: ObjectRef) -> None:
        """Let somebody delete an object."""
        resource = self.store.registry.named(_RESOURCES[ref.kind])
        self.store.delete(resource, (ref.namespace, ref.name))

    def live(self, ref: ObjectRef) -> Service | Ingress:
        """Return an object as the API has it, decoded."""
        return msgspec.convert(self.read(ref), _STRUCTS[ref.kind])

    def events(self) -> Counter[tuple[str, str, int]]:
        """Return name of object, reason and count of all events."""
        resource = self.store.registry.named("events")
        found = [each.decode() for each in self.store.collection(resource).all()]
        return Counter(
            (event["involvedObject"]["name"], event["reason"], event["count"]) for event in found
        )

    def reasons(self) -> set[str]:
        """Return the reasons of all events."""
        return {reason for _, reason, _ in self.events()}

    # -- the watch --------------------------------------------------------------------------------

    def watched(self, ref: ObjectRef) -> ObjectRef:
        """Bring an object's newest form to the copies, as a watch does."""
        self.copies[ref] = self.live(ref)
        return ref

    def catch_up(self, *refs: ObjectRef) -> None:
        """Bring what changed, and say so to the writer."""
        for ref in refs or tuple(self.copies):
            self.watched(ref)
            self.writer.changed(ref)

    # -- the writer -------------------------------------------------------------------------------

    def report(self, ref: ObjectRef, report: Report) -> None:
        """Report on an object as it is now."""
        uid = self.copies[ref].metadata.uid
        self.writer.update(ref, msgspec.structs.replace(report, uid=uid))

    async def settled(self) -> None:
        """Wait until nothing is in line, in work or put off."""
        await until(lambda: self.writer.pending == 0)

    @property
    def writes(self) -> int:
        """How many writes the API was asked for, refused ones included."""
        return self.server.requests.writes(agent="onehop")

    def allows(self, asked: Asked) -> bool:
        """Tell whether a request is within our rights."""
        self.on_asked(asked)
        return (asked.verb, asked.resource, asked.subresource) not in self.denied

    def make_writer(self, connected: Any, limits: Limits) -> StatusWriter:
        """Return a writer as a new process would begin with."""
        return StatusWriter(
            WriterPorts(
                client=connected,
                object=self.copies.get,
                is_leader=self.is_leader,
                clock=time.monotonic,
                now=lambda: datetime.now(UTC),
                random=lambda: 0.5,
                instance="lb-1",
            ),
            limits,
        )

    @asynccontextmanager
    async def process(self, folder: Path, limits: Limits = FAST) -> AsyncIterator[None]:
        """Run a writer; leaving the context ends the process, however busy it is."""
        config = folder / "kubeconfig"
        config.write_text(self.server.kubeconfig())
        async with connect(Access(kubeconfig=str(config))) as client:
            self.writer = self.make_writer(client, limits)
            async with running(self.writer.run()):
                yield


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something until the context is left."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        finally:
            task.cancel()


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """Serve an empty cluster."""
    stage = Stage()
    async with serve(stage.store, settings=Settings(allows=stage.allows)) as server:
        stage.server = server
        yield stage


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, up to a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():  # noqa: ASYNC110  a server's state has no asyncio.Event
            await asyncio.sleep(0.002)
