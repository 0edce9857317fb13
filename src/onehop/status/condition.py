"""The two conditions of a Service, named and meant as Gateway API means them.

`Accepted`: the object makes sense and has what it needs. `Programmed`: the data plane has
acknowledged it (Gateway API, "GatewayConditionType"); never on our word alone.
"""

from typing import Any, Final

import msgspec

from onehop.cluster.service import Condition
from onehop.compile.verdict import ServiceVerdict
from onehop.model.problem import Problem, Reason
from onehop.status.report import Report

ACCEPTED: Final = "onehop.dev/Accepted"
PROGRAMMED: Final = "onehop.dev/Programmed"
_OURS: Final = frozenset((ACCEPTED, PROGRAMMED))

MOST_PROBLEMS_TOLD: Final = 16
LONGEST_MESSAGE: Final = 32768
"""metav1.Condition: maxLength of `message`."""


class Claim(msgspec.Struct, frozen=True):
    """What a condition shall say."""

    type: str
    is_true: bool
    reason: str
    message: str


def claims_of(verdict: ServiceVerdict, report: Report) -> tuple[Claim, ...]:
    """Return what is to be said of a Service."""
    return (_accepted(verdict, report), _programmed(verdict, report))


def with_claims(
    live: tuple[Condition, ...], claims: tuple[Claim, ...], *, generation: int, now: str
) -> tuple[Condition, ...]:
    """Return the conditions of an object with ours among them, those of others untouched.

    Args:
        live: the conditions as they are.
        claims: ours.
        generation: of the object that they speak of, 0 for a kind that counts none.
        now: RFC 3339; becomes `lastTransitionTime` of those whose status is another one now.
    """
    by_type = {claim.type: claim for claim in claims}
    merged: list[Condition] = []
    for condition in live:
        claim = by_type.pop(condition.type, None)
        if condition.type not in _OURS:
            merged.append(condition)
        elif claim is not None:
            merged.append(_stated(claim, condition, generation, now))
    merged.extend(_stated(claim, None, generation, now) for claim in by_type.values())
    return tuple(merged)


def without_ours(live: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Return the conditions of others."""
    return tuple(condition for condition in live if condition.type not in _OURS)


def is_programmed(live: tuple[Condition, ...]) -> bool:
    """Tell whether the conditions say that the data plane has it."""
    return any(each.type == PROGRAMMED and each.status == "True" for each in live)


def condition_form(condition: Condition) -> dict[str, Any]:
    """Return a metav1.Condition as JSON; the API demands the empty message too."""
    demanded: dict[str, Any] = {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": condition.last_transition_time,
    }
    if condition.observed_generation:
        demanded["observedGeneration"] = condition.observed_generation
    return demanded


def tell_problems(problems: tuple[Problem, ...]) -> str:
    """Return several problems as one text."""
    told = [tell_problem(problem) for problem in problems[:MOST_PROBLEMS_TOLD]]
    if len(problems) > MOST_PROBLEMS_TOLD:
        told.append(f"and {len(problems) - MOST_PROBLEMS_TOLD} more")
    return "; ".join(told)


def tell_problem(problem: Problem) -> str:
    """Return a problem without its subject and reason, which stand beside it."""
    return f"{problem.field}: {problem.message}" if problem.field else problem.message


def _accepted(verdict: ServiceVerdict, report: Report) -> Claim:
    problems = tuple(
        problem
        for problem in report.sorted_problems
        if problem.reason is not Reason.DATA_PLANE_REFUSED
    )
    if not problems:
        return Claim(ACCEPTED, True, "Accepted", "all that it asks for can be served")
    is_served = bool(verdict.listeners) or not report.faults
    return Claim(ACCEPTED, is_served, problems[0].reason, tell_problems(problems))


def _programmed(verdict: ServiceVerdict, report: Report) -> Claim:
    if report.refusals or report.refused:
        said = tell_problems(report.refusals) or "the data plane would not take a listener"
        return Claim(PROGRAMMED, False, Reason.DATA_PLANE_REFUSED, said)
    if report.is_pending:
        return Claim(PROGRAMMED, False, "Pending", "the data plane has not acknowledged all of it")
    if not verdict.listeners:
        return Claim(PROGRAMMED, False, "Invalid", "nothing of it can be served, see Accepted")
    return Claim(PROGRAMMED, True, "Programmed", "the data plane serves every listener")


def _stated(claim: Claim, live: Condition | None, generation: int, now: str) -> Condition:
    status = "True" if claim.is_true else "False"
    is_same = live is not None and live.status == status and live.last_transition_time
    return Condition(
        type=claim.type,
        status=status,
        reason=str(claim.reason),
        message=claim.message[:LONGEST_MESSAGE],
        observed_generation=generation,
        last_transition_time=live.last_transition_time if live and is_same else now,
    )
