"""A copy of some of the API's objects that follows the API: what client-go calls an informer.

The lab's node agents and its controller stand on it. They are level-triggered: `changed` says that
something is different, never what, and whoever is told looks at `objects`.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final, Generic, TypeVar

import msgspec
import structlog

from onehop.base.errors import KubeGone, KubeNotFound, OnehopError
from onehop.kube import Client, Collection, Page, Progress, Removed, Selection, Written
from onehop.kube.event import Event, ItemDecoder

T = TypeVar("T")

RETRY_S: Final = 0.3
UNDEFINED_S: Final = 1.0

log = structlog.get_logger()


class Mirror(Generic[T]):
    """All objects of one collection, as the API last told of them.

    Attributes:
        objects: by namespace ("" for the cluster's own) and name.
        is_complete: whether a whole list has been read once.
    """

    def __init__(
        self,
        client: Client,
        collection: Collection[T],
        changed: Callable[[], None],
        selection: Selection = Selection(),  # noqa: B008  frozen
    ) -> None:
        self.objects: dict[tuple[str, str], T] = {}
        self.is_complete = False
        self._client = client
        self._collection = collection
        self._changed = changed
        self._selection = selection
        self._decoder = ItemDecoder(collection.struct)

    async def follow(self) -> None:
        """Keep the copy up to date until cancelled; faults are logged and tried again."""
        version = ""
        while True:
            try:
                if not version:
                    version = await self._list()
                version = await self._watch(version)
            except KubeGone:
                version = ""
            except KubeNotFound:
                version = ""  # a kind that is not defined, yet
                await asyncio.sleep(UNDEFINED_S)
            except OnehopError as fault:
                log.debug("lab_mirror_retries", kind=self._collection.kind, why=str(fault))
                version = ""
                await asyncio.sleep(RETRY_S)

    async def _list(self) -> str:
        found: dict[tuple[str, str], T] = {}
        version = ""
        pages: AsyncGenerator[Page] = self._client.pages(self._collection, self._selection)
        async with contextlib.aclosing(pages):
            async for page in pages:
                version = page.resource_version
                for raw in page.items:
                    head = self._decoder.head(raw)
                    with contextlib.suppress(msgspec.ValidationError):
                        found[head.namespace, head.name] = self._decoder.item(raw)
        self.objects = found
        self.is_complete = True
        self._changed()
        return version

    async def _watch(self, version: str) -> str:
        """Follow one watch to its end; return the version it came to."""
        watch: AsyncGenerator[tuple[Event[T], ...]] = self._client.watch(
            self._collection, self._selection, resource_version=version
        )
        async with contextlib.aclosing(watch):
            async for events in watch:
                for event in events:
                    version = self._take(event) or version
                if any(not isinstance(event, Progress) for event in events):
                    self._changed()
        return version

    def _take(self, event: Event[T]) -> str:
        match event:
            case Written(head, item):
                self.objects[head.namespace, head.name] = item
                return head.resource_version
            case Removed(head):
                self.objects.pop((head.namespace, head.name), None)
                return head.resource_version
            case Progress(resource_version):
                return resource_version
            case unreadable:
                head = unreadable.head
                log.warning("lab_object_unreadable", name=head.name, why=unreadable.message)
                self.objects.pop((head.namespace, head.name), None)
                return head.resource_version
