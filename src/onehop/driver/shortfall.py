"""What of a row's wishes a data plane does not fulfil, by its own declaration."""

from collections.abc import Iterable, Iterator

from onehop.driver.asks import Ask, asks_of
from onehop.driver.capability import Extent, Shortcomings
from onehop.driver.driver import Refusal
from onehop.model.model import Row, key_of


def unmet(row: Row, shortcomings: Shortcomings, extent: Extent = Extent.NO) -> Iterator[Ask]:
    """Yield the wishes of a row that a data plane cannot fulfil; or that it does not in full."""
    for ask in asks_of(row):
        support = shortcomings.get(ask.capability)
        if support is not None and support.extent is extent:
            yield ask


def served_without(rows: Iterable[Row], shortcomings: Shortcomings) -> Iterator[Refusal]:
    """Yield what rows are not given of what they ask for, though they are served."""
    for row in rows:
        words = dict.fromkeys(
            shortcomings[ask.capability].words for ask in unmet(row, shortcomings)
        )
        if words:
            yield Refusal(key_of(row), "; ".join(words), is_partial=True)
