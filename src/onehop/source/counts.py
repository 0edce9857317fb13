"""What a reflector has been doing, as plain numbers for whoever shows them."""

from collections import Counter

import msgspec


def _zero() -> Counter[str]:
    return Counter()


class ReflectorCounts(msgspec.Struct, kw_only=True):
    """Counts since start; only the reflectors of one kind write them.

    Attributes:
        lists: by what became of them: `believed`, `doubted`, `stale`, `failed`.
        watch_ends: by reason: `ended` in good order, `relist` due, or the exception's name.
        events: of watches, bookmarks included.
        changes: objects and deletions handed on.
        heard_at: when a list, an event or a bookmark last arrived, by the source's clock.
        is_listed: the first list has been taken.
    """

    lists: Counter[str] = msgspec.field(default_factory=_zero)
    watch_ends: Counter[str] = msgspec.field(default_factory=_zero)
    events: int = 0
    changes: int = 0
    heard_at: float = 0.0
    is_listed: bool = False

    def silence_s(self, now: float) -> float:
        """Return for how long nothing was heard; a bookmark comes about every minute."""
        return now - self.heard_at
