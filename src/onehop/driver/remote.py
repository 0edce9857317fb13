"""What a data plane can tell that is another machine: of others' hands, of its own whims.

`Driver` is what all data planes have in common. These are further faces that one may have.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import msgspec

from onehop.driver.driver import Refusal
from onehop.model.model import Row
from onehop.model.problem import Problem


@runtime_checkable
class Reporting(Protocol):
    """A data plane where something can go wrong, or be changed by others, outside of an apply.

    Attributes:
        on_news: called when one of these answers differs from what it was.
    """

    on_news: Callable[[], None]

    def refused_since(self) -> tuple[Refusal, ...]:
        """Return the rows that are not served as they were told last, sorted; each is kept at."""
        ...

    def taken_since(self) -> tuple[tuple[Row, ...], tuple[Refusal, ...]]:
        """Return rows that a Receipt has refused and that are served now; each is told once.

        With them come those that are served in part.
        """
        ...

    def problems(self) -> tuple[Problem, ...]:
        """Return what is amiss with the data plane itself."""
        ...

    def confirm(self) -> int:
        """Delete what an earlier process left and was kept; return how many things that are."""
        ...


@runtime_checkable
class Advancing(Protocol):
    """A data plane whose applies may take long, for they take many steps, each in good time."""

    @property
    def steps(self) -> int:
        """How many steps were made; while it grows, an apply gets on."""
        ...


class RemoteCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What speaking to a data plane over a network has come to.

    Attributes:
        calls: by what became of them.
        writes: calls that were to change something.
        lag: changes of endpoints by the seconds they took at most to be there, each including
            the ones before.
        lag_s: the sum of all these.
        refused: objects that are refused now.
        withheld: objects that were left by an earlier process and are not deleted unseen.
    """

    is_connected: bool
    calls: Mapping[str, int]
    writes: int
    lag: Mapping[float, int]
    lag_s: float
    refused: int
    withheld: int


@runtime_checkable
class Remote(Protocol):
    """A data plane that is spoken to over a network."""

    def remote_counts(self) -> RemoteCounts:
        """Return the counters now."""
        ...
