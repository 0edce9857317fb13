"""What a reflector has told its sink: of each object only which state, never the object itself.

Pure: pages and events go in, changes come out. That is where "a relist is never a wipe" can be
proved: a `Listing` only compares, and what it has not seen leaves the ledger only when whoever
settles the listing says so.
"""

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from onehop.base.errors import KubeUnavailable
from onehop.cluster import EndpointSlice
from onehop.cluster.kind import ClusterObject
from onehop.kube import Collection, Event, Head, Progress, Removed, Unreadable, Written
from onehop.kube.event import ItemDecoder
from onehop.model.ident import ObjectRef
from onehop.source.slim import Slimmer
from onehop.source.source import Deleted, ObjectChange

Key: TypeAlias = tuple[str, str]
"""Namespace and name."""

UNNUMBERED: Final = -1


def number(resource_version: str) -> int:
    """Return a resourceVersion as a number that grows, or -1 if it is not one.

    They are opaque by tradition; that they are comparable decimals is promised since KEP-5504 and
    has always been so where etcd is the store. With -1 we compare nothing and believe everything.
    """
    return int(resource_version) if resource_version.isdecimal() else UNNUMBERED


class _State(msgspec.Struct, frozen=True, gc=False):
    uid: str
    resource_version: str


_BY_NAME: Final = _State("", "")
"""The state of an object that is only known to have been there; any other state is news."""


class Ledger:
    """What is held of one collection.

    Attributes:
        position: the resourceVersion from which to watch; empty before the first list.
        unreadable: objects that exist but do not decode, and why; an older form may be held.
    """

    def __init__(self, collection: Collection[ClusterObject], slimmer: Slimmer) -> None:
        self.position = ""
        self.unreadable: dict[Key, str] = {}
        self._collection = collection
        self._slimmer = slimmer
        self._decoder = ItemDecoder(collection.struct)
        self._held: dict[Key, _State] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def keys(self) -> frozenset[Key]:
        """Everything that is held."""
        return frozenset(self._held)

    def expect(self, keys: Iterable[Key]) -> None:
        """Hold these by name alone: an earlier process has seen them."""
        self._held.update(dict.fromkeys(keys, _BY_NAME))

    def ref(self, key: Key) -> ObjectRef:
        """Return the name by which everybody else knows the object."""
        return ObjectRef(self._collection.kind, *key)

    def is_behind(self, resource_version: str) -> bool:
        """Tell whether a list taken at that moment is older than what was already seen."""
        listed = number(resource_version)
        return listed != UNNUMBERED and listed < number(self.position)

    def begin_listing(self) -> "Listing":
        """Begin to compare a list with what is held; nothing changes by it."""
        return Listing(self, self._decoder)

    def settle(self, listing: "Listing", gone: frozenset[Key]) -> Iterator[ObjectChange]:
        """Take over a complete list, and yield what it changed; absent objects only if in `gone`.

        Writes come before deletions, so that nothing is missing in between.
        """
        for written in listing.written:
            change = self._write(written)
            if change is not None:
                yield change
        self.unreadable = {
            key: text for key, text in self.unreadable.items() if key in listing.seen
        } | listing.unreadable
        for key in sorted(gone):
            if self._held.pop(key, None) is not None:
                yield Deleted(self.ref(key))
        self.position = listing.resource_version or self.position

    def take(self, events: Iterable[Event[ClusterObject]]) -> tuple[ObjectChange, ...]:
        """Take over what a watch says, in order, and return what it changed."""
        changes: list[ObjectChange] = []
        for event in events:
            change = self._take(event)
            if change is not None:
                changes.append(change)
        return tuple(changes)

    def _take(self, event: Event[ClusterObject]) -> ObjectChange | None:
        match event:
            case Progress(resource_version=reached):
                self._advance(reached)
                return None
            case Removed(head=head):
                self._advance(head.resource_version)
                return self._remove(head)
            case Unreadable(head=head, message=message):
                self._advance(head.resource_version)
                self.unreadable[head.namespace, head.name] = message
                return None
            case Written(head=head):
                # A lagging server replays what we already had, perhaps of an object long deleted.
                if not self._advance(head.resource_version):
                    return None
                return self._write(event)

    def _advance(self, resource_version: str) -> bool:
        """Move the position forward, and tell whether this was forward."""
        reached = number(resource_version)
        if reached != UNNUMBERED and reached <= number(self.position):
            return False
        self.position = resource_version or self.position
        return True

    def _write(self, event: Written[ClusterObject]) -> ObjectChange | None:
        head = event.head
        key = (head.namespace, head.name)
        held = self._held.get(key)
        if held is not None and not _is_news(head, held):
            return None
        self.unreadable.pop(key, None)
        if isinstance(event.item, EndpointSlice) and event.item.service is None:
            # A slice of nobody: some other controller's, or one that has lost its Service.
            return Deleted(self.ref(key)) if self._held.pop(key, None) is not None else None
        self._held[key] = _State(head.uid, head.resource_version)
        self._slimmer.slim(event.item)
        return event.item

    def _remove(self, head: Head) -> ObjectChange | None:
        key = (head.namespace, head.name)
        held = self._held.get(key)
        self.unreadable.pop(key, None)
        if held is None:
            return None
        if held.uid != head.uid and number(head.resource_version) <= number(held.resource_version):
            return None  # of a former object by this name
        del self._held[key]
        return Deleted(self.ref(key))

    def has(self, head: Head) -> bool:
        """Tell whether exactly this state is held."""
        held = self._held.get((head.namespace, head.name))
        return held is not None and (held.uid, held.resource_version) == (
            head.uid,
            head.resource_version,
        )


class Listing:
    """A list on its way in, compared page by page so that only what differs is kept.

    Attributes:
        written: what is new or changed.
        seen: every object the list names.
        resource_version: the moment the list was taken.
    """

    def __init__(self, ledger: Ledger, decoder: ItemDecoder[ClusterObject]) -> None:
        self.written: list[Written[ClusterObject]] = []
        self.unreadable: dict[Key, str] = {}
        self.seen: set[Key] = set()
        self.resource_version = ""
        self._ledger = ledger
        self._decoder = decoder

    def add(self, items: Iterable[msgspec.Raw], resource_version: str) -> None:
        """Compare a page's items with what is held.

        Raises:
            KubeUnavailable: an item has no name; whatever this is, it is no list of an API server.
        """
        self.resource_version = resource_version
        for raw in items:
            head = self._head(raw)
            self.seen.add((head.namespace, head.name))
            if self._ledger.has(head):
                continue
            try:
                self.written.append(Written(head, self._decoder.item(raw)))
            except msgspec.ValidationError as error:
                self.unreadable[head.namespace, head.name] = str(error)

    @property
    def missing(self) -> frozenset[Key]:
        """What is held and not in the list; it means something only once the list is complete."""
        return self._ledger.keys - self.seen

    def _head(self, raw: msgspec.Raw) -> Head:
        try:
            head = self._decoder.head(raw)
        except msgspec.ValidationError as error:
            raise KubeUnavailable(f"list: an item has no readable metadata: {error}") from error
        if not head.name:
            raise KubeUnavailable("list: an item has no name")
        return head


def _is_news(head: Head, held: _State) -> bool:
    """Tell whether a written state is later than the held one, as far as one can tell."""
    if (head.uid, head.resource_version) == (held.uid, held.resource_version):
        return False
    written = number(head.resource_version)
    return written == UNNUMBERED or written > number(held.resource_version)
