"""Entries by controller: `status.parents` of routes, `status.ancestors` of policies.

Both lists are atomic and shared by all controllers that serve the object, so ours are set among
those of others: order and content of theirs stay. `apis/v1/shared_types.go: RouteStatus` and
`policy_types.go: PolicyStatus`.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from onehop.cluster.gateway_ref import ParentRef
from onehop.cluster.gateway_status import (
    MOST_ANCESTORS,
    PolicyAncestorStatus,
    RouteParentStatus,
)
from onehop.cluster.gateway_verdict import ParentsVerdict, ParentVerdict, Saying, Truth
from onehop.cluster.service import Condition
from onehop.model.problem import Problem, Severity
from onehop.status.condition import tell_problems
from onehop.status.gateway_condition import conditions_of
from onehop.status.report import Report

ACCEPTED: Final = "Accepted"
PARTIALLY_INVALID: Final = "PartiallyInvalid"
MOST_PARENTS: Final = 32
"""`+kubebuilder:validation:MaxItems`. A full list must not be added to."""


class _Entry(msgspec.Struct, frozen=True):
    """What routes and policies have in common."""

    parent: ParentRef
    controller: str
    conditions: tuple[Condition, ...]


def parents_of(
    verdict: ParentsVerdict, report: Report, live: Sequence[RouteParentStatus], now: str
) -> tuple[RouteParentStatus, ...]:
    """Return `status.parents` of a route as it shall be."""
    entries = (_Entry(each.parent_ref, each.controller_name, each.conditions) for each in live)
    return tuple(
        RouteParentStatus(
            parent_ref=entry.parent,
            controller_name=entry.controller,
            conditions=entry.conditions,
        )
        for entry in _merged(verdict, report, entries, now)[:MOST_PARENTS]
    )


def ancestors_of(
    verdict: ParentsVerdict, report: Report, live: Sequence[PolicyAncestorStatus], now: str
) -> tuple[PolicyAncestorStatus, ...]:
    """Return `status.ancestors` of a policy as it shall be."""
    entries = (_Entry(each.ancestor_ref, each.controller_name, each.conditions) for each in live)
    return tuple(
        PolicyAncestorStatus(
            ancestor_ref=entry.parent,
            controller_name=entry.controller,
            conditions=entry.conditions,
        )
        for entry in _merged(verdict, report, entries, now)[:MOST_ANCESTORS]
    )


def _merged(
    verdict: ParentsVerdict, report: Report, live: Iterable[_Entry], now: str
) -> list[_Entry]:
    """Set our entries among those of others: in their places, new ones behind."""
    left = {verdict_of.parent: verdict_of for verdict_of in verdict.parents}
    merged: list[_Entry] = []
    for entry in live:
        if entry.controller != verdict.controller:
            merged.append(entry)
        elif parent := left.pop(entry.parent, None):
            merged.append(_stated(verdict, parent, report, entry.conditions, now))
    merged.extend(_stated(verdict, parent, report, (), now) for parent in left.values())
    return merged


def _stated(
    verdict: ParentsVerdict,
    parent: ParentVerdict,
    report: Report,
    live: tuple[Condition, ...],
    now: str,
) -> _Entry:
    before = next((each for each in live if each.type == ACCEPTED and each.status == "True"), None)
    sayings, falls_back = _with_refusals(parent.sayings, report.refusals, had_before=bool(before))
    conditions = conditions_of(sayings, live, generation=report.generation, now=now)
    if falls_back and before is not None:
        good = before.observed_generation
        conditions = tuple(
            msgspec.structs.replace(each, observed_generation=good)
            if each.type == ACCEPTED
            else each
            for each in conditions
        )
    return _Entry(parent.parent, verdict.controller, conditions)


def _with_refusals(
    sayings: tuple[Saying, ...], refusals: tuple[Problem, ...], *, had_before: bool
) -> tuple[tuple[Saying, ...], bool]:
    """Add what the data plane would not take, and tell whether it serves an older form instead.

    `RouteConditionPartiallyInvalid`: rules that are left out ("Dropped Rule"), or the last good
    form of the whole, in which `Accepted` has that form's generation ("Fall Back").
    """
    accepted = next((each for each in sayings if each.type == ACCEPTED), None)
    if not refusals or accepted is None or accepted.status is not Truth.TRUE:
        return sayings, False
    said = tell_problems(refusals)
    is_partial = all(problem.severity is Severity.WARNING for problem in refusals)
    if not is_partial and not had_before:
        refused = Saying(ACCEPTED, Truth.FALSE, "UnsupportedValue", said)
        return tuple(refused if each.type == ACCEPTED else each for each in sayings), False
    how = "Dropped Rule" if is_partial else "Fall Back"
    partly = Saying(PARTIALLY_INVALID, Truth.TRUE, "UnsupportedValue", f"{how}: {said}")
    return (*sayings, partly), not is_partial
