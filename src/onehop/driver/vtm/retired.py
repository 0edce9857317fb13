"""What is no longer wanted and not yet deleted: the second phase of a deletion, and its budget.

In the first phase a virtual server stops listening, and nothing points at the rest any more. After
a grace for requests in flight, the objects are deleted, pointing ones first.

What an earlier process left is another matter: no gate has let it go, and this process may know
too little yet. It stays longer, and if it is a large part of all that is ours, it stays for good:
somebody has to look at it.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from onehop.driver.vtm.content import ORDER, ObjectKey

BUDGET_OBJECTS: Final = 20
BUDGET_SHARE: Final = 0.3


class Retired:
    """Objects and when they may be deleted, in seconds of the event loop's clock."""

    def __init__(self) -> None:
        self._due_at: dict[ObjectKey, float] = {}

    def __contains__(self, key: ObjectKey) -> bool:
        return key in self._due_at

    def __len__(self) -> int:
        return len(self._due_at)

    def add(self, keys: Iterable[ObjectKey], *, due_at: float) -> None:
        """Let objects go then; an earlier time stands."""
        for key in keys:
            self._due_at[key] = min(due_at, self._due_at.get(key, due_at))

    def put_off(self, key: ObjectKey, *, due_at: float) -> None:
        """Let an object go then, and not before."""
        self._due_at[key] = due_at

    def drop(self, key: ObjectKey) -> None:
        """Forget an object: it is deleted, or wanted again."""
        self._due_at.pop(key, None)

    def due(self, now: float) -> tuple[ObjectKey, ...]:
        """Return what is due, what points before what is pointed at."""
        keys = (key for key, due_at in self._due_at.items() if due_at <= now)
        return tuple(sorted(keys, key=lambda key: (-ORDER[key.kind], key.name)))

    def next_at(self) -> float | None:
        """Return when the next is due."""
        return min(self._due_at.values(), default=None)


class Orphans(msgspec.Struct, frozen=True):
    """What an earlier process left.

    Attributes:
        keys: sorted.
        is_withheld: too many to be believed.
    """

    keys: tuple[ObjectKey, ...]
    is_withheld: bool


def find_orphans(
    held: Iterable[ObjectKey], wanted: Iterable[ObjectKey], retired: Retired
) -> Orphans:
    """Return the objects of ours that nobody wants, and whether they are too many to delete."""
    there = set(held)
    keys = sorted(key for key in there - set(wanted) if key not in retired)
    budget = max(BUDGET_OBJECTS, int(BUDGET_SHARE * len(there)))
    return Orphans(tuple(keys), len(keys) > budget)
