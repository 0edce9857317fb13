"""Several values under one key, where most keys have one.

A set or dict of its own for every key would take 230 bytes each; a sheet of a hundred thousand
endpoints has two hundred thousand such keys.
"""

from collections.abc import Collection, Hashable, Iterator
from itertools import chain
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)


class Multimap(Generic[K, V]):
    """A map from keys to one or more different values."""

    def __init__(self) -> None:
        self._one: dict[K, V] = {}
        self._more: dict[K, dict[V, None]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._one or key in self._more

    def __iter__(self) -> Iterator[K]:
        return chain(self._one, self._more)

    def of(self, key: K) -> Collection[V]:
        """Return the values of a key, in no particular order; none if it is not there."""
        more = self._more.get(key)
        if more is not None:
            return more
        return (self._one[key],) if key in self._one else ()

    def add(self, key: K, value: V) -> bool:
        """Add a value; tell whether the key is new."""
        more = self._more.get(key)
        if more is not None:
            more[value] = None
        elif key not in self._one:
            self._one[key] = value
            return True
        elif self._one[key] != value:
            self._more[key] = {self._one.pop(key): None, value: None}
        return False

    def remove(self, key: K, value: V) -> bool:
        """Remove a value that is there; tell whether the key is gone with it."""
        more = self._more.get(key)
        if more is None:
            del self._one[key]
            return True
        del more[value]
        if len(more) == 1:
            del self._more[key]
            (self._one[key],) = more
        return False
