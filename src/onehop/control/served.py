"""What the data plane has been asked to serve: the newest rows, by key."""

from collections import Counter

from onehop.model.endpoint import PoolEndpoints
from onehop.model.model import Change, Model, Row, RowKey, Table, key_of, model_of


class Served:
    """A Model one can change row by row; changing it costs what the change costs."""

    def __init__(self) -> None:
        self._rows: dict[RowKey, Row] = {}
        self.counts: Counter[Table] = Counter()

    def __contains__(self, key: RowKey) -> bool:
        return key in self._rows

    def row(self, key: RowKey) -> Row | None:
        """Return a row, or None."""
        return self._rows.get(key)

    def rows(self) -> tuple[Row, ...]:
        """Return all rows, in no particular order."""
        return tuple(self._rows.values())

    def endpoints(self, pool: str) -> PoolEndpoints | None:
        """Return the members of a pool, or None if it is not served."""
        row = self._rows.get(RowKey(Table.ENDPOINTS, pool))
        return row if isinstance(row, PoolEndpoints) else None

    def take(self, change: Change) -> None:
        """Become what the change makes of this."""
        for row in change.upserts:
            key = key_of(row)
            if key not in self._rows:
                self.counts[key.table] += 1
            self._rows[key] = row
        for key in change.removals:
            if self._rows.pop(key, None) is not None:
                self.counts[key.table] -= 1

    def change_to(self, want: Model) -> Change:
        """Return what leads from here to `want`; its cost grows with both."""
        new = {key_of(row): row for row in want.rows()}
        return Change(
            upserts=tuple(row for key, row in new.items() if self._rows.get(key) != row),
            removals=tuple(key for key in self._rows if key not in new),
        )

    def model(self) -> Model:
        """Return the whole; its cost grows with the cluster."""
        return model_of(self._rows.values())
