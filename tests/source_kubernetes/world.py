"""A source that watches the in-memory API, in time that only passes when a test says so."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from onehop.cluster.kind import WANTED_KINDS, ClusterObject, Kind, ref_of
from onehop.kube import Access, CallPatience, Client, connect
from onehop.lab.api import Server, Store, put, remove
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem
from onehop.source import Batch, Deleted
from onehop.source.kubernetes import KubernetesSource
from onehop.source.patience import KubernetesOptions, ReflectorTimes

DEADLINE_S = 20.0
QUICK = CallPatience(page_s=0.2, call_s=0.5)
"""A hang is noticed in a fifth of a second."""
OPTIONS = KubernetesOptions(
    times=ReflectorTimes(open_s=0.2, silence_extra_s=0.2, watch_s=1.0),
    wanted=ReflectorTimes(open_s=0.2, silence_extra_s=0.2, watch_s=1.0),
)
SHOP = "shop"

RESOURCES = {
    Kind.SERVICE: "services",
    Kind.ENDPOINT_SLICE: "endpointslices.discovery.k8s.io",
    Kind.NODE: "nodes",
    Kind.INGRESS: "ingresses.networking.k8s.io",
    Kind.INGRESS_CLASS: "ingressclasses.networking.k8s.io",
    Kind.NAMESPACE: "namespaces",
    Kind.SECRET: "secrets",
    Kind.CONFIG_MAP: "configmaps",
}
READ_IN_FULL = tuple(kind for kind in RESOURCES if kind not in WANTED_KINDS)

_REST: dict[Kind, dict[str, Any]] = {
    Kind.SERVICE: {"apiVersion": "v1", "spec": {"ports": [{"port": 80}]}},
    Kind.ENDPOINT_SLICE: {
        "apiVersion": "discovery.k8s.io/v1",
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.0.1"], "nodeName": "n0", "zone": "a"}],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    },
    Kind.NODE: {"apiVersion": "v1"},
    Kind.INGRESS: {
        "apiVersion": "networking.k8s.io/v1",
        "spec": {"defaultBackend": {"service": {"name": "s0", "port": {"number": 80}}}},
    },
    Kind.INGRESS_CLASS: {
        "apiVersion": "networking.k8s.io/v1",
        "spec": {"controller": "onehop.dev/ingress"},
    },
    Kind.NAMESPACE: {"apiVersion": "v1"},
    Kind.SECRET: {"apiVersion": "v1", "data": {"key": "dmFsdWU="}},
    Kind.CONFIG_MAP: {"apiVersion": "v1", "data": {"key": "value"}},
}
_CLUSTER_WIDE = {Kind.NODE, Kind.INGRESS_CLASS, Kind.NAMESPACE}


def manifest(kind: Kind, name: str, **labels: str) -> dict[str, Any]:
    """Return a small object of a kind."""
    metadata: dict[str, Any] = {"name": name, "labels": labels}
    if kind not in _CLUSTER_WIDE:
        metadata["namespace"] = SHOP
    if kind is Kind.ENDPOINT_SLICE:
        metadata["labels"] = {"kubernetes.io/service-name": "s0", **labels}
    return {"kind": kind.value, "metadata": metadata, **_REST[kind]}


def store_of_three() -> Store:
    """Return three objects of each kind."""
    store = Store()
    for kind in READ_IN_FULL:
        for number in range(3):
            put(store, manifest(kind, f"s{number}"))
    return store


class Cluster:
    """What the API holds, written the short way."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def put(self, kind: Kind, name: str, **labels: str) -> None:
        put(self.server.store, manifest(kind, name, **labels))

    def remove(self, kind: Kind, name: str) -> None:
        namespace = "" if kind in _CLUSTER_WIDE else SHOP
        remove(self.server.store, RESOURCES[kind], namespace, name)

    def states(self, *kinds: Kind) -> dict[ObjectRef, str]:
        """Return every object's resourceVersion, by name."""
        registry = self.server.store.registry
        return {
            ObjectRef(kind, *stored.key): str(stored.revision)
            for kind in kinds or READ_IN_FULL
            for stored in self.server.store.collection(registry.named(RESOURCES[kind])).all()
        }

    def asked(self, verb: str, kind: Kind) -> int:
        """Return how many such requests there were."""
        return self.server.requests.count(verb, RESOURCES[kind])


