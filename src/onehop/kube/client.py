"""The operations onehop needs of a Kubernetes API, each with a time limit.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias, TypeVar

import aiohttp
import msgspec

from onehop.base.errors import KubeNotFound, KubeUnavailable
from onehop.kube.collection import EVERYTHING, Collection, Selection
from onehop.kube.credentials import Access, Credentials, find_loader
from onehop.kube.event import Event, ItemDecoder
from onehop.kube.fault import ObjectAbsent, network_faults
from onehop.kube.line import LineSplitter
from onehop.kube.page import Page, decode_page
from onehop.kube.transport import Request, Transport

T = TypeVar("T")

READ_BYTES: Final = 1024 * 1024
"""At most this much of a watch is decoded at once: about 5 ms of the event loop."""
FIELD_MANAGER: Final = "onehop"

Json: TypeAlias = Mapping[str, Any]


class CallPatience(msgspec.Struct, frozen=True, kw_only=True):
    """How long an answer may take, to its last byte.

    Attributes:
        page_s: for a page of a list; the API server itself gives up after a minute
            (`--request-timeout`).
        call_s: for everything else but watches.
    """

    page_s: float = 60.0
    call_s: float = 15.0


class WatchPatience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a watch may last, and how long it may be silent.

    Attributes:
        lasts_s: asked of the server as `timeoutSeconds`; it then ends the watch in good order.
        silence_s: no byte for so long, not even a bookmark or an end, means a hung connection.
        open_s: how long the server may take to begin.
    """

    lasts_s: float = 60.0
    silence_s: float = 75.0
    open_s: float = 10.0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A merge patch.

    Attributes:
        patch: the fields to set; None removes one, a list replaces the list that was there.
        subresource: `status` to write what only controllers write.
        resource_version: apply only if the object is still at this version; empty means always.
    """

    patch: Json
    subresource: str = ""
    resource_version: str = ""


class Right(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`spec.resourceAttributes` of a SelfSubjectAccessReview."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class _Version(msgspec.Struct, frozen=True, rename="camel"):
    git_version: str


class _ServedResource(msgspec.Struct, frozen=True):
    name: str


class _ServedResources(msgspec.Struct, frozen=True):
    """metav1.APIResourceList."""

    resources: tuple[_ServedResource, ...] = ()


class _ReviewStatus(msgspec.Struct, frozen=True):
    allowed: bool = False


class _Review(msgspec.Struct, frozen=True):
    status: _ReviewStatus


PATIENT: Final = WatchPatience()
PATIENT_CALLS: Final = CallPatience()


class Client:
    """An API server."""

    def __init__(self, transport: Transport, patience: CallPatience = PATIENT_CALLS) -> None:
        self._transport = transport
        self._patience = patience

    async def pages(
        self,
        collection: Collection[Any],
        selection: Selection = EVERYTHING,
        *,
        limit: int = 500,
        not_older_than: str = "",
    ) -> AsyncGenerator[Page]:
        """Yield the pages of one consistent list, the newest there is.

        Args:
            collection: what to list.
            selection: which of them.
            limit: objects per page.
            not_older_than: a resourceVersion that the list must have reached; a server that has
                not refuses with 504 (API concepts, "the resourceVersion parameter").

        Raises:
            KubeUnavailable: also when the pages turn out to be of different lists.
            KubeGone: the list took longer than the server keeps its snapshot (5 minutes).
        """
        query = {**selection.query, "limit": str(limit)}
        if not_older_than:
            query |= {"resourceVersion": not_older_than, "resourceVersionMatch": "NotOlderThan"}
        doing = f"list {collection.kind}"
        path = collection.path(selection.namespace)
        taken_at = ""
        while True:
            request = Request(doing=doing, method="GET", path=path, query=query)
            body = await self._transport.call(request, timeout_s=self._patience.page_s)
            page = decode_page(body, kind=collection.kind)
            if taken_at not in {"", page.resource_version}:
                raise KubeUnavailable(
                    f"{doing}: a page is of {page.resource_version}, the first was of {taken_at}"
                )
            taken_at = page.resource_version
            yield page
            if not page.next_token:
                return
            query = {**selection.query, "limit": str(limit), "continue": page.next_token}

    async def watch(
        self,
        collection: Collection[T],
        selection: Selection = EVERYTHING,
        *,
        resource_version: str,
        patience: WatchPatience = PATIENT,
    ) -> AsyncGenerator[tuple[Event[T], ...]]:
        """Yield what changes after `resource_version`: all events at hand, each time some arrive.

        The first yield is empty and says that the server has accepted the watch. The generator
        returns when the server ends the watch; close it (`contextlib.aclosing`) to end it early.

        Raises:
            KubeGone: the server no longer knows that resourceVersion; list again.
            KubeUnavailable: cut off, silent for too long, or not understood; resume from the last
                resourceVersion seen.
        """
        request = Request(
            doing=f"watch {collection.kind}",
            method="GET",
            path=collection.path(selection.namespace),
            query={
                **selection.query,
                "watch": "1",
                "allowWatchBookmarks": "true",
                "resourceVersion": resource_version,
                "timeoutSeconds": str(max(1, round(patience.lasts_s))),
            },
        )
        decoder = ItemDecoder(collection.struct)
        lines = LineSplitter()
        async with self._transport.stream(request, open_timeout_s=patience.open_s) as stream:
            yield ()
            while chunk := await _read(stream, request.doing, patience.silence_s):
                events, fault = decoder.events(lines.feed(chunk))
                if events:
                    yield events
                if fault is not None:
                    raise fault

    async def get(self, collection: Collection[T], namespace: str, name: str) -> T:
        """Return one object; KubeNotFound when there is none."""
        request = Request(
            doing=f"get {collection.kind} {namespace}/{name}",
            method="GET",
            path=collection.path(namespace, name),
        )
        return await self._answer(request, collection.struct)

    async def find(self, collection: Collection[T], namespace: str, name: str) -> T | None:
        """Return one object, or None if the API server itself says that this object is not there.

        Raises:
            KubeNotFound: a 404 of another kind: of a proxy, or of a server without this resource.
        """
        try:
            return await self.get(collection, namespace, name)
        except ObjectAbsent:
            return None

    async def create(
        self, collection: Collection[T], namespace: str, body: msgspec.Struct | Json
    ) -> T:
        """Create an object and return it as the server stored it; KubeConflict if it exists."""
        request = Request(
            doing=f"create {collection.kind} in {namespace or 'the cluster'}",
            method="POST",
            path=collection.path(namespace),
            query={"fieldManager": FIELD_MANAGER},
            body=msgspec.to_builtins(body),
        )
        return await self._answer(request, collection.struct)

    async def merge_patch(
        self,
        collection: Collection[T],
        namespace: str,
        name: str,
        change: Change,
    ) -> T:
        """Change the fields that the patch names (RFC 7396) and return the object as it is now.

        Raises:
            KubeConflict: the object is no longer at the change's resourceVersion.
        """
        body = dict(change.patch)
        if change.resource_version:
            metadata = dict(body.get("metadata") or {})
            body["metadata"] = metadata | {"resourceVersion": change.resource_version}
        request = Request(
            doing=f"patch {collection.kind} {namespace}/{name}",
            method="PATCH",
            path=collection.path(namespace, name, change.subresource),
            query={"fieldManager": FIELD_MANAGER},
            body=body,
            content_type="application/merge-patch+json",
        )
        return await self._answer(request, collection.struct)

    async def delete(
        self,
        collection: Collection[Any],
        namespace: str,
        name: str,
        *,
        resource_version: str = "",
    ) -> None:
        """Ask for an object's deletion; KubeNotFound when there is none.

        Args:
            collection: what it is one of.
            namespace: where.
            name: which.
            resource_version: delete only if the object is still at this version (`DeleteOptions`,
                `preconditions`); empty means always.

        Raises:
            KubeConflict: the object is no longer at that version.
        """
        only_if = {"preconditions": {"resourceVersion": resource_version}}
        request = Request(
            doing=f"delete {collection.kind} {namespace}/{name}",
            method="DELETE",
            path=collection.path(namespace, name),
            body=only_if if resource_version else None,
        )
        await self._transport.call(request, timeout_s=self._patience.call_s)

    async def server_version(self) -> str:
        """Return the server's `gitVersion`, as in v1.36.2."""
        request = Request(doing="get the server's version", method="GET", path="/version")
        return (await self._answer(request, _Version)).git_version

    async def resources(self, api_version: str) -> frozenset[str]:
        """Return the plural names of what a version of an API group has; nothing if it is unknown.

        Discovery, which every authenticated user may ask (ClusterRole `system:discovery`). To be
        told that something is not there proves little: a proxy that is lost says the same.

        Raises:
            KubeForbidden: this cluster lets us not even ask.
        """
        request = Request(
            doing=f"ask what there is of {api_version}", method="GET", path=f"/apis/{api_version}"
        )
        try:
            served = await self._answer(request, _ServedResources)
        except KubeNotFound:
            return frozenset()
        return frozenset(each.name for each in served.resources if "/" not in each.name)

    async def can_i(self, right: Right) -> bool:
        """Ask whether our credentials grant a right (SelfSubjectAccessReview)."""
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": msgspec.to_builtins(right)},
        }
        request = Request(
            doing=f"ask for the right to {right.verb} {right.resource}",
            method="POST",
            path="/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            body=body,
        )
        return (await self._answer(request, _Review)).status.allowed

    async def _answer(self, request: Request, struct: type[T]) -> T:
        body = await self._transport.call(request, timeout_s=self._patience.call_s)
        try:
            return msgspec.json.decode(body, type=struct)
        except msgspec.DecodeError as error:
            raise KubeUnavailable(f"{request.doing}: the answer is cut: {error}") from error


@asynccontextmanager
async def connect(access: Access, patience: CallPatience = PATIENT_CALLS) -> AsyncGenerator[Client]:
    """Hold a client for the API server that `access` means; the first request connects.

    Raises:
        ConfigError: no credentials, or damaged ones.
    """
    transport = Transport(await Credentials.load(find_loader(access)))
    try:
        yield Client(transport, patience)
    finally:
        await transport.close()


async def _read(stream: aiohttp.StreamReader, doing: str, silence_s: float) -> bytes:
    with network_faults(doing):
        async with asyncio.timeout(silence_s):
            return await stream.read(READ_BYTES)
