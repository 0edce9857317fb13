"""Rows that the unit has refused, to be tried again with each comparison.

What is refused may be taken later without being another one: somebody has deleted an object that
stood in its place, a right was given, a copy of the configuration has arrived.
"""

from collections.abc import Iterable, Mapping

from onehop.driver.driver import Refusal
from onehop.model.model import Row, RowKey


class Again:
    """What was taken back, as it was wanted last."""

    def __init__(self) -> None:
        self._rows: dict[RowKey, Row] = {}
        self._taken: dict[RowKey, Row] = {}
        self._partly: dict[RowKey, Refusal] = {}

    def __contains__(self, key: RowKey) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self) -> tuple[Row, ...]:
        """Return the rows to try."""
        return tuple(self._rows.values())

    def forget(self, keys: Iterable[RowKey]) -> None:
        """Let go of rows that a plan is about: what becomes of them is in its Receipt."""
        for key in keys:
            for each in (self._rows, self._taken, self._partly):
                each.pop(key, None)

    def add(self, rows: Mapping[RowKey, Row]) -> None:
        """Keep rows that the unit has refused."""
        self._rows |= rows

    def tried(self, refused: Mapping[RowKey, Row], partly: Iterable[Refusal]) -> bool:
        """Take in what came of trying all of them; tell whether some were taken."""
        taken = {key: row for key, row in self._rows.items() if key not in refused}
        self._taken |= taken
        self._partly |= {each.key: each for each in partly if each.key in taken}
        self._rows = dict(refused)
        return bool(taken)

    def taken(self) -> tuple[tuple[Row, ...], tuple[Refusal, ...]]:
        """Return which rows were taken since this was asked last, and what they are without."""
        told = tuple(self._taken.values()), tuple(self._partly.values())
        self._taken, self._partly = {}, {}
        return told