class Mirror:
    """A sink that remembers the newest state of everything, and every deletion."""

    def __init__(self) -> None:
        self.objects: dict[ObjectRef, ClusterObject] = {}
        self.deleted: list[ObjectRef] = []
        self.changes = 0
        self.problems: tuple[Problem, ...] = ()
        self.completed = 0

    def changed(self, batch: Batch) -> None:
        for change in batch.changes:
            self.changes += 1
            match change:
                case Deleted(ref=ref):
                    self.deleted.append(ref)
                    self.objects.pop(ref, None)
                case item:
                    self.objects[ref_of(item)] = item
        if batch.problems is not None:
            self.problems = batch.problems

    def complete(self) -> None:
        self.completed += 1

    def states(self) -> dict[ObjectRef, str]:
        return {ref: item.metadata.resource_version for ref, item in self.objects.items()}

    def says(self, *words: str) -> bool:
        """Tell whether some problem has all these words."""
        return any(all(word in str(problem) for word in words) for problem in self.problems)


class Clock:
    """Time that passes by sleeping, and when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, duration_s: float) -> None:
        self.slept.append(duration_s)
        self.now += duration_s
        await asyncio.sleep(0.001)  # the loop's turn, lest a retry without end starves the server


class World:
    """A source at work, and the cluster it watches."""

    def __init__(self, cluster: Cluster, source: KubernetesSource) -> None:
        self.cluster = cluster
        self.source = source
        self.sink = Mirror()
        self.clock = Clock()

    async def pass_time(self, duration_s: float) -> None:
        """Let time pass; watches end so that what is due is noticed, and every kind goes on."""
        before = {kind: self._turns(kind) for kind in READ_IN_FULL}
        self.clock.now += duration_s
        self.cluster.server.cut_watches()
        await eventually(lambda: all(self._turns(kind) > before[kind] for kind in READ_IN_FULL))

    async def pass_time_until(self, claim: Callable[[], bool], step_s: float) -> None:
        """Let time pass in steps until a claim holds."""
        async with asyncio.timeout(DEADLINE_S):
            while not claim():
                await self.pass_time(step_s)

    async def in_step(self, *kinds: Kind) -> None:
        """Wait until the sink says what the API says."""
        await eventually(
            lambda: (
                {
                    ref: version
                    for ref, version in self.sink.states().items()
                    if not kinds or ref.kind in kinds
                }
                == self.cluster.states(*kinds)
            )
        )

    def _turns(self, kind: Kind) -> int:
        return self.cluster.asked("list", kind) + self.cluster.asked("watch", kind)


@asynccontextmanager
async def client_of(server: Server, folder: Path) -> AsyncGenerator[Client]:
    """Connect to a lab API."""
    file = folder / "kubeconfig"
    file.write_text(server.kubeconfig())
    async with connect(Access(kubeconfig=str(file)), QUICK) as client:
        yield client


@asynccontextmanager
async def running(
    server: Server,
    folder: Path,
    options: KubernetesOptions = OPTIONS,
    *,
    expected: frozenset[ObjectRef] = frozenset(),
) -> AsyncGenerator[World]:
    """Run a source against a lab API; `expected` is what an earlier process has seen."""
    async with client_of(server, folder) as client:
        clock = Clock()
        source = KubernetesSource(
            client,
            options,
            clock=clock,
            sleep=clock.sleep,
            random=Random(7),  # noqa: S311
        )
        source.expect(expected)
        world = World(Cluster(server), source)
        world.clock = clock
        async with asyncio.TaskGroup() as group:
            task = group.create_task(source.run(world.sink))
            try:
                yield world
            finally:
                task.cancel()


async def eventually(claim: Callable[[], bool]) -> None:
    """Wait until a claim holds, or fail."""
    until = time.monotonic() + DEADLINE_S
    while not claim():
        assert time.monotonic() < until, "it did not come true in time"
        await asyncio.sleep(0.002)
