"""The newest form of an object that we know of.

The compiler's copy comes by a watch, and a watch is late: right after a write it still holds the
object of before, and deciding from that would write again. What the API answered is newer until
the copy moves on.
"""

from collections import deque
from typing import Final

from onehop.cluster.kind import ClusterObject

MOST_REMEMBERED: Final = 32
"""Versions; a watch that is further behind than so many of our own writes costs a conflict."""


class Seen:
    """One object's last answer, and the versions that it made old.

    resourceVersions are only compared for equality: to clients they are opaque (Kubernetes API
    concepts, "Resource versions").
    """

    def __init__(self) -> None:
        self._answer: ClusterObject | None = None
        self._old: deque[str] = deque(maxlen=MOST_REMEMBERED)

    def newest(self, copy: ClusterObject | None) -> ClusterObject | None:
        """Return the newer of the compiler's copy and the last answer; None if it is gone."""
        if copy is None or copy.metadata.resource_version not in self._old:
            self._answer = None
            self._old.clear()
            return copy
        return self._answer

    def answered(self, before: ClusterObject | None, answer: ClusterObject) -> None:
        """Take in what the API answered.

        Args:
            before: what `newest` returned before the request, or the copy it would be given.
            answer: the object as it is after it.
        """
        for older in (before, self._answer):
            if older is not None and older.metadata.resource_version not in self._old:
                self._old.append(older.metadata.resource_version)
        self._answer = answer
