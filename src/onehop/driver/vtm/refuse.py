"""What a vTM would refuse, known from the rows alone."""

from collections.abc import Iterable, Iterator

from onehop.driver.driver import Refusal
from onehop.driver.vtm.fit import fit
from onehop.model.model import Row, key_of


def refusals(rows: Iterable[Row]) -> Iterator[Refusal]:
    """Yield the rows that a unit with TLS 1.3 would refuse, in whole or in part; pure."""
    for row in rows:
        fitting = fit(row)
        if fitting.lacks:
            yield Refusal(key_of(row), fitting.lacks, is_partial=fitting.row is not None)
