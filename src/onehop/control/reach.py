"""Answers what the compiler asks about the routing table.

Which areas matter follows from what cells read; so a settle may ask for more, and is then done once
more with the answers. What the table says later, it says by itself (`Pipeline.routes_changed`).
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from onehop.compile.compiler import Compiler, Outcome
from onehop.model.address import Cidr
from onehop.model.reach import Area


class RoutingTable(Protocol):
    """Who knows the kernel's routes; see `net.fib`."""

    def want(self, areas: Iterable[Cidr]) -> tuple[Area, ...]:
        """Take note of all areas that matter from now on; return what is known of the new ones."""
        ...


class Reach:
    """Between a compiler and a routing table; without one, nothing is ever asked."""

    def __init__(self, compiler: Compiler, table: RoutingTable | None = None) -> None:
        self._compiler = compiler
        self._table = table
        self._wanted: frozenset[Cidr] = frozenset()

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
        found = self._table.want(wanted)
        for area in found:
            self._compiler.put_area(area)
        return bool(found)
