"""Answers what the compiler asks about the routing table.

Which areas matter follows from what cells read; so a settle may ask for more, and is then done once
more with the answers. What the table says later, it says by itself (`Pipeline.routes_changed`).
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from onehop.base.errors import TransientError
from onehop.compile.compiler import Compiler, Outcome
from onehop.model.address import Cidr
from onehop.model.reach import Area

log = structlog.get_logger(__name__)


class RoutingTable(Protocol):
    """Who knows the kernel's routes; see `net.fib`."""

    def want(self, areas: Iterable[Cidr]) -> tuple[Area, ...]:
        """Take note of all areas that matter from now on; return what is known of the new ones.

        Raises:
            TransientError: it cannot say; it has taken note of nothing.
        """
        ...


class Reach:
    """Between a compiler and a routing table; without one, nothing is ever asked."""

    def __init__(self, compiler: Compiler, table: RoutingTable | None = None) -> None:
        self._compiler = compiler
        self._table = table
        self._wanted: frozenset[Cidr] = frozenset()
        self._is_owed = False

    def prepare(self) -> Outcome:
        """Settle the ways, and ask beforehand for what the first pools are going to ask."""
        outcome = self.settled(self._compiler.settle_ways)
        if self._table is not None:
            self._wanted = self._compiler.likely_areas()
            self._ask()
        return outcome

    def settled(self, settle: Callable[[], Outcome]) -> Outcome:
        """Settle, as often as there are new answers to settle with."""
        outcome = latest = settle()
        while latest.wants_areas and self._answer():
            latest = settle()
            outcome = outcome.then(latest)
        return outcome

    def _answer(self) -> bool:
        """Put what is newly wanted, drop what no longer is; return whether anything was put."""
        if self._table is None:
            return False
        wanted = self._compiler.wanted_areas()
        for prefix in self._wanted - wanted:
            self._compiler.drop_area(prefix)
        self._wanted = wanted
        return bool(self._ask())

    def ask_again(self) -> tuple[Area, ...]:
        """Return what the table had no answer to before, and has now; it is put already."""
        return self._ask() if self._is_owed else ()

    def _ask(self) -> tuple[Area, ...]:
        assert self._table is not None  # noqa: S101  who asks has a table
        try:
            found = self._table.want(self._wanted)
        except TransientError as err:
            log.warning("routes_not_read", error=str(err), areas=len(self._wanted))
            self._is_owed = True
            return ()
        self._is_owed = False
        for area in found:
            self._compiler.put_area(area)
        return found
