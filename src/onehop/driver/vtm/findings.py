"""What is amiss at the unit and was not told by an apply: for `onehop status`, and for owners.

An apply tells what it is refused, and takes it back. But endpoints are written beside applies,
repairs after them, and a host that waits for its turn writes what it was told when the turn comes.
What the unit refuses then is kept here until it is taken, and so is what somebody has changed by
hand, until a comparison finds nothing changed.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import structlog

from onehop.driver.driver import Refusal
from onehop.driver.vtm.content import ObjectKey
from onehop.driver.vtm.unit import Drift
from onehop.model.ident import ObjectRef
from onehop.model.model import RowKey
from onehop.model.problem import Problem, Reason, Severity

log = structlog.get_logger(__name__)

_NAMED: Final = 5
"""So many objects are named in a message; the log names them all."""


class Findings:
    """What is amiss now.

    Args:
        rows_behind: which rows an object is made from, the likeliest to be at fault first.
        prefix: what the names of our objects begin with.
    """

    def __init__(self, rows_behind: Callable[[ObjectKey], Sequence[RowKey]], prefix: str) -> None:
        self.refused: dict[ObjectKey, str] = {}
        """In the unit's words."""
        self.drifted: Counter[str] = Counter()
        """How often objects were found changed by somebody else, by their kind."""
        self.withheld: tuple[ObjectKey, ...] = ()
        """What an earlier process left, where it is too much to be deleted."""
        self.unavailable = ""
        """Why no member could be spoken to when that was tried last; empty if one could."""
        self.on_news: Callable[[], None] = lambda: None
        self._rows_behind = rows_behind
        self._prefix = prefix
        self._drifts: tuple[Drift, ...] = ()
        self._complaints: tuple[str, ...] = ()
        self._told: object = ()

    def settled(self, keys: Sequence[ObjectKey], refused: Mapping[ObjectKey, str]) -> None:
        """Take in what came of bringing objects to what they shall be."""
        for key in keys:
            self.refused.pop(key, None)
        self.refused |= refused

    def stood_by(self) -> None:
        """Forget all: another host writes, and what is amiss is for that one to tell."""
        self.refused.clear()
        self.withheld, self._drifts, self._complaints = (), (), ()
        self.tell()

    def compared(self, drifts: tuple[Drift, ...]) -> None:
        """Take in what a comparison has found."""
        self.drifted.update(str(drift.key.kind) for drift in drifts)
        self._drifts = drifts
        for drift in drifts:
            log.warning("vtm_drift", object=str(drift.key), fields=drift.fields or "gone")

    def complained(self, complaints: Sequence[str]) -> None:
        """Take in what the unit finds wrong with its configuration; others' objects are theirs.

        A unit may take a rule that it cannot read, and say so nowhere else.
        """
        ours = tuple(sorted(text for text in complaints if self._prefix in text))
        for text in ours:
            if text not in self._complaints:
                log.error("vtm_complains", said=text)
        self._complaints = ours

    def refusals(self) -> tuple[Refusal, ...]:
        """Return the rows that are not on the unit as they shall be, sorted."""
        reasons: dict[RowKey, str] = {}
        for key, reason in sorted(self.refused.items()):
            for row in self._rows_behind(key)[:1]:
                reasons.setdefault(row, reason)
        return tuple(Refusal(row, reason) for row, reason in sorted(reasons.items()))

    def problems(self) -> tuple[Problem, ...]:
        """Return what is amiss with the unit itself."""
        return tuple(self._problems())

    def tell(self, *, is_new: bool = False) -> None:
        """Say that something is new, if something is."""
        now = self.refusals(), self.problems()
        if is_new or now != self._told:
            self._told = now
            self.on_news()

    def _problems(self) -> Iterator[Problem]:
        if self.unavailable:
            yield _problem(
                Reason.DATA_PLANE_UNAVAILABLE,
                f"the unit serves on as it is; what changes waits: {self.unavailable}",
                Severity.ERROR,
            )
        if self._drifts:
            yield _problem(
                Reason.DATA_PLANE_EDITED,
                f"somebody changed {len(self._drifts)} of our objects by hand; they are as they "
                f"shall be again: {_named([_said(each) for each in self._drifts])}",
            )
        if self._complaints:
            yield _problem(
                Reason.DATA_PLANE_COMPLAINS,
                f"the unit reports faults of our objects: {_named(self._complaints)}",
                Severity.ERROR,
            )
        if self.withheld:
            yield _problem(
                Reason.DATA_PLANE_LEFTOVERS,
                f"{len(self.withheld)} objects of an earlier onehop are wanted no more, too many "
                "to be deleted unseen; if that is so, `onehop confirm` deletes them: "
                f"{_named([str(key) for key in self.withheld])}",
            )


def _problem(reason: Reason, message: str, severity: Severity = Severity.WARNING) -> Problem:
    unit = ObjectRef("DataPlane", "", "vtm")
    return Problem(subject=unit, reason=reason, message=message, severity=severity)


def _said(drift: Drift) -> str:
    return f"{drift.key} ({', '.join(drift.fields) or 'deleted'})"


def _named(texts: Sequence[str]) -> str:
    further = len(texts) - _NAMED
    return ", ".join(texts[:_NAMED]) + (f" and {further} more" if further > 0 else "")
