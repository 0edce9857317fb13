"""A cluster where certificates are kept, and a folder of manifests where they are."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from onehop.cluster.meta import Meta
from onehop.cluster.secret import Secret
from onehop.control.issuing.folder import FolderSecrets
from onehop.control.issuing.mark import ISSUED_BY, MANAGED_BY
from onehop.control.issuing.secrets import ApiSecrets, SecretStore
from onehop.kube import Access, Client, connect
from onehop.lab.api import (
    PatchType,
    Server,
    Settings,
    Store,
    WriteOptions,
    put,
    read,
    remove,
    serve,
)
from onehop.lab.api.access import Access as Asked
from onehop.model.ident import ObjectRef

NAMESPACE = "onehop-system"
WEB_TLS = ObjectRef("Secret", "shop", "web-tls")
OURS = {"labels": {MANAGED_BY: "onehop"}, "annotations": {ISSUED_BY: NAMESPACE}}
DEADLINE_S = 20.0


class Cluster:
    """The API, and everything a test can turn.

    Attributes:
        on_asked: called for each request before it is answered.
        denied: rights that are missing, as (verb, resource).
    """

    def __init__(self, folder: Path) -> None:
        self.on_asked: Callable[[Asked], object] = lambda _asked: None
        self.denied: set[tuple[str, str]] = set()
        self.store = Store()
        for name in (NAMESPACE, "shop"):
            put(self.store, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        self.server: Server
        self._folder = folder

    def allows(self, asked: Asked) -> bool:
        """Tell whether a request is within our rights."""
        self.on_asked(asked)
        return (asked.verb, asked.resource) not in self.denied

    def once(self, verb: str, act: Callable[[], object], resource: str = "secrets") -> None:
        """Let somebody act between a request and its answer, the first time there is one."""

        def asked(access: Asked) -> None:
            if (access.verb, access.resource) == (verb, resource):
                self.on_asked = lambda _asked: None
                act()

        self.on_asked = asked

    def restless(self, *refs: ObjectRef) -> None:
        """Let somebody change Secrets just before each patch."""
        edits = 0

        def asked(access: Asked) -> None:
            nonlocal edits
            edits += 1
            if access.verb == "patch":
                for ref in refs:
                    self.patch(ref, {"metadata": {"annotations": {"edit": str(edits)}}})

        self.on_asked = asked

    def put_secret(self, ref: ObjectRef, **more: Any) -> None:
        """Create or replace a Secret; `metadata` is added to its name."""
        metadata = {"name": ref.name, "namespace": ref.namespace, **more.pop("metadata", {})}
        data = {
            key: base64.b64encode(value).decode() for key, value in more.pop("data", {}).items()
        }
        put(
            self.store,
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data, **more},
        )

    def patch(self, ref: ObjectRef, body: dict[str, Any]) -> None:
        """Let somebody change a Secret."""
        resource = self.store.registry.named("secrets")
        options = WriteOptions(manager="somebody-else")
        self.store.patch(resource, (ref.namespace, ref.name), PatchType.MERGE, body, options)

    def secret(self, ref: ObjectRef) -> dict[str, Any]:
        """Return a Secret as the API has it, its data as text."""
        found = read(self.store, "secrets", ref.namespace, ref.name)
        data = found.get("data") or {}
        return found | {
            "data": {key: base64.b64decode(text).decode() for key, text in data.items()}
        }

    def remove_secret(self, ref: ObjectRef) -> None:
        """Let somebody delete a Secret."""
        remove(self.store, "secrets", ref.namespace, ref.name)

    def names(self, resource: str = "secrets") -> list[str]:
        """Return the names of all objects of a resource."""
        collection = self.store.collection(self.store.registry.named(resource))
        return sorted(each.decode()["metadata"]["name"] for each in collection.all())

    @property
    def writes(self) -> int:
        """How many writes there were since `requests.clear`, refused ones included."""
        return self.server.requests.writes(agent="onehop")

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        """Connect as another process would."""
        config = self._folder / "kubeconfig"
        config.write_text(self.server.kubeconfig())
        async with connect(Access(kubeconfig=str(config))) as client:
            yield client


@asynccontextmanager
async def cluster_in(folder: Path) -> AsyncGenerator[Cluster]:
    """Serve a cluster with two namespaces."""
    cluster = Cluster(folder)
    async with serve(cluster.store, settings=Settings(allows=cluster.allows)) as server:
        cluster.server = server
        yield cluster


class Place(Protocol):
    """Somewhere Secrets are, for tests that hold everywhere."""

    def process(self) -> SecretStore:
        """Return the Secrets as another process sees them."""
        ...

    def put_foreign(self, ref: ObjectRef, text: str) -> None:
        """Let somebody else make a Secret."""
        ...


class ClusterPlace:
    """In a cluster."""

    def __init__(self, cluster: Cluster, client: Client) -> None:
        self._cluster = cluster
        self._client = client

    def process(self) -> SecretStore:
        return ApiSecrets(self._client)

    def put_foreign(self, ref: ObjectRef, text: str) -> None:
        self._cluster.put_secret(ref, data={"text": text.encode()})


class FolderPlace:
    """Beside a folder of manifests, which holds what somebody else made."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.theirs: dict[ObjectRef, Secret] = {}
        self.told: Mapping[ObjectRef, Secret] = {}

    def tell_own(self, own: Mapping[ObjectRef, Secret]) -> None:
        self.told = own

    def secret(self, secret: ObjectRef) -> Secret | None:
        return self.theirs.get(secret)

    def process(self) -> FolderSecrets:
        return FolderSecrets(self.directory, self)

    def put_foreign(self, ref: ObjectRef, text: str) -> None:
        self.theirs[ref] = foreign(ref, text)


def foreign(ref: ObjectRef, text: str) -> Secret:
    """Return a Secret of somebody else's, which claims to be ours."""
    metadata = Meta(
        name=ref.name,
        namespace=ref.namespace,
        labels=OURS["labels"],
        annotations=OURS["annotations"],
    )
    return Secret(metadata=metadata, data={"text": text.encode()})


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Run something until the context is left."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        finally:
            task.cancel()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, up to a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():  # noqa: ASYNC110  a server's state has no asyncio.Event
            await asyncio.sleep(0.002)
