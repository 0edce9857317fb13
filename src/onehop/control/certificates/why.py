"""The story of one host: how it comes to its certificate, or why it does not."""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.acme.state import Phase
from onehop.cluster import Kind
from onehop.compile.ask import class_ref
from onehop.compile.backend import options_of
from onehop.compile.clientcert import HOST_CHECKS
from onehop.compile.compiler import Compiler
from onehop.compile.ingress import ANY_HOST
from onehop.compile.naming import form_of, namer
from onehop.compile.router import TLS_ROUTER
from onehop.control.certificates.chain import covers
from onehop.control.certificates.claims import (
    Claimed,
    TlsClaimed,
    claimed,
    tell_claims,
    tell_tls,
    tls_claimed,
)
from onehop.control.certificates.facts import CertificateFacts
from onehop.control.certificates.report import CertificateReport, HostStory, Standing, Step
from onehop.control.certificates.shown import passthrough_for, server_name_for
from onehop.control.certificates.table import is_about_asking, make_report
from onehop.control.certificates.words import day_text, unled_text
from onehop.control.served import Served
from onehop.control.unread import secret_of
from onehop.model.certificate import CertificateDemand
from onehop.model.ident import RouterId
from onehop.model.listener import Passthrough
from onehop.model.problem import Problem, Reason, Severity

