"""A pipeline with everything real but its ends.

The source says what it is told, the data plane is in memory, and there is nobody to write to.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable

from onehop.base.latest import Latest
from onehop.cluster import EndpointSlice, Ingress, IngressClass, Service
from onehop.cluster.ingress import (
    HttpPath,
    HttpRule,
    IngressBackend,
    IngressClassSpec,
    IngressRule,
    IngressSpec,
    IngressTls,
    ServiceBackend,
    ServiceBackendPort,
)
from onehop.cluster.kind import ClusterObject
from onehop.cluster.meta import Meta
from onehop.cluster.service import ServicePort, ServiceSpec
from onehop.cluster.slice import (
    SERVICE_NAME,
    EndpointConditions,
    SliceEndpoint,
    SliceMeta,
    SlicePort,
)
from onehop.compile.compiler import Compiler
from onehop.compile.options import Options
from onehop.control.binding import Binding
from onehop.control.gate import Budget, Gate
from onehop.control.pipeline import Pipeline
from onehop.control.reach import Reach, RoutingTable
from onehop.control.refusals import Refusals
from onehop.control.served import Served
from onehop.control.writeback import NoWriteBack
from onehop.driver.memory import MemoryDriver
from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef
from onehop.model.model import Model
from onehop.net import NoBinder
from onehop.source import Batch, Deleted, Sink
from onehop.telemetry.metrics import Metrics

TIMEOUT_S = 30


class ToldSource:
    """A source that knows nothing by itself."""

    def __init__(self) -> None:
        self.wanted = Latest[frozenset[ObjectRef]]()
        self.unread: frozenset[ObjectRef] = frozenset()

    async def run(self, sink: Sink) -> None:  # noqa: ARG002  the test speaks in its place
        await asyncio.Event().wait()

    def want(self, wanted: frozenset[ObjectRef]) -> None:
        self.wanted.put(wanted)

    def expect(self, known: frozenset[ObjectRef]) -> None:
        """Pass over it."""

    def known(self) -> frozenset[ObjectRef]:
        return frozenset()

    async def wants_settled(self) -> None:
        return


class RecordingWriteBack(NoWriteBack):
    """Remembers who was reported on."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: list[frozenset[ObjectRef]] = []
        self.told: list[tuple[ObjectRef, str, str]] = []

    def tell(self, ref: ObjectRef, reason: str, message: str) -> None:
        self.told.append((ref, reason, message))

    def reported(self, subjects: frozenset[ObjectRef]) -> None:
        self.reports.append(subjects)


class World:
    """A pipeline and its ends."""

    def __init__(
        self,
        driver: MemoryDriver | None = None,
        budget: Budget | None = None,
        table: RoutingTable | None = None,
    ) -> None:
        self.driver = driver or MemoryDriver()
        self.source = ToldSource()
        self.write_back = RecordingWriteBack()
        self.refusals = Refusals()
        self.served = Served()
        options = Options(
            shared=(IpAddr("192.0.2.1"),), writes_back=False, proves_reach=table is not None
        )
        self.compiler = Compiler(options)
        self.metrics = Metrics(version="test", driver="memory")
        self.gate = Gate(budget or Budget())
        self.pipeline = Pipeline(
            compiler=self.compiler,
            reach=Reach(self.compiler, table),
            source=self.source,
            driver=self.driver,
            binding=Binding(NoBinder()),
            gate=self.gate,
            served=self.served,
            refusals=self.refusals,
            write_back=self.write_back,
            metrics=self.metrics,
        )

    def say(self, *changes: ClusterObject | Deleted) -> None:
        """Let the source say that these changed."""
        self.pipeline.changed(Batch(changes=changes))

    async def until_served(self, *hostnames: str) -> Model:
        """Wait until the data plane has exactly these hosts."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                model = await self.driver.read_back()
                if sorted(host.hostname for host in model.hosts) == sorted(hostnames):
                    return model
                await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def running(world: World, *objects: ClusterObject) -> AsyncGenerator[World]:
    """Run a world whose source has said these objects and is complete."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.pipeline.run())
        world.say(*objects)
        world.pipeline.complete()
        async with asyncio.timeout(TIMEOUT_S):
            await world.pipeline.is_served.wait()
        try:
            yield world
        finally:
            running.cancel()


ONEHOP_CLASS = IngressClass(
    metadata=Meta(name="onehop"), spec=IngressClassSpec(controller="onehop.dev/ingress")
)


def service(name: str = "web") -> Service:
    spec = ServiceSpec(ports=(ServicePort(port=80, name="http"),))
    return Service(metadata=Meta(name=name, namespace="shop"), spec=spec)


def slices(name: str = "web", addresses: Iterable[str] = ("10.0.0.1",)) -> EndpointSlice:
    ready = EndpointConditions(ready=True)
    return EndpointSlice(
        metadata=SliceMeta(name=f"{name}-1", namespace="shop", labels={SERVICE_NAME: name}),
        ports=(SlicePort(name="http", port=8080, protocol="TCP"),),
        endpoints=tuple(SliceEndpoint(addresses=(a,), conditions=ready) for a in addresses),
    )


def ingress(hostname: str, backend: str = "web", secret: str = "") -> Ingress:
    to = IngressBackend(service=ServiceBackend(backend, ServiceBackendPort(number=80)))
    rule = IngressRule(hostname, HttpRule((HttpPath(path="/", path_type="Prefix", backend=to),)))
    return Ingress(
        metadata=Meta(name=hostname.partition(".")[0], namespace="shop"),
        spec=IngressSpec(
            ingress_class_name="onehop",
            rules=(rule,),
            tls=(IngressTls((hostname,), secret),) if secret else None,
        ),
    )
