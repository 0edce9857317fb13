"""Writers on the in-memory API with Gateway API in it, and a copy of its objects as a watch has."""

import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from onehop.cluster import KINDS, ClusterObject, Kind
from onehop.kube import Access, connect
from onehop.lab.api import PatchType, Server, Store, WriteOptions, put, read, serve
from onehop.lab.api.kind.gateway_crd import RELEASE_1_6, Bundle
from onehop.model.ident import ObjectRef
from onehop.status import Limits, Report, StatusWriter, WriterPorts
from onehop.status.channel import newest_version
from tests.cluster_gateway.objects import BY_KIND, Json, define
from tests.status.stage import FAST, running, until
from tests.status_gateway.objects import EDGE, EDGE_PARENT, WEB


class GatewayStage:
    """The API, and everything a test can turn.

    Attributes:
        copies: what the watch has brought.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.store: Store = server.store
        self.copies: dict[ObjectRef, ClusterObject] = {}

    def create_gateway(self) -> ObjectRef:
        """Create infra/edge."""
        put(self.store, BY_KIND["Gateway"])
        return self.watched(EDGE)

    def create_route(self, name: str = WEB.name) -> ObjectRef:
        """Create a route in namespace shop whose parent is infra/edge."""
        parent = {"name": EDGE_PARENT.name, "namespace": EDGE_PARENT.namespace}
        metadata = {"name": name, "namespace": WEB.namespace}
        put(
            self.store,
            {**BY_KIND["HTTPRoute"], "metadata": metadata, "spec": {"parentRefs": [parent]}},
        )
        return self.watched(ObjectRef("HTTPRoute", WEB.namespace, name))

    def read(self, ref: ObjectRef) -> Json:
        """Return an object as the API has it."""
        return read(self.store, resource_of(ref), ref.namespace, ref.name)

    def watched(self, ref: ObjectRef) -> ObjectRef:
        """Bring an object's newest form to the copies, as a watch does."""
        struct: type[ClusterObject] = KINDS[Kind(ref.kind)].struct
        self.copies[ref] = msgspec.convert(self.read(ref), struct)
        return ref

    def catch_up(self, *writers: StatusWriter) -> None:
        """Bring everything, and say so to the writers."""
        for ref in tuple(self.copies):
            self.watched(ref)
            for writer in writers:
                writer.changed(ref)

    def patch(self, ref: ObjectRef, how: PatchType, body: Any, *, manager: str) -> None:
        """Let somebody else write to a status; the watch does not bring it yet."""
        resource = self.store.registry.named(resource_of(ref))
        options = WriteOptions(subresource="status", manager=manager, force=True)
        self.store.patch(resource, (ref.namespace, ref.name), how, body, options)

    def parents(self, ref: ObjectRef = WEB) -> list[str]:
        """Return who has an entry in a route's status."""
        parents = self.read(ref).get("status", {}).get("parents", ())
        return [each["controllerName"] for each in parents]

    def writes(self, kind: Kind) -> int:
        """Return how many writes to statuses of a kind were asked for, refused ones included."""
        resource = resource_of(ObjectRef(kind, "", ""))
        return self.server.requests.writes(resource=f"{resource}/status")

    @asynccontextmanager
    async def writer(
        self,
        folder: Path,
        limits: Limits = FAST,
        *,
        api_version: Callable[[Kind], str] = newest_version,
    ) -> AsyncGenerator[StatusWriter]:
        """Run a writer; leaving the context ends it."""
        config = folder / "kubeconfig"
        config.write_text(self.server.kubeconfig())
        async with connect(Access(kubeconfig=str(config))) as client:
            ports = WriterPorts(
                client=client,
                object=self.copies.get,
                is_leader=lambda: True,
                clock=time.monotonic,
                now=lambda: datetime.now(UTC),
                random=lambda: 0.5,
                api_version=api_version,
            )
            writer = StatusWriter(ports, limits)
            async with running(writer.run()):
                yield writer

    def report(self, writer: StatusWriter, ref: ObjectRef, report: Report) -> None:
        """Report on an object as it is now."""
        metadata = self.copies[ref].metadata
        writer.update(ref, msgspec.structs.replace(report, uid=metadata.uid))


def resource_of(ref: ObjectRef) -> str:
    """Return the name of a kind's resource."""
    return f"{KINDS[Kind(ref.kind)].plural}.gateway.networking.k8s.io"


@asynccontextmanager
async def gateway_stage(bundle: Bundle = RELEASE_1_6) -> AsyncGenerator[GatewayStage]:
    """Serve a cluster that has a release of Gateway API and nothing else."""
    store = Store()
    define(store, bundle)
    async with serve(store) as server:
        yield GatewayStage(server)


async def idle(*writers: StatusWriter) -> None:
    """Wait until nothing is in line, in work or put off."""
    await until(lambda: all(writer.pending == 0 for writer in writers))


def every(claim: Callable[[ObjectRef], bool], refs: Iterable[ObjectRef]) -> Callable[[], bool]:
    """Return a claim about all of some objects."""
    return lambda: all(claim(ref) for ref in refs)
