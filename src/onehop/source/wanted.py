"""Reading the Secrets and ConfigMaps that something refers to, one by one, and no others.

Listing all Secrets of a cluster is what made CVE-2025-1974 a cluster takeover. A watch by
name needs no more than `list` and `watch` with `resourceNames`, and ends with the last reference.
"""

import asyncio
from collections.abc import Callable

from onehop.model.ident import ObjectRef
from onehop.source.reflector import Reflector


class WantedObjects:
    """Runs one reflector for each wanted object.

    Args:
        reflect: makes the reflector; it calls the function it is given once the API has answered.
        forget: told when an object is no longer read.
    """

    def __init__(
        self,
        reflect: Callable[[ObjectRef, Callable[[], None]], Reflector],
        forget: Callable[[ObjectRef], None],
    ) -> None:
        self._reflect = reflect
        self._forget = forget
        self._wanted: frozenset[ObjectRef] = frozenset()
        self._answered: set[ObjectRef] = set()
        self._tasks: dict[ObjectRef, asyncio.Task[None]] = {}
        self._reflectors: dict[ObjectRef, Reflector] = {}
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    def want(self, wanted: frozenset[ObjectRef]) -> None:
        """Read these from now on, and no others."""
        self._wanted = wanted
        self._answered &= wanted
        self._changed.set()
        self._compare()

    @property
    def unsettled(self) -> frozenset[ObjectRef]:
        """Wanted objects of which the API has not yet said what they are."""
        return self._wanted - self._answered

    @property
    def unread(self) -> frozenset[ObjectRef]:
        """Wanted objects that have not been seen, nor seen to be absent: refused ones, too."""
        read = {ref for ref, reflector in self._reflectors.items() if reflector.is_listed}
        return self._wanted - read

    async def settled(self) -> None:
        """Wait until the API has answered for each wanted object: there, absent or forbidden."""
        await self._settled.wait()

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Start and stop reflectors in `group` as the wanted set changes, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            for ref in self._tasks.keys() - self._wanted:
                self._tasks.pop(ref).cancel()
                del self._reflectors[ref]
                self._forget(ref)
            for ref in sorted(self._wanted - self._tasks.keys()):
                self._reflectors[ref] = reflector = self._reflect_one(ref)
                self._tasks[ref] = group.create_task(reflector.run(), name=str(ref))

    def _reflect_one(self, ref: ObjectRef) -> Reflector:
        def answered() -> None:
            self._answered.add(ref)
            self._compare()

        return self._reflect(ref, answered)

    def _compare(self) -> None:
        if self.unsettled:
            self._settled.clear()
        else:
            self._settled.set()
