"""A folder of manifests as a source: read, watched, and held while anything about it is in doubt.

Level-triggered: an event of the watch says only "look again", and every second somebody looks
anyway, so that an event the kernel never sent (network file systems, a folder behind a link that
was turned elsewhere) costs a second and not the truth.
"""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from watchfiles import awatch
from watchfiles._rust_notify import WatchfilesRustInternalError  # documented, exported nowhere else

from onehop.base.errors import TransientError
from onehop.base.latest import Latest
from onehop.cluster.kind import WANTED_KINDS, ClusterObject
from onehop.cluster.secret import Secret
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Severity
from onehop.source.manifests_file import file_problem
from onehop.source.manifests_folder import Folder, merge, read_folder
from onehop.source.source import Batch, Deleted, ObjectChange, Sink

_LOOK_MS: Final = 1000
_QUIET_MS: Final = 15
"""A file is read once this long nothing happened: `>` truncates before it writes, and an editor
that saves by renaming leaves no file at all for a moment."""
_LONGEST_MS: Final = 45
"""A folder that never falls quiet is read after this long."""


class ManifestSource:
    """Implements `Source` for every `*.yaml`, `*.yml` and `*.json` below a directory.

    Secrets and ConfigMaps are held back until they are wanted, so that a compile sees the same as
    with an API.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._folder = Folder()
        self._own: Mapping[ObjectRef, Secret] = {}
        self._held_because = ""
        self._unwatched_because = ""
        self._wanted: frozenset[ObjectRef] = frozenset()
        self._told_wishes = Latest[frozenset[ObjectRef]]()
        self._look_again = asyncio.Event()
        self._watch_anew = asyncio.Event()

    async def run(self, sink: Sink) -> None:
        """Feed the sink until cancelled; a second run tells everything once more."""
        told = _Told()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            is_complete = False
            while True:
                await self._look_again.wait()
                self._look_again.clear()
                await self._read()
                wishes = self._certain_wishes()
                merged = merge(entry.file for entry in self._folder.entries.values())
                batch = told.news(
                    {**self._own, **merged.objects},
                    self._folder_problems() + merged.problems,
                    wishes,
                )
                if batch is not None:
                    sink.changed(batch)
                self._told_wishes.put(wishes)
                if not is_complete and self._folder.identity is not None:
                    is_complete = True
                    sink.complete()

    def want(self, wanted: frozenset[ObjectRef]) -> None:
        """Tell these Secrets and ConfigMaps, and no others, from now on."""
        self._wanted = wanted
        self._look_again.set()

    def tell_own(self, own: Mapping[ObjectRef, Secret]) -> None:
        """Tell these Secrets like those of the folder, where the folder has none of that name.

        They are the program's own, kept elsewhere; each call replaces what was given before.
        """
        self._own = own
        self._look_again.set()

    def secret(self, secret: ObjectRef) -> Secret | None:
        """Return the Secret that the folder holds by what was read last; our own are not there.

        Raises:
            TransientError: it has not been read yet.
        """
        if self._folder.identity is None:
            raise TransientError(f"{secret}: the folder of manifests has not been read yet")
        files = (entry.file.objects for entry in self._folder.entries.values())
        found = next((objects[secret] for objects in files if secret in objects), None)
        return found if isinstance(found, Secret) else None

    def expect(self, known: frozenset[ObjectRef]) -> None:
        """Pass over it: a folder that can be read is the truth."""

    def known(self) -> frozenset[ObjectRef]:
        """Return nothing: see `expect`."""
        return frozenset()

    @property
    def unread(self) -> frozenset[ObjectRef]:
        """The wanted objects, while the folder has not been read for them."""
        return self._wanted - (self._told_wishes.peek() or frozenset())

    async def wants_settled(self) -> None:
        """Wait until every object wanted now has been reported, be it there or not."""
        seen = 0
        while self._told_wishes.peek() != self._wanted:
            seen, _ = await self._told_wishes.newer(seen)

    def _certain_wishes(self) -> frozenset[ObjectRef]:
        """Return the wanted objects; none while nobody knows whether they are there."""
        return self._wanted if self._folder.identity is not None else frozenset()

    async def _read(self) -> None:
        """Read the folder again; where that fails, what was read last stays."""
        before, was_held = self._folder, self._held_because
        try:
            folder = await asyncio.to_thread(
                read_folder, self._directory, before, now_ns=time.time_ns()
            )
        except OSError as err:
            self._held_because = f"cannot be read: {err.strerror}"
            return
        if before.entries and not folder.entries and folder.identity != before.identity:
            self._held_because = "is another directory than before, and empty"  # unmounted
            return
        self._folder, self._held_because = folder, ""
        if was_held or before.roots not in (frozenset(), folder.roots):
            self._watch_anew.set()

    async def _watch(self) -> None:
        """Ask for a look whenever something below the folder changes, and every second."""
        while True:
            self._watch_anew.clear()
            self._unwatched_because = ""
            # Heard only when this task waits, which is when the watch stands (or has failed):
            # nothing that is written after the look can be missed.
            self._look_again.set()
            try:
                async for _ in awatch(
                    self._directory,
                    watch_filter=None,
                    step=_QUIET_MS,
                    debounce=_LONGEST_MS,
                    rust_timeout=_LOOK_MS,
                    yield_on_timeout=True,
                    stop_event=self._watch_anew,
                ):
                    self._look_again.set()
            except (OSError, WatchfilesRustInternalError) as err:
                self._unwatched_because = str(err)
                await asyncio.sleep(_LOOK_MS / 1000)

    def _folder_problems(self) -> tuple[Problem, ...]:
        name = str(self._directory)
        if self._held_because:
            message = f"the folder {self._held_because}; what it held last is still served"
            return (file_problem(name, message),)
        if self._unwatched_because:
            message = f"changes show after a second: no watch ({self._unwatched_because})"
            problem = file_problem(name, message)
            return (msgspec.structs.replace(problem, severity=Severity.WARNING),)
        return ()


class _Told:
    """What a sink has heard, so that it hears nothing twice."""

    def __init__(self) -> None:
        self._objects: dict[ObjectRef, ClusterObject | None] = {}
        self._problems: tuple[Problem, ...] | None = None

    def news(
        self,
        objects: Mapping[ObjectRef, ClusterObject],
        problems: tuple[Problem, ...],
        wanted: frozenset[ObjectRef],
    ) -> Batch | None:
        """Return what the sink has to hear now, or None; None for an object means it is gone."""
        target: dict[ObjectRef, ClusterObject | None] = dict.fromkeys(sorted(wanted))
        target |= {
            ref: item
            for ref, item in objects.items()
            if ref.kind not in WANTED_KINDS or ref in wanted
        }
        gone = (ref for ref in self._objects if ref not in target and ref.kind not in WANTED_KINDS)
        changes: list[ObjectChange] = [
            item or Deleted(ref)
            for ref, item in target.items()
            if ref not in self._objects or self._objects[ref] != item
        ]
        changes += [Deleted(ref) for ref in gone]
        is_new = problems != self._problems
        self._objects, self._problems = target, problems
        if not changes and not is_new:
            return None
        return Batch(changes=tuple(changes), problems=problems if is_new else None)
