"""Who uses what, counted as rows come and go, so that nobody has to look through all of them."""

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable
from typing import Generic, TypeVar

_What = TypeVar("_What", bound=Hashable)
_Who = TypeVar("_Who", bound=Hashable)


class Uses(Generic[_What, _Who]):
    """What is used by whom; somebody may use a thing more than once."""

    def __init__(self) -> None:
        self._users: defaultdict[_What, Counter[_Who]] = defaultdict(Counter)

    def note(self, what: _What, who: _Who, by: int) -> None:
        """Count a use that comes (1) or goes (-1)."""
        users = self._users[what]
        users[who] += by
        if not users[who]:
            del users[who]
        if not users:
            del self._users[what]

    def of(self, what: _What) -> Collection[_Who]:
        """Return who uses something, each once."""
        return self._users.get(what, Counter[_Who]()).keys()
