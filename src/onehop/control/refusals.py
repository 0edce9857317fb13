"""Rows the data plane would not take, as Problems of the objects that asked for them."""

from collections.abc import Callable, Iterable, Iterator
from typing import assert_never

from onehop.driver import Receipt, Refusal
from onehop.model.certificate import Certificate, ServerName, is_challenge
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import ObjectRef
from onehop.model.listener import Listener, Vip
from onehop.model.model import Change, Row, RowKey, key_of
from onehop.model.pool import Pool
from onehop.model.problem import Problem, Reason, Severity
from onehop.model.route import VirtualHost


class Refusals:
    """What is refused now; a row that changes leaves the list until it is refused again."""

    def __init__(self) -> None:
        self._problems: dict[RowKey, tuple[Problem, ...]] = {}
        self._late: dict[RowKey, tuple[Problem, ...]] = {}
        self._partial: set[RowKey] = set()

    def __contains__(self, key: RowKey) -> bool:
        return key in self._problems and key not in self._partial

    def rows(self) -> tuple[RowKey, ...]:
        """Return the refused rows, sorted; those that are served in part are not among them."""
        return tuple(sorted(self._problems.keys() - self._partial))

    def problems(self) -> tuple[Problem, ...]:
        """Return all of them, row by row."""
        told = {*self._problems.items(), *self._late.items()}
        return tuple(p for _, problems in sorted(told) for p in problems)

    def problems_of(self, subject: ObjectRef) -> tuple[Problem, ...]:
        """Return those that are about one object."""
        told = {*self._problems.values(), *self._late.values()}
        return tuple(p for problems in sorted(told) for p in problems if p.subject == subject)

    def note(self, change: Change, receipt: Receipt) -> frozenset[ObjectRef]:
        """Take in what came of a change; return whose refusals are different now."""
        rows = {key_of(row): row for row in change.upserts}
        self._partial.difference_update(rows, change.removals)
        before = [self._problems.pop(key, ()) for key in (*rows, *change.removals)]
        for refusal in receipt.refused:
            row = rows.get(refusal.key)
            self._problems[refusal.key] = tuple(_told(refusal, row))
            if refusal.is_partial:
                self._partial.add(refusal.key)
        after = [self._problems.get(key, ()) for key in rows]
        return frozenset(problem.subject for problems in (*before, *after) for problem in problems)

    def note_late(
        self, refused: Iterable[Refusal], row_of: Callable[[RowKey], Row | None]
    ) -> frozenset[ObjectRef]:
        """Take in all that is refused outside of applies; return whose refusals are different now.

        Such a row is not among `rows`: some older form of it is served.
        """
        before = self._late
        self._late = {each.key: tuple(_told(each, row_of(each.key))) for each in refused}
        differing = set(before.items()) ^ set(self._late.items())
        return frozenset(problem.subject for _, problems in differing for problem in problems)


def _told(refusal: Refusal, row: Row | None) -> Iterator[Problem]:
    key = refusal.key
    owners = sorted(set(_owners(row))) if row is not None else []
    became = "serves" if refusal.is_partial else "refused"
    kept = "in part" if refusal.is_partial else "and keeps what it had"
    for owner in owners or [ObjectRef("DataPlane", "", key.id)]:
        yield Problem(
            subject=owner,
            reason=Reason.DATA_PLANE_REFUSED,
            message=f"the data plane {became} {key.table} {key.id} {kept}: {refusal.reason}",
            severity=Severity.WARNING if refusal.is_partial else Severity.ERROR,
        )


def _owners(row: Row) -> Iterator[ObjectRef]:
    """Yield the objects a row was compiled from, as far as the row says."""
    match row:
        case Listener(owner=owner):
            if owner is not None:
                yield owner
        case VirtualHost(routes=routes):
            yield from (route.owner for route in routes if route.owner is not None)
        case Pool(service=service):
            yield service
        case Vip(owners=owners):
            yield from owners
        case Certificate(id=name) if is_challenge(name):
            return
        case Certificate(id=name):
            namespace, _, secret = name.partition("/")
            yield ObjectRef("Secret", namespace, secret)
        case PoolEndpoints() | ServerName():
            return
        case _:
            assert_never(row)
