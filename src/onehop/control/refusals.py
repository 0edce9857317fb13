"""What the data plane would not take, as Problems of the objects that asked for it."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from onehop.control.abilities import shortcomings_of
from onehop.control.told import pools_of, told_of, told_users
from onehop.driver import Receipt, Refusal
from onehop.driver.capability import Shortcomings
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.model import Change, Row, RowKey, Table, key_of
from onehop.model.pool import Pool
from onehop.model.problem import Problem

_NO_POOL = PoolId("")


class _Cause(NamedTuple):
    """Why something is told.

    Attributes:
        row: that is refused, or that sends to a pool that is.
        pool: the refused one that the row sends to; empty for the row's own refusal.
        is_late: whether it was refused outside of an apply.
    """

    row: RowKey
    pool: PoolId = _NO_POOL
    is_late: bool = False


class Refusals:
    """What is refused now; a row that changes leaves the list until it is refused again.

    A pool is refused for what those who send to it ask for, so they are told as well.

    Args:
        driver: says the data plane's name, by which its shortcomings are known.
    """

    def __init__(self, driver: Callable[[], str] = lambda: "") -> None:
        self._driver = driver
        self._whole: set[RowKey] = set()
        self._told: dict[_Cause, tuple[Problem, ...]] = {}
        self._causes: dict[ObjectRef, set[_Cause]] = {}
        """Why each object is told something."""
        self._late: set[RowKey] = set()
        self._pools: dict[PoolId, tuple[Refusal, Pool]] = {}
        self._users: dict[PoolId, set[RowKey]] = {}
        self._sends: dict[RowKey, set[PoolId]] = {}
        """The refused pools that a row sends to; `_users` is the same the other way round."""

    def __contains__(self, key: RowKey) -> bool:
        return key in self._whole

    def rows(self) -> tuple[RowKey, ...]:
        """Return the refused rows, sorted; those that are served in part are not among them."""
        return tuple(sorted(self._whole))

    def problems(self) -> tuple[Problem, ...]:
        """Return all of them, row by row."""
        return _once(problem for cause in sorted(self._told) for problem in self._told[cause])

    def problems_of(self, subject: ObjectRef) -> tuple[Problem, ...]:
        """Return those that are about one object."""
        causes = sorted(self._causes.get(subject, ()))
        told = (problem for cause in causes for problem in self._told[cause])
        return _once(problem for problem in told if problem.subject == subject)

    def note(self, change: Change, receipt: Receipt) -> frozenset[ObjectRef]:
        """Take in what came of a change; return whose refusals are different now."""
        rows = {key_of(row): row for row in change.upserts}
        lacks = shortcomings_of(self._driver())
        touched: set[ObjectRef] = set()
        for key in (*rows, *change.removals):
            touched |= self._forget(key)
        for refusal in receipt.refused:
            row = rows.get(refusal.key)
            touched |= self._tell(_Cause(refusal.key), told_of(refusal, row, lacks))
            if not refusal.is_partial:
                self._whole.add(refusal.key)
            if isinstance(row, Pool):
                self._pools[row.id] = refusal, row
        if self._pools:
            for row in change.upserts:
                touched |= self._tell_user(row, lacks)
        return frozenset(touched)

    def note_late(
        self, refused: Iterable[Refusal], row_of: Callable[[RowKey], Row | None]
    ) -> frozenset[ObjectRef]:
        """Take in all that is refused outside of applies; return whose refusals are different now.

        Such a row is not among `rows`: some older form of it is served.
        """
        lacks, gone = shortcomings_of(self._driver()), self._late
        touched: set[ObjectRef] = set()
        self._late = set()
        for refusal in refused:
            self._late.add(refusal.key)
            cause, told = (
                _Cause(refusal.key, is_late=True),
                tuple(told_of(refusal, row_of(refusal.key), lacks)),
            )
            if self._told.get(cause) != told:
                touched |= self._tell(cause, told)
        for key in gone - self._late:
            touched |= self._tell(_Cause(key, is_late=True), ())
        return frozenset(touched)

    def _tell(self, cause: _Cause, problems: Iterable[Problem]) -> set[ObjectRef]:
        """Put what a cause has told so far by this; return who is told something else."""
        before, told = self._told.pop(cause, ()), tuple(problems)
        for problem in before:
            causes = self._causes.get(problem.subject, set())
            causes.discard(cause)
            if not causes:
                self._causes.pop(problem.subject, None)
        if told:
            self._told[cause] = told
        for problem in told:
            self._causes.setdefault(problem.subject, set()).add(cause)
        return {problem.subject for problem in (*before, *told)}

    def _forget(self, key: RowKey) -> set[ObjectRef]:
        """Forget what was told of a row that is new or gone, as a user of pools and as a pool."""
        self._whole.discard(key)
        touched = self._tell(_Cause(key), ())
        for pool in self._sends.pop(key, ()):
            touched |= self._tell(_Cause(key, pool), ())
            self._users[pool].discard(key)
        pool = PoolId(key.id)
        if key.table is Table.POOL and self._pools.pop(pool, None) is not None:
            for user in self._users.pop(pool, ()):
                touched |= self._tell(_Cause(user, pool), ())
                self._sends[user].discard(pool)
        return touched

    def _tell_user(self, row: Row, lacks: Shortcomings) -> set[ObjectRef]:
        """Tell whoever sends to refused pools by a row."""
        key, touched = key_of(row), set[ObjectRef]()
        for pool in pools_of(row) & self._pools.keys():
            self._users.setdefault(pool, set()).add(key)
            self._sends.setdefault(key, set()).add(pool)
            told = told_users(*self._pools[pool], row, lacks)
            touched |= self._tell(_Cause(key, pool), told)
        return touched


def _once(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return each Problem once: the one that names a field, if there is one."""
    told: dict[tuple[ObjectRef, str], Problem] = {}
    for problem in problems:
        known = told.setdefault((problem.subject, problem.message), problem)
        if problem.field and not known.field:
            told[problem.subject, problem.message] = problem
    return tuple(told.values())
