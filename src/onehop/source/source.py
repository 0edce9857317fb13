"""What every source of cluster objects promises."""

from typing import Protocol, TypeAlias

import msgspec

from onehop.cluster.kind import ClusterObject
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem


class Deleted(msgspec.Struct, frozen=True):
    """An object that is gone for certain: a DELETED event, or absence from a believed list."""

    ref: ObjectRef


ObjectChange: TypeAlias = ClusterObject | Deleted


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What a source learnt at one moment.

    Attributes:
        changes: in the order in which they happened; an object that did not change is not here.
        problems: everything that is wrong at the source itself (a file that does not parse, a list
            that is not believed), replacing what this source said before; None leaves it as it was.
    """

    changes: tuple[ObjectChange, ...] = ()
    problems: tuple[Problem, ...] | None = None


class Sink(Protocol):
    """Who is told. Every call is synchronous and short; it is made on the event loop."""

    def changed(self, batch: Batch) -> None:
        """Take in what changed."""
        ...

    def complete(self) -> None:
        """Every list there is has been read once: from now on, absence means something."""
        ...


class Source(Protocol):
    """A source of cluster objects."""

    async def run(self, sink: Sink) -> None:
        """Feed the sink until cancelled; what the world does wrong is retried, never raised."""
        ...

    def want(self, wanted: frozenset[ObjectRef]) -> None:
        """Read these Secrets and ConfigMaps, and no others, from now on.

        One that is not there yet is reported when it appears; a wanted one that is absent is
        reported as `Deleted` once its absence is certain.
        """
        ...

    def expect(self, known: frozenset[ObjectRef]) -> None:
        """Take note, before `run`, of what was there when an earlier process last looked.

        That one of these is gone is believed no sooner than if it had been seen by this process;
        until then the source is not complete.
        """
        ...

    def known(self) -> frozenset[ObjectRef]:
        """Return what a later process shall `expect`: all that is there, but for wanted objects."""
        ...

    @property
    def unread(self) -> frozenset[ObjectRef]:
        """Wanted objects of which it is not known what they are, nor that they are absent."""
        ...

    async def wants_settled(self) -> None:
        """Wait until every object wanted now has been reported, be it there or not."""
        ...
