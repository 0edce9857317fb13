"""The objects of one resource, their recent past, and those who watch them.

Every write is one `Change`. Changes stay in a bounded log, from which three things follow: a watch
that begins in the past, a list as it was at an older revision (undo the changes since), and 410
when the log does not reach back far enough.
"""

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from operator import attrgetter

from onehop.lab.api.refusal import expired
from onehop.lab.api.resource import Key, Resource
from onehop.lab.api.selector import Selection
from onehop.lab.api.stored import Stored


class EventType(StrEnum):
    """What a watch says happened."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Change:
    """One write to one object; encodes each event it gives rise to once, whoever reads it.

    Attributes:
        before: the object as it was, None when it was created.
        after: the object as it is, None when it was deleted.
    """

    __slots__ = ("_last", "_lines", "after", "before", "key", "revision")

    def __init__(self, revision: int, before: Stored | None, after: Stored | None) -> None:
        either = after or before
        assert either is not None  # noqa: S101  a change is of something
        self.revision = revision
        self.key: Key = either.key
        self.before = before
        self.after = after
        self._last: Stored | None = None
        self._lines: dict[tuple[EventType, bytes], bytes] = {}

    def event_for(self, selection: Selection) -> EventType | None:
        """Return what a reader of this selection is told, None when it is not concerned.

        An object that begins to match is ADDED, one that ceases to match is DELETED.
        """
        had = self.before is not None and selection.accepts(self.before)
        has = self.after is not None and selection.accepts(self.after)
        match had, has:
            case True, True:
                return EventType.MODIFIED
            case False, True:
                return EventType.ADDED
            case True, False:
                return EventType.DELETED
            case _:
                return None

    def shown(self, event: EventType) -> Stored:
        """Return the object an event carries.

        A DELETED event carries the object as it was *before*, under the revision of the deletion:
        finalizers that the last write took away still show (kube-apiserver does the same).
        """
        if event is not EventType.DELETED:
            assert self.after is not None  # noqa: S101  event_for says so
            return self.after
        if self._last is None:
            assert self.before is not None  # noqa: S101  event_for says so
            self._last = self.before.at(self.revision)
        return self._last

    def line(self, event: EventType, resource: Resource) -> bytes:
        """Return the event as a line of a watch stream."""
        wanted = (event, resource.head)
        line = self._lines.get(wanted)
        if line is None:
            line = event_line(event, self.shown(event).whole(resource))
            self._lines[wanted] = line
        return line


def event_line(event: str, obj: bytes) -> bytes:
    """Return a line of a watch stream, from an object's JSON."""
    return b'{"type":"%b","object":%b}\n' % (event.encode(), obj)


class Watch:
    """One reader's place in the changes of a resource.

    Attributes:
        is_open: False when the server has ended it: cut, or too slow a reader.
    """

    MAX_PENDING = 100_000
    """Changes a reader may lie behind before it is cut off, as the real server does."""

    def __init__(
        self, collection: "Collection", selection: Selection, wake: Callable[[], None]
    ) -> None:
        self._collection = collection
        self._pending: deque[tuple[EventType, Change]] = deque()
        self._wake = wake
        self.selection = selection
        self.is_open = True

    def offer(self, change: Change) -> None:
        """Queue a change if it concerns this reader, and wake it."""
        event = change.event_for(self.selection)
        if event is None:
            return
        if len(self._pending) >= self.MAX_PENDING:
            self.close()
            return
        self._pending.append((event, change))
        self._wake()

    def take(self) -> list[tuple[EventType, Change]]:
        """Return what happened since the last call, oldest first."""
        taken = list(self._pending)
        self._pending.clear()
        return taken

    def close(self) -> None:
        """End the watch; what is pending can still be taken."""
        if self.is_open:
            self.is_open = False
            self._collection.watches.discard(self)
            self._wake()


class Collection:
    """The objects of one resource, now and at recent revisions.

    Attributes:
        compacted: the log knows every change after this revision, and nothing of it and before.
        watches: the open ones.
    """

    def __init__(self, history: int) -> None:
        self._objects: dict[Key, Stored] = {}
        self._sorted: list[Stored] | None = []
        self._log: deque[Change] = deque()
        self._history = history
        self.compacted = 0
        self.watches: set[Watch] = set()

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: Key) -> Stored | None:
        """Return the newest version of an object, or None."""
        return self._objects.get(key)

    def all(self) -> list[Stored]:
        """Return the newest version of every object, by key; not to be changed by the caller."""
        if self._sorted is None:
            self._sorted = sorted(self._objects.values(), key=attrgetter("key"))
        return self._sorted

    def at(self, revision: int, newest: int) -> list[Stored]:
        """Return every object as it was at a revision, by key; refuse with 410 if that is gone.

        Args:
            revision: the one asked for.
            newest: the Store's own, for the message.
        """
        if revision < self.compacted:
            raise expired(
                f"The resourceVersion for the provided list is too old: {revision} ({newest})"
            )
        if not self._log or self._log[-1].revision <= revision:
            return self.all()
        past = dict(self._objects)
        for change in reversed(self._log):
            if change.revision <= revision:
                break
            if change.before is None:
                past.pop(change.key, None)
            else:
                past[change.key] = change.before
        return sorted(past.values(), key=attrgetter("key"))

    def changes_since(self, revision: int) -> list[Change]:
        """Return the changes after a revision, oldest first; refuse with 410 if some are gone."""
        if revision < self.compacted:
            raise expired(f"too old resource version: {revision} ({self.compacted})")
        found: list[Change] = []
        for change in reversed(self._log):
            if change.revision <= revision:
                break
            found.append(change)
        found.reverse()
        return found

    def commit(self, change: Change, *, is_told: bool = True) -> None:
        """Make a change the newest state, and tell the readers it concerns if it is told."""
        if change.after is None:
            del self._objects[change.key]
        else:
            self._objects[change.key] = change.after
        self._sorted = None
        self._log.append(change)
        while len(self._log) > self._history:
            self.compacted = self._log.popleft().revision
        if is_told:
            for watch in tuple(self.watches):
                watch.offer(change)

    def forget(self, revision: int) -> None:
        """Drop the log, as etcd's compaction does: only `revision` and later are known."""
        self._log.clear()
        self.compacted = revision

    def cut(self) -> int:
        """End every open watch, and return how many there were."""
        open_ones = tuple(self.watches)
        for watch in open_ones:
            watch.close()
        return len(open_ones)
