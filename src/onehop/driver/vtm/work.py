"""The bookkeeping of one apply: what each row was before, and which rows were refused."""

from collections.abc import Iterable, Mapping

from onehop.driver.driver import Refusal
from onehop.driver.vtm.content import ObjectKey
from onehop.driver.vtm.fit import fit
from onehop.driver.vtm.wanted import Wanted
from onehop.model.model import Row, RowKey, key_of


class Work:
    """One apply.

    Args:
        wanted: where the rows go.
        has_tls13: whether the unit speaks TLS 1.3.
    """

    def __init__(self, wanted: Wanted, *, has_tls13: bool) -> None:
        self._wanted = wanted
        self._has_tls13 = has_tls13
        self._before: dict[RowKey, Row | None] = {}
        self._given: dict[RowKey, Row] = {}
        self._refused: dict[RowKey, str] = {}
        self._partial: set[RowKey] = set()
        self.taken_back: dict[RowKey, Row] = {}
        """Rows that the unit has refused, as they were given."""

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Return what was refused, in whole or in part, sorted by row."""
        return tuple(
            Refusal(key, reason, is_partial=key in self._partial)
            for key, reason in sorted(self._refused.items())
        )

    def put(self, rows: Iterable[Row]) -> frozenset[ObjectKey]:
        """Take in what fits of the rows; return the objects that may differ now."""
        fitting: list[Row] = []
        for row in rows:
            key, result = key_of(row), fit(row, has_tls13=self._has_tls13)
            if key in self._before:
                continue  # taken in early, as the host of a new listener
            self._before[key] = self._wanted.rows.get(key)
            self._given[key] = row
            if result.lacks:
                self._refused[key] = result.lacks
            if result.lacks and result.row is not None:
                self._partial.add(key)
            if result.row is not None:
                fitting.append(result.row)
        return self._wanted.put(fitting)

    def remove(self, keys: Iterable[RowKey]) -> frozenset[ObjectKey]:
        """Drop rows; return the objects that may differ now."""
        return self._wanted.remove(keys)

    def take_back(self, refused: Mapping[ObjectKey, str]) -> frozenset[ObjectKey]:
        """Put back as they were the rows behind refused objects; return what may differ then.

        An object is made from several rows. Blamed are those of this apply, of the first table
        that has any: hosts before the listener for a rule, the other way for a virtual server.
        """
        blamed: dict[RowKey, str] = {}
        for key, reason in refused.items():
            mine = [row for row in self._wanted.rows_behind(key) if row in self._before]
            blamed |= {row: reason for row in mine if row.table is mine[0].table}
        self._refused |= blamed
        self._partial -= blamed.keys()
        self.taken_back |= {key: self._given[key] for key in blamed}
        back = [row for key in blamed if (row := self._before[key]) is not None]
        gone = [key for key in blamed if self._before[key] is None]
        return self._wanted.put(back) | self._wanted.remove(gone)
