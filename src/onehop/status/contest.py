"""Somebody else who keeps changing what is ours: repaired, more and more slowly, and reported.

Two controllers that each undo the other's write can keep an API server busy for days. A foreign
change is undone at once the first time (an address patched in may be an attack, CVE-2020-8554),
then after a wait that doubles.
"""

from typing import Final

from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, Severity
from onehop.status.limits import Limits

TOLD_AFTER: Final = 3
"""Repairs in a row before we call it a contest."""


class Contest:
    """How often one object had to be written again though our report had not changed."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._repairs = 0
        self._at_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Return how long the next repair must wait; 0 when it may be made."""
        if self._is_over(now_s):
            return 0.0
        return max(0.0, self._at_s + self._limits.repair_s(self._repairs) - now_s)

    def repaired(self, now_s: float) -> None:
        """Count a repair."""
        self._repairs = 1 if self._is_over(now_s) else self._repairs + 1
        self._at_s = now_s

    def problem(self, ref: ObjectRef, now_s: float) -> Problem | None:
        """Return what the owner must know, or None while it is no contest."""
        if self._is_over(now_s) or self._repairs < TOLD_AFTER:
            return None
        return Problem(
            subject=ref,
            field="status",
            reason=Reason.CONFLICT,
            message="what onehop writes to the status or the finalizers does not stay: something"
            " else changes it, see metadata.managedFields for who; it is repaired ever more slowly",
            severity=Severity.WARNING,
        )

    def _is_over(self, now_s: float) -> bool:
        return not self._repairs or now_s - self._at_s > 2 * self._limits.longest_retry_s
