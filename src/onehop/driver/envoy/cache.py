"""What Envoy shall hold: resources by type and name, each change with a version of its own.

Pure: no clock, no I/O. A resource that Envoy refused is in quarantine: it is offered in the last
form that Envoy accepted, or not at all, until its bytes change.
"""

from collections.abc import Collection, Mapping
from itertools import count
from typing import NamedTuple

from onehop.driver.envoy.resource import ResourceKey, ResourceType


class Entry(NamedTuple):
    """A serialized resource and the version under which it is sent."""

    version: int
    body: bytes


class Quarantined(NamedTuple):
    """What Envoy refused, and its words."""

    body: bytes
    reason: str


class ResourceCache:
    """The wanted resources, the accepted ones, and the ones in quarantine."""

    def __init__(self) -> None:
        self._versions = count(1)
        self._offered: dict[ResourceType, dict[str, Entry]] = {type_: {} for type_ in ResourceType}
        self._accepted: dict[ResourceKey, Entry] = {}
        self._quarantined: dict[ResourceKey, Quarantined] = {}

    def offered(self, key: ResourceKey) -> Entry | None:
        """Return what Envoy may have of this resource now; None: it shall not have it."""
        return self._offered[key.type].get(key.name)

    def names(self, type_: ResourceType) -> Collection[str]:
        """Return the names on offer."""
        return self._offered[type_].keys()

    @property
    def quarantined(self) -> Mapping[ResourceKey, Quarantined]:
        """What Envoy refused and is not asked to take again."""
        return self._quarantined

    def put(self, key: ResourceKey, body: bytes) -> bool:
        """Want a resource; tell whether Envoy has to hear of it."""
        held = self._quarantined.get(key)
        if held is not None:
            if held.body == body:
                return False
            del self._quarantined[key]
        offered = self._offered[key.type]
        old = offered.get(key.name)
        if old is not None and old.body == body:
            return False
        offered[key.name] = Entry(next(self._versions), body)
        return True

    def remove(self, key: ResourceKey) -> bool:
        """Want a resource no more; tell whether Envoy has to hear of it."""
        self._quarantined.pop(key, None)
        self._accepted.pop(key, None)
        return self._offered[key.type].pop(key.name, None) is not None

    def release(self, key: ResourceKey) -> None:
        """Forget that a resource was refused: it may be offered once more as it is."""
        self._quarantined.pop(key, None)

    def accept(self, key: ResourceKey, version: int) -> None:
        """Note that Envoy took this version."""
        entry = self.offered(key)
        if entry is not None and entry.version == version:
            self._accepted[key] = entry

    def quarantine(self, key: ResourceKey, version: int, reason: str) -> None:
        """Note that Envoy refused this version: offer the last accepted one, or none."""
        entry = self.offered(key)
        if entry is None or entry.version != version:
            return  # overtaken: the newer one stands trial by itself
        self._quarantined[key] = Quarantined(entry.body, reason)
        good = self._accepted.get(key)
        if good is None or good.version == version:
            del self._offered[key.type][key.name]
        else:
            self._offered[key.type][key.name] = good
