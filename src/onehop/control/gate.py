"""Never wipe: removals beyond a budget wait for a person to say that they are meant.

Controllers that trust every list have deleted whole appliances' worth of virtual servers when an
API answered with an empty one. The sources already doubt such lists; this gate is the second lock,
and it also holds for explicit deletions: whatever the cause, no more than the budget goes within a
minute.
"""

from collections import Counter, deque
from typing import Final

import msgspec

from onehop.control.served import Served
from onehop.model.certificate import is_challenge
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import CertificateId
from onehop.model.model import Change, Row, RowKey, Table, key_of

WINDOW_S = 60.0

_POINTED_AT: Final = frozenset((Table.POOL, Table.ENDPOINTS, Table.CERTIFICATE, Table.VIP))


class Budget(msgspec.Struct, frozen=True):
    """What may go from one table within `WINDOW_S`: the larger of a share and a number of rows."""

    percent: int = 30
    rows: int = 20

    def allowed(self, served: int) -> int:
        """Return how many of so many rows may go."""
        return max(self.rows, served * self.percent // 100)


class Gate:
    """Lets changes through, and keeps back removals beyond the budget.

    A pool that loses its last endpoint counts as a removal in the table of endpoints. What is kept
    back stays served as it was, is listed in `withheld`, and is let go by `confirm`, or when
    the cluster asks for it again.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._spent: dict[Table, deque[tuple[float, int]]] = {table: deque() for table in Table}
        self._withheld: dict[RowKey, Row | None] = {}

    @property
    def withheld(self) -> Counter[Table]:
        """How many removals wait, by table."""
        return Counter(key.table for key in self._withheld)

    def admit(self, change: Change, served: Served, *, now_s: float) -> Change:
        """Return what of a change may be carried out now.

        If one table's removals are too many, all removals of the change wait: half a wipe helps
        nobody. While anything waits, nothing that it may point at goes.
        """
        for row in change.upserts:
            self._withheld.pop(key_of(row), None)
        losses = [key for key in change.removals if key in served and not _is_passing(key)]
        emptied = [key_of(row) for row in change.upserts if _empties(row, served)]
        may_go = self._afford(Counter(key.table for key in (*losses, *emptied)), served, now_s)
        kept = frozenset(
            key
            for key in (*losses, *emptied)
            if not may_go or (self._withheld and key.table in _POINTED_AT)
        )
        if not kept:
            return change
        self._withheld.update(dict.fromkeys(kept))
        self._withheld.update({key_of(r): r for r in change.upserts if key_of(r) in kept})
        return Change(
            tuple(row for row in change.upserts if key_of(row) not in kept),
            tuple(key for key in change.removals if key not in kept),
        )

    def confirm(self) -> Change:
        """Return everything that was kept back, to be carried out: somebody meant it."""
        upserts = tuple(row for row in self._withheld.values() if row is not None)
        removals = tuple(key for key, row in self._withheld.items() if row is None)
        self._withheld.clear()
        return Change(upserts, removals)

    def _afford(self, losses: Counter[Table], served: Served, now_s: float) -> bool:
        """Spend the budget of every table, or of none."""
        for table, count in losses.items():
            spent = self._spent[table]
            while spent and spent[0][0] <= now_s - WINDOW_S:
                spent.popleft()
            gone = sum(number for _, number in spent)
            # The share is of what was served at the beginning of the window.
            if gone + count > self._budget.allowed(served.counts[table] + gone):
                return False
        for table, count in losses.items():
            self._spent[table].append((now_s, count))
        return True


def _is_passing(key: RowKey) -> bool:
    """Tell whether a row is there for a moment only, as everybody knew from the beginning."""
    return key.table is Table.CERTIFICATE and is_challenge(CertificateId(key.id))


def _empties(row: Row, served: Served) -> bool:
    if not isinstance(row, PoolEndpoints) or row.endpoints:
        return False
    before = served.endpoints(row.pool)
    return before is not None and bool(before.endpoints)
