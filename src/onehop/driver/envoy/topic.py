"""One resource type on one stream: what Envoy wants of it, has of it, and was sent of it."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from onehop.driver.envoy.cache import ResourceCache
from onehop.driver.envoy.resource import ResourceKey, ResourceType


class Flight(NamedTuple):
    """A response that Envoy has not answered yet.

    Attributes:
        sent: name to version; None where the resource was removed.
        known: the names of which Envoy had an older form.
    """

    sent: dict[str, int | None]
    known: frozenset[str]


class Topic:
    """The delta protocol's state for one type (xds-transport protocol, "Incremental xDS")."""

    def __init__(self, type_: ResourceType, cache: ResourceCache) -> None:
        self.type = type_
        self.acked: dict[str, int] = {}
        """What Envoy holds, by version."""
        self.names: set[str] = set()
        self.wildcard = False
        self.prefixes: set[str] = set()
        """For hosts: the routers Envoy holds; a host of any other would be dropped unseen."""
        self._cache = cache
        self._is_open = False
        self._owes_reply = False
        self._pending: dict[str, None] = {}
        self._apart: deque[tuple[str, ...]] = deque()

    def open(self, subscribe: list[str], initial_versions: dict[str, str]) -> None:
        """Take the first request of this type on the stream.

        `initial_versions` is what Envoy kept over a broken stream: only what differs is sent.
        """
        self._is_open = True
        self._owes_reply = True
        named = [name for name in subscribe if name != "*"]
        self.wildcard = self.type is not ResourceType.HOST and len(named) == len(subscribe) == 0
        self.wildcard |= "*" in subscribe
        self.acked = {name: int(version) for name, version in initial_versions.items()}
        self.names.update(named)
        candidates = {*named, *self.acked}
        if self.wildcard:
            candidates.update(self._cache.names(self.type))
        self.touch(name for name in candidates if not self.settled(name, None))
        self.touch(name for name in named if name not in self.acked)

    @property
    def is_open(self) -> bool:
        """Whether Envoy has asked for this type at all."""
        return self._is_open

    def subscribe(self, names: Iterable[str]) -> None:
        """Add names; each is answered, even one that Envoy has or that does not exist."""
        added = tuple(names)
        self.names.update(added)
        self._pending.update(dict.fromkeys(added))

    def unsubscribe(self, names: Iterable[str]) -> None:
        """Forget names: Envoy drops what it has of them by itself."""
        for name in names:
            self.names.discard(name)
            self.acked.pop(name, None)
            self._pending.pop(name, None)

    def wants(self, name: str) -> bool:
        """Tell whether Envoy would take this resource."""
        if self.type is ResourceType.HOST:
            return self._is_open and name.rpartition("/")[0] in self.prefixes
        return self.wildcard or name in self.names

    def touch(self, names: Iterable[str]) -> None:
        """Queue what may have changed, for the next response."""
        self._pending.update(dict.fromkeys(name for name in names if self.wants(name)))

    def touch_apart(self, names: tuple[str, ...]) -> None:
        """Queue names for a response of their own, so that a refusal can only mean them."""
        if names:
            self._apart.append(names)

    @property
    def has_pending(self) -> bool:
        """Whether there is something to say."""
        return bool(self._pending or self._apart or self._owes_reply)

    def take(self) -> Flight:
        """Return what goes into the next response."""
        self._owes_reply = False
        if self._apart:
            names: Iterable[str] = self._apart.popleft()
        else:
            names = tuple(self._pending)
            self._pending.clear()
        sent: dict[str, int | None] = {}
        for name in names:
            entry = self._cache.offered(ResourceKey(self.type, name))
            sent[name] = entry.version if entry else None
        return Flight(sent, frozenset(name for name in sent if name in self.acked))

    def acknowledge(self, flight: Flight) -> None:
        """Note that Envoy took a response."""
        for name, version in flight.sent.items():
            if version is None:
                self.acked.pop(name, None)
            elif self.wants(name):
                self.acked[name] = version
                self._cache.accept(ResourceKey(self.type, name), version)

    def settled(self, name: str, version: int | None) -> bool:
        """Tell whether Envoy holds this version or a newer one, or what replaces a refused one."""
        entry = self._cache.offered(ResourceKey(self.type, name))
        if entry is None:
            return name not in self.acked
        wanted = entry.version if version is None else min(version, entry.version)
        return self.acked.get(name, 0) >= wanted
