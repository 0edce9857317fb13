"""What the data plane would not take, as Problems of the objects that asked for it."""

from collections.abc import Callable, Iterable, Iterator

from onehop.control.abilities import shortcomings_of
from onehop.control.told import pools_of, told_of, told_users
from onehop.driver import Receipt, Refusal
from onehop.driver.capability import Shortcomings
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.model import Change, Row, RowKey, Table, key_of
from onehop.model.pool import Pool
from onehop.model.problem import Problem


class Refusals:
    """What is refused now; a row that changes leaves the list until it is refused again.

    A pool is refused for what those who send to it ask for, so they are told as well.

    Args:
        driver: says the data plane's name, by which its shortcomings are known.
    """

    def __init__(self, driver: Callable[[], str] = lambda: "") -> None:
        self._driver = driver
        self._problems: dict[RowKey, tuple[Problem, ...]] = {}
        self._late: dict[RowKey, tuple[Problem, ...]] = {}
        self._partial: set[RowKey] = set()
        self._pools: dict[PoolId, tuple[Refusal, Pool]] = {}
        self._users: dict[RowKey, dict[PoolId, tuple[Problem, ...]]] = {}
        """What users of refused pools are told."""

    def __contains__(self, key: RowKey) -> bool:
        return key in self._problems and key not in self._partial

    def rows(self) -> tuple[RowKey, ...]:
        """Return the refused rows, sorted; those that are served in part are not among them."""
        return tuple(sorted(self._problems.keys() - self._partial))

    def problems(self) -> tuple[Problem, ...]:
        """Return all of them, row by row."""
        told = {*self._problems.items(), *self._late.items()}
        of_rows = (p for _, problems in sorted(told) for p in problems)
        of_users = (p for told in self._users.values() for ps in told.values() for p in ps)
        return tuple(_once((*of_rows, *sorted(of_users))))

    def problems_of(self, subject: ObjectRef) -> tuple[Problem, ...]:
        """Return those that are about one object."""
        return tuple(problem for problem in self.problems() if problem.subject == subject)

    def note(self, change: Change, receipt: Receipt) -> frozenset[ObjectRef]:
        """Take in what came of a change; return whose refusals are different now."""
        rows = {key_of(row): row for row in change.upserts}
        lacks = shortcomings_of(self._driver())
        self._partial.difference_update(rows, change.removals)
        before = [self._problems.pop(key, ()) for key in (*rows, *change.removals)]
        before += self._forget_pools((*rows, *change.removals))
        for refusal in receipt.refused:
            row = rows.get(refusal.key)
            self._problems[refusal.key] = tuple(told_of(refusal, row, lacks))
            if refusal.is_partial:
                self._partial.add(refusal.key)
            if isinstance(row, Pool):
                self._pools[row.id] = refusal, row
        after = [self._problems.get(key, ()) for key in rows]
        after += [told for row in change.upserts for told in self._tell_user(row, lacks)]
        return frozenset(problem.subject for problems in (*before, *after) for problem in problems)

    def note_late(
        self, refused: Iterable[Refusal], row_of: Callable[[RowKey], Row | None]
    ) -> frozenset[ObjectRef]:
        """Take in all that is refused outside of applies; return whose refusals are different now.

        Such a row is not among `rows`: some older form of it is served.
        """
        before, lacks = self._late, shortcomings_of(self._driver())
        self._late = {each.key: tuple(told_of(each, row_of(each.key), lacks)) for each in refused}
        differing = set(before.items()) ^ set(self._late.items())
        return frozenset(problem.subject for _, problems in differing for problem in problems)

    def _forget_pools(self, keys: Iterable[RowKey]) -> Iterator[tuple[Problem, ...]]:
        """Forget what was told of users and pools that are new or gone; yield what it was."""
        for key in keys:
            yield from self._users.pop(key, {}).values()
            if key.table is Table.POOL and self._pools.pop(PoolId(key.id), None) is not None:
                yield from (told.pop(PoolId(key.id), ()) for told in self._users.values())

    def _tell_user(self, row: Row, lacks: Shortcomings) -> Iterator[tuple[Problem, ...]]:
        """Tell whoever sends to refused pools by a row; yield what is told."""
        for pool in pools_of(row) & self._pools.keys() if self._pools else ():
            told = tuple(told_users(*self._pools[pool], row, lacks))
            self._users.setdefault(key_of(row), {})[pool] = told
            yield told


def _once(problems: Iterable[Problem]) -> Iterable[Problem]:
    """Return each Problem once: the one that names a field, if there is one."""
    told: dict[tuple[ObjectRef, str], Problem] = {}
    for problem in problems:
        known = told.setdefault((problem.subject, problem.message), problem)
        if problem.field and not known.field:
            told[problem.subject, problem.message] = problem
    return told.values()