_DECIDING: Final = frozenset(("claims", "tls", "asked", "problems", "state", "shown"))
"""Topics of which a bad step means that the host is not as it should be."""


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What a story is told from."""

    facts: CertificateFacts
    compiler: Compiler
    served: Served


def tell(scene: Scene, host: str) -> HostStory:
    """Return the story of a host, or of `*` for names that nobody has."""
    host = host.rstrip(".").lower()
    steps = list(tell_claims(scene.compiler, host))
    reader = scene.compiler.reader()
    gateways = scene.compiler.refs(Kind.GATEWAY)
    past = passthrough_for(scene.served, options_of(reader), gateways, host)
    if past is not None:
        return _passed(scene, host, past, steps)
    tls = tls_claimed(reader, host)
    has_owner = claimed(reader, host)
    if tls is not None or has_owner is not None:
        steps += tell_tls(scene.compiler, host)
    wanted = make_report(scene.facts, tls.claim.secret) if tls is not None else None
    if tls is not None and wanted is not None:
        steps += _about_secret(scene, host, tls, wanted)
    elif has_owner is not None:
        steps += _about_tls_of(scene, has_owner, decides=host != ANY_HOST)
    seen = list(_about_shown(scene, host, _router(tls)))
    steps += seen
    steps += _about_clients(scene, host)
    if wanted is not None and (wanted.issuer is None or _demand(scene, host, tls) is not None):
        steps.append(Step(topic="next", says=wanted.next))
    is_good = all(step.is_good is not False for step in steps if step.topic in _DECIDING)
    return HostStory(
        host=host,
        is_good=is_good,
        says=_good_end(scene, host, _router(tls)) if is_good else _bad_end(scene, host, tls, steps),
        steps=tuple(steps),
        secret=wanted.secret if wanted is not None else None,
        leader=scene.facts.leader,
        needs_leader=_needs_leader(scene, tls),
    )


def _needs_leader(scene: Scene, tls: TlsClaimed | None) -> bool:
    return (
        tls is not None
        and tls.claim.secret in scene.facts.demands
        and not scene.facts.leader.is_here
    )


def _passed(scene: Scene, host: str, past: Passthrough, steps: list[Step]) -> HostStory:
    says = (
        f"{past.owner} passes its TLS on to the Pods of {past.pool}: they have the certificate"
        if past.pool is not None
        else f"{past.owner} passes its TLS on, and there is no such backend"
    )
    is_good = past.pool is not None
    return HostStory(
        host=host,
        is_good=is_good,
        says="TLS does not end here" if is_good else "connections are closed",
        steps=(*steps, Step(topic="tls", says=says, is_good=is_good)),
        secret=None,
        leader=scene.facts.leader,
        needs_leader=False,
    )


def _router(tls: TlsClaimed | None) -> RouterId:
    return tls.router if tls is not None else TLS_ROUTER


def _good_end(scene: Scene, host: str, router: RouterId) -> str:
    row = server_name_for(scene.served, host, router)
    chain = scene.facts.chains.get(row.certificate) if row is not None else None
    until = f", until {day_text(chain.not_after)}" if chain is not None else ""
    return f"clients see a valid certificate{until}"


def _bad_end(scene: Scene, host: str, tls: TlsClaimed | None, steps: list[Step]) -> str:
    """Return what is being done, else the first thing that went wrong in the story."""
    demand = _demand(scene, host, tls)
    if demand is not None:
        report = make_report(scene.facts, demand.secret)
        if report.phase is not Phase.VALID:
            had = "there is no certificate yet" if report.shown is None else "it needs another one"
            return f"{had}: {report.next}"
    return next(step.says for step in steps if step.is_good is False)


def _demand(scene: Scene, host: str, tls: TlsClaimed | None) -> CertificateDemand | None:
    """Return the demand for a certificate for the host, and not just one in its Secret."""
    demand = scene.facts.demands.get(tls.claim.secret) if tls is not None else None
    if demand is None or tls is None or not (demand.covers(host) or demand.covers(tls.by)):
        return None
    return demand


def _about_tls_of(scene: Scene, found: Claimed, *, decides: bool) -> Iterator[Step]:
    """Yield what is wrong with the TLS of those who have the host, and give it none."""
    for owner in found.owners:
        for problem in scene.facts.problems.get(owner, ()):
            if problem.field.startswith(form_of(owner).entries):
                yield _problem_step(problem, is_good=False if decides else None)


def _about_secret(
    scene: Scene, host: str, tls: TlsClaimed, report: CertificateReport
) -> Iterator[Step]:
    """Yield what is wrong with the Secret, and who makes it."""
    problems = tuple(_problems(scene, host, tls, report))
    yield from map(_problem_step, problems)
    if _demand(scene, host, tls) is not None:
        yield from _about_order(scene, tls, report)
    else:
        yield from _about_foreign(scene, tls, is_told=bool(problems))


def _about_order(scene: Scene, tls: TlsClaimed, report: CertificateReport) -> Iterator[Step]:
    """Yield who has it ordered, and how that is going."""
    demand = scene.facts.demands[tls.claim.secret]
    whom = ", ".join(map(str, demand.wishers))
    hosts = ", ".join(demand.hosts)
    yield Step(topic="asked", says=f"{whom} asks {demand.issuer}, for {hosts}", is_good=True)
    if scene.facts.states.get(tls.claim.secret) is None:
        if not scene.facts.leader.is_here:
            yield Step(topic="state", says=unled_text(scene.facts.leader))
        return
    yield from _about_state(report)


def _about_state(report: CertificateReport) -> Iterator[Step]:
    for finding in report.findings:
        yield Step(
            topic="checks",
            says=f"{finding.check} of {finding}",
            is_good=finding.is_good if finding.is_certain else (finding.is_good or None),
            advice=finding.advice,
        )
    if report.last_error:
        again = f", {report.failures} times in a row" if report.failures > 1 else ""
        yield Step(
            topic="state",
            says=f"{report.last_error}{again}",
            is_good=None if report.standing is Standing.VALID else False,
            advice=report.advice,
        )
    elif report.phase is Phase.VALID:
        yield Step(topic="state", says=f"{report.issuer} has issued it", is_good=True)


def _about_foreign(scene: Scene, tls: TlsClaimed, *, is_told: bool) -> Iterator[Step]:
    """Yield how it is with a Secret that onehop does not make."""
    secret, is_there = tls.claim.secret, scene.compiler.object(tls.claim.secret) is not None
    demand = scene.facts.demands.get(secret)
    if demand is not None:
        says = f"{secret} is ordered for {', '.join(demand.hosts)}, and not for this host"
        yield Step(topic="asked", says=says, is_good=False)
        return
    issuers = options_of(scene.compiler.reader()).issuers
    how = f'annotate {tls.owner} with onehop.dev/acme: "true"'
    unless = "name an issuer in onehop.yaml, acme.issuers"
    advice = f"create it, or {how if issuers else unless}"
    whose = ": it is not by onehop" if is_there else ", and it does not exist"
    yield Step(
        topic="asked",
        says=f"no certificate is ordered for {secret}{whose}",
        is_good=None if is_there else False,
        advice="" if is_there or is_told else advice,
    )


def _problems(
    scene: Scene, host: str, tls: TlsClaimed, report: CertificateReport
) -> Iterator[Problem]:
    """Yield what is wrong with the Secret, who names it, and the class that asks for all."""
    found = dict.fromkeys(report.problems)
    reader = scene.compiler.reader()
    of_class = class_ref(reader, namer(reader, tls.owner))
    if of_class is not None:
        found |= dict.fromkeys(filter(is_about_asking, scene.facts.problems.get(of_class, ())))
    for problem in found:
        named = {word.strip(",;:") for word in problem.message.split()}.intersection(report.hosts)
        if not _is_seen(problem) and (not named or named & {host, tls.by}):
            yield problem


def _problem_step(problem: Problem, *, is_good: bool | None = False) -> Step:
    says = f"{problem.subject} {problem.field}: {problem.message}"
    return Step(topic="problems", says=says, is_good=is_good)


def _is_seen(problem: Problem) -> bool:
    """Tell whether the story tells of it as well: by what clients see, or by what is not there."""
    match problem.reason:
        case Reason.CERTIFICATE_EXPIRED:
            return True
        case Reason.CERTIFICATE_INVALID:
            return problem.field.endswith(f".{form_of(problem.subject).hosts}")
        case Reason.CERTIFICATE_NOT_FOUND:
            return problem.severity is Severity.ERROR
        case _:
            return False


def _about_shown(scene: Scene, host: str, router: RouterId) -> Iterator[Step]:
    """Yield what clients see that ask for the host now."""
    row = server_name_for(scene.served, host, router)
    report = make_report(scene.facts, secret_of(row.certificate)) if row is not None else None
    if row is None or report is None or report.shown is None:
        yield Step(topic="shown", says="nothing: TLS handshakes for it fail", is_good=False)
        return
    shown, now = report.shown, scene.facts.now
    names = ", ".join(shown.names) or "no host"
    fallback = ", shown to all that ask for a name nobody has" if row.hostname == ANY_HOST else ""
    fallback = "" if host == ANY_HOST else fallback
    yield Step(
        topic="shown",
        says=f'the certificate in Secret/{report.secret}{fallback}, issued by "{shown.issued_by}"'
        f" for {names}, from {day_text(shown.not_before)} until {day_text(shown.not_after)},"
        f" {shown.key}, SHA-256 {shown.fingerprint[:16]}",
        is_good=True,
    )
    if host != ANY_HOST and not covers(shown.names, host):
        yield Step(
            topic="shown", says=f"it is not valid for {host}: clients refuse it", is_good=False
        )
    if shown.not_after <= now or shown.not_before > now:
        is_over = shown.not_after <= now
        yield Step(
            topic="shown",
            says="its time is over: clients refuse it" if is_over else "its time is yet to come",
            is_good=False,
        )


def _about_clients(scene: Scene, host: str) -> Iterator[Step]:
    """Yield what clients have to show."""
    check = scene.compiler.reader().get(HOST_CHECKS, host)
    if check is None or check.demand is None:
        return
    verb = "must" if check.demand.is_required else "may"
    says = f"they {verb} show a certificate that {check.demand.secret} vouches for"
    if check.check is None:
        says += ", which cannot be verified: see the problems of the Ingress"
    yield Step(topic="clients", says=says, is_good=check.check is not None)
