"""Which certificates are wanted of ACME issuers: one demand for each Secret that shall hold one.

A certificate with its key is power over a host: a namespace gets one only for hosts that are its
own (`hostowner`). What cannot be had is told to who asks, and left out; the rest is ordered.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from onehop.compile.ask import ASKS_BY_SECRET, KEY_TYPE_FIELD, Ask
from onehop.compile.hostowner import HOST_OWNERS
from onehop.compile.ingress import ANY_HOST, TlsClaim
from onehop.compile.naming import form_of
from onehop.compile.options import IssuerOption
from onehop.compile.sheet import Cell, Derived, Reader
from onehop.model.certificate import CertificateDemand, wildcard_over
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, Severity, quoted

MOST_HOSTS: Final = 100
"""Of one certificate (https://letsencrypt.org/docs/rate-limits/: up to 100 identifiers)."""


def _demand(reader: Reader, secret: ObjectRef) -> Cell[CertificateDemand]:
    asks = sorted(reader.unordered(ASKS_BY_SECRET, secret), key=_age)
    oldest, problems = asks[0], list(_disagreements(asks, secret))
    granted: list[tuple[Ask, TlsClaim]] = []
    wanted = [(ask, claim) for ask in asks for claim in ask.claims if claim.secret == secret]
    for ask, claim in wanted:
        refusal = _refusal(reader, ask, claim, oldest.issuer)
        if refusal is None:
            granted.append((ask, claim))
        else:
            problems.append(refusal)
    hosts = _united([claim.hostname for _, claim in granted])
    if not hosts:
        return Cell(None, tuple(problems))
    demand = CertificateDemand(
        secret=secret,
        hosts=tuple(sorted(hosts[:MOST_HOSTS])),
        issuer=oldest.issuer.name,
        key_type=oldest.key_type,
        wishers=(),
    )
    wishers = [ask.ref for ask, claim in granted if demand.covers(claim.hostname)]
    problems += _too_many(
        [(ask, claim) for ask, claim in granted if not demand.covers(claim.hostname)]
    )
    demand = msgspec.structs.replace(demand, wishers=tuple(dict.fromkeys(wishers)))
    return Cell(demand, tuple(problems))


def _age(ask: Ask) -> tuple[str, str, str]:
    return ask.age_key


def _united(hostnames: Sequence[str]) -> list[str]:
    """Return each host once, in order, without those that a wildcard beside them covers.

    CAs refuse such an order (Boulder: "redundant with a wildcard domain in the same request").
    """
    names = dict.fromkeys(hostnames)
    return [name for name in names if name.startswith("*.") or wildcard_over(name) not in names]


def _refusal(reader: Reader, ask: Ask, claim: TlsClaim, issuer: IssuerOption) -> Problem | None:
    """Return why there can be no certificate for a host, or None if there can."""
    hostname, form = claim.hostname, form_of(ask.ref)

    def refuse(reason: Reason, message: str) -> Problem:
        return Problem(
            subject=ask.ref, field=f"{claim.field}.{form.hosts}", reason=reason, message=message
        )

    if hostname == ANY_HOST:
        return refuse(
            Reason.INVALID_HOST,
            f"a certificate is for named hosts; none is ordered for all there are: {form.advice}",
        )
    if hostname.startswith("*.") and not issuer.has_dns:
        return refuse(
            Reason.UNSUPPORTED,
            f"no certificate is ordered for {hostname}: wildcards are proven by DNS only (RFC"
            f" 8555, section 8.4), and issuer {quoted(issuer.name)} has no DNS solver; ask one"
            " that has, or name the hosts",
        )
    owner = reader.need(HOST_OWNERS, hostname)
    barrier = owner.bars(ask.ref.namespace)
    if barrier is None:
        return None
    whose = "it belongs to" if barrier == owner.ref else "it covers a host of"
    return refuse(
        Reason.CONFLICT,
        f"no certificate is ordered for {hostname}: {whose} the older {barrier}, in another"
        " namespace",
    )


def _disagreements(asks: Sequence[Ask], secret: ObjectRef) -> Iterator[Problem]:
    """Tell the younger ones that want something else of a Secret than the oldest."""
    oldest = asks[0]
    for ask in asks[1:]:
        if ask.issuer.name != oldest.issuer.name:
            yield _outvoted(
                ask, ask.field, f"issuer {quoted(oldest.issuer.name)}", oldest.ref, secret
            )
        if ask.key_type is not None and ask.key_type != oldest.key_type:
            yield _outvoted(
                ask,
                KEY_TYPE_FIELD,
                oldest.key_type or "the issuer's kind of key",
                oldest.ref,
                secret,
            )


def _outvoted(ask: Ask, field: str, what: str, oldest: ObjectRef, secret: ObjectRef) -> Problem:
    return Problem(
        subject=ask.ref,
        field=field,
        reason=Reason.CONFLICT,
        message=f"{secret} holds one certificate for all who name it: {what} counts, as the older"
        f" {oldest} says; name another Secret",
        severity=Severity.WARNING,
    )


def _too_many(left_out: Sequence[tuple[Ask, TlsClaim]]) -> Iterator[Problem]:
    """Tell each object once which of its hosts found no place."""
    by_ask: dict[ObjectRef, list[TlsClaim]] = {}
    for ask, claim in left_out:
        by_ask.setdefault(ask.ref, []).append(claim)
    for ref, claims in by_ask.items():
        more = f" and {len(claims) - 1} more" if len(claims) > 1 else ""
        yield Problem(
            subject=ref,
            field=f"{claims[0].field}.{form_of(ref).hosts}",
            reason=Reason.UNSUPPORTED,
            message=f"no certificate is ordered for {claims[0].hostname}{more}: one certificate is"
            f" for {MOST_HOSTS} hosts at most; name another Secret for the rest",
        )


DEMANDS: Final = Derived[ObjectRef, CertificateDemand]("demands", _demand, (ASKS_BY_SECRET,))
