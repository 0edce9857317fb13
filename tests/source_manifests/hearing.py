"""A sink that remembers, and waiting for what it shall have heard."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from onehop.cluster import ClusterObject, ref_of
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem
from onehop.source import Batch, Deleted
from onehop.source.manifests import ManifestSource

DEADLINE_S = 30.0


class Hearing:
    """Implements `Sink`: the state that the batches add up to."""

    def __init__(self) -> None:
        self.objects: dict[ObjectRef, ClusterObject] = {}
        self.absent: set[ObjectRef] = set()
        self.problems: tuple[Problem, ...] = ()
        self.batches: list[Batch] = []
        self.is_complete = False
        self._heard = asyncio.Event()

    def changed(self, batch: Batch) -> None:
        self.batches.append(batch)
        for change in batch.changes:
            if isinstance(change, Deleted):
                self.objects.pop(change.ref, None)
                self.absent.add(change.ref)
            else:
                self.objects[ref_of(change)] = change
                self.absent.discard(ref_of(change))
        if batch.problems is not None:
            self.problems = batch.problems
        self._heard.set()

    def complete(self) -> None:
        assert not self.is_complete
        self.is_complete = True
        self._heard.set()

    @property
    def names(self) -> list[str]:
        return sorted(str(ref) for ref in self.objects)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the condition, which is looked at after everything that is heard."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._heard.clear()
                await self._heard.wait()


@asynccontextmanager
async def listening(source: ManifestSource) -> AsyncGenerator[Hearing]:
    """Run the source, and stop it at the end."""
    hearing = Hearing()
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(source.run(hearing))
        try:
            yield hearing
        finally:
            run.cancel()


def service(name: str, port: int = 80) -> str:
    """Return the text of a Service."""
    return (
        f"---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n"
        f"spec: {{ports: [{{port: {port}}}]}}\n"
    )


def replace(path: Path, text: str) -> None:
    """Write as editors do: beside the file, then rename over it."""
    beside = path.with_name(f".{path.name}.swp")
    beside.write_text(text)
    beside.replace(path)
