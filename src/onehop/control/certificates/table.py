"""A report on each Secret: pure, from all that is known at one moment."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from onehop.acme.state import Phase, State
from onehop.control.certificates.chain import covers
from onehop.control.certificates.facts import CertificateFacts, certificate_id
from onehop.control.certificates.report import (
    CertificateList,
    CertificateReport,
    CertificateSummary,
    Leader,
    Shown,
    Standing,
)
from onehop.control.certificates.words import day_text, next_text
from onehop.model.certificate import CertificateDemand
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, Severity

_IN_VAIN: Final = frozenset((Phase.LIMITED, Phase.REFUSED, Phase.UNAVAILABLE))
_STATED: Final = frozenset((Reason.CERTIFICATE_PENDING, Reason.CERTIFICATE_NOT_ISSUED))
"""What owners are told of an order; here its state says more."""
_ASKING: Final = ("acme", "key-type")
"""What annotations that ask for a certificate have in their names."""

_OPERATOR: Final = "onehop.yaml"


def make_list(facts: CertificateFacts) -> CertificateList:
    """Return all reports."""
    return CertificateList(
        now=facts.now,
        leader=facts.leader,
        needs_leader=facts.needs_leader,
        certificates=make_reports(facts),
    )


def make_reports(facts: CertificateFacts) -> tuple[CertificateReport, ...]:
    """Return a report on each Secret that is asked for, named by an object, or shown; sorted."""
    secrets = {*facts.demands, *facts.named}
    secrets |= {facts.default} if facts.default is not None else set()
    return tuple(make_report(facts, secret) for secret in sorted(secrets))


def make_report(facts: CertificateFacts, secret: ObjectRef) -> CertificateReport:
    """Return what is to be said of one Secret."""
    demand, state = facts.demands.get(secret), facts.states.get(secret)
    shown = _shown(facts, secret)
    problems = tuple(_problems(facts, secret))
    standing = _standing(demand, state, shown, facts.now)
    if standing in {Standing.MISSING, Standing.VALID} and any(map(_is_bad, problems)):
        standing = Standing.FAILING
    named = facts.named.get(secret, ())
    hosts = {host for naming in named for host in naming.hosts}
    hosts |= set(demand.hosts) if demand else set()
    hosts |= set(shown.hosts) if shown else set()
    wishers = (*(demand.wishers if demand else ()), *(naming.owner for naming in named))
    wanted_by = dict.fromkeys(map(str, wishers))
    if secret == facts.default:
        wanted_by |= {_OPERATOR: None}
    report = CertificateReport(
        secret=certificate_id(secret),
        hosts=tuple(sorted(hosts)),
        issuer=demand.issuer if demand else None,
        wanted_by=tuple(wanted_by),
        standing=standing,
        shown=shown,
        phase=state.phase if state and demand else None,
        next=_next(state, facts) if demand else _unasked(shown, problems, facts.now),
        last_error=_unmade(demand, problems),
        problems=problems,
    )
    return _with_state(report, state) if state is not None and demand is not None else report


def summarize(reports: Iterable[CertificateReport]) -> CertificateSummary:
    """Return all of them in a line."""
    counts = dict.fromkeys(Standing, 0)
    ends: list[tuple[float, str]] = []
    for report in reports:
        counts[report.standing] += 1
        if report.shown is not None and report.shown.hosts:
            ends.append((report.shown.not_after, report.secret))
    first = min(ends, default=None)
    valid, issuing = counts[Standing.VALID], counts[Standing.ISSUING]
    return CertificateSummary(
        valid=valid,
        issuing=issuing,
        failing=sum(counts.values()) - valid - issuing,
        next_end=first[0] if first else None,
        next_secret=first[1] if first else "",
    )


def _shown(facts: CertificateFacts, secret: ObjectRef) -> Shown | None:
    name = certificate_id(secret)
    chain, hosts = facts.chains.get(name), facts.shown_for.get(name, ())
    if chain is None:
        return None
    return Shown(
        fingerprint=chain.fingerprint,
        not_before=chain.not_before,
        not_after=chain.not_after,
        names=chain.names,
        key=chain.key,
        issued_by=chain.issued_by,
        chain_top=chain.top,
        hosts=hosts,
        uncovered=tuple(host for host in hosts if not covers(chain.names, host)),
    )


def _standing(
    demand: CertificateDemand | None, state: State | None, shown: Shown | None, now: float
) -> Standing:
    is_stuck = demand is not None and state is not None and _is_stuck(demand, state, shown, now)
    if shown is None:
        if demand is None:
            return Standing.MISSING
        return Standing.FAILING if is_stuck else Standing.ISSUING
    if shown.not_after <= now:
        return Standing.EXPIRED
    if is_stuck or shown.not_before > now:
        return Standing.FAILING
    if shown.uncovered:
        return Standing.ISSUING if _is_under_way(state) else Standing.FAILING
    return Standing.VALID


def _is_bad(problem: Problem) -> bool:
    """Tell whether the Secret itself has to be mended, though its last good form be shown."""
    return problem.reason is Reason.CERTIFICATE_INVALID and not problem.field.endswith("-ca]")


def _is_stuck(demand: CertificateDemand, state: State, shown: Shown | None, now: float) -> bool:
    """Tell whether something is to be done now, and cannot be: a late renewal, say."""
    if state.phase is Phase.FOREIGN:
        return shown is None
    if state.phase not in _IN_VAIN:
        return False
    is_as_wished = shown is not None and shown.names == demand.hosts
    return not is_as_wished or state.renews_at is None or state.renews_at <= now


def _is_under_way(state: State | None) -> bool:
    return state is not None and state.phase not in {Phase.VALID, Phase.FOREIGN}


def _next(state: State | None, facts: CertificateFacts) -> str:
    """Return what happens next with a certificate that onehop makes."""
    if state is not None:
        return next_text(state, facts.now)
    if facts.leader.is_here:
        return "is looked at in a moment"
    return f"is seen to by the host that leads{_named_leader(facts.leader)}"


def _unasked(shown: Shown | None, problems: tuple[Problem, ...], now: float) -> str:
    """Return what happens next with one that it does not make."""
    if shown is None and problems:
        return "nothing by onehop until that is mended"
    if shown is None:
        return "nothing by onehop: nobody asks it for a certificate"
    if shown.not_after <= now:
        return f"nothing by onehop: it ended on {day_text(shown.not_after)}, renew it"
    return f"nothing by onehop: who made it renews it before {day_text(shown.not_after)}"


def _named_leader(leader: Leader) -> str:
    return f", {leader.name}" if leader.name else "; nobody does just now"


def _unmade(demand: CertificateDemand | None, problems: tuple[Problem, ...]) -> str:
    """Return what is wrong with a Secret that onehop does not make."""
    if demand is not None:
        return ""
    worst = min(problems, key=lambda each: each.severity is not Severity.ERROR, default=None)
    return worst.message if worst is not None else ""


def _with_state(report: CertificateReport, state: State) -> CertificateReport:
    return msgspec.structs.replace(
        report,
        next_at=state.renews_at if state.phase is Phase.VALID else state.next_at,
        last_error=state.last_error,
        advice=state.advice,
        failures=state.failures,
        order_url=state.order_url,
        renewal_page=state.renewal_page,
        findings=state.findings,
    )


def _problems(facts: CertificateFacts, secret: ObjectRef) -> Iterator[Problem]:
    """Yield the problems that are about a Secret: its own, and those of who names it."""
    yield from facts.problems.get(secret, ())
    namings = facts.named.get(secret, ())
    for owner in dict.fromkeys(naming.owner for naming in namings):
        fields = {naming.field for naming in namings if naming.owner == owner}
        for problem in facts.problems.get(owner, ()):
            is_named = f"{problem.field.partition(']')[0]}]" in fields  # the entry, not its part
            if problem.reason not in _STATED and (is_named or is_about_asking(problem)):
                yield problem


def is_about_asking(problem: Problem) -> bool:
    """Tell whether it is about how an object asks for a certificate."""
    return problem.field.startswith("metadata.annotations") and any(
        word in problem.field for word in _ASKING
    )
