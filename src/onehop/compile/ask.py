"""Which Ingresses ask for certificates by ACME, and of whom.

What the Ingress says counts first, then what it says to any ACME client there may be, then what its
class says. An Ingress that names an issuer of cert-manager's is left to cert-manager, unless it
asks us by our own annotation.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.cluster import Ingress, IngressClass, ref_of
from onehop.compile.backend import options_of
from onehop.compile.ingress import INGRESS_INTENTS, IngressIntent, TlsClaim, class_of
from onehop.compile.inputs import INGRESS_CLASSES, INGRESSES
from onehop.compile.options import IssuerOption, Options
from onehop.compile.policy import Policy, parse_policy
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, Severity, quoted

ACME_FIELD: Final = "metadata.annotations[onehop.dev/acme]"
KEY_TYPE_FIELD: Final = "metadata.annotations[onehop.dev/acme-key-type]"
TLS_ACME: Final = "kubernetes.io/tls-acme"
TLS_ACME_FIELD: Final = f"metadata.annotations[{TLS_ACME}]"
CLASS_FIELD: Final = "spec.ingressClassName"
CERT_MANAGER: Final = ("cert-manager.io/issuer", "cert-manager.io/cluster-issuer")

_DEFAULT: Final = "true"
_NOBODY: Final = "false"
_MOST_LISTED: Final = 8


class Ask(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An Ingress that asks for certificates.

    Attributes:
        field: where it says so.
        claims: the hosts, and the Secrets where their certificates shall be; at least one.
    """

    ref: ObjectRef
    age_key: tuple[str, str, str]
    field: str
    issuer: IssuerOption
    key_type: str | None
    claims: tuple[TlsClaim, ...]


class _Saying(msgspec.Struct, frozen=True):
    """Whom an Ingress asks, and the field that says so."""

    issuer: str
    field: str


def _class_issuer(reader: Reader, ref: ObjectRef) -> Cell[str]:
    """Return what a class of ours says for its Ingresses, and tell the class of its mistakes."""
    found = reader.need(INGRESS_CLASSES, ref)
    options = options_of(reader)
    if found.spec.controller != options.ingress_controller:
        return Cell(None)
    policy, problems = parse_policy(ref, found.metadata.annotations)
    if policy.acme is None or policy.acme == _NOBODY:
        return Cell(None, problems)
    issuer = _find_issuer(options, _Saying(policy.acme, ACME_FIELD), ref)
    return Cell(policy.acme, (*problems, issuer) if isinstance(issuer, Problem) else problems)


def _ask(reader: Reader, ref: ObjectRef) -> Cell[Ask]:
    intent, ingress = reader.need(INGRESS_INTENTS, ref), reader.need(INGRESSES, ref)
    policy, _ = parse_policy(ref, ingress.metadata.annotations)  # its faults are told by the intent
    options = options_of(reader)
    saying = _saying(reader, ingress, policy, options)
    if saying is None:
        return Cell(None, tuple(_idle_key_type(ref, policy)))
    issuer = _find_issuer(options, saying, ref)
    if isinstance(issuer, Problem):
        return Cell(None, (issuer,))
    nameless = _nameless(intent, ingress)
    problems = tuple(_no_secret(ref, field) for field in nameless if saying.field != CLASS_FIELD)
    claims = tuple(claim for claim in intent.tls if claim.field not in nameless)
    if not claims:
        return Cell(None, problems)
    ask = Ask(
        ref=ref,
        age_key=intent.age_key,
        field=saying.field,
        issuer=issuer,
        key_type=policy.acme_key_type,
        claims=claims,
    )
    return Cell(ask, problems)


def _saying(reader: Reader, ingress: Ingress, policy: Policy, options: Options) -> _Saying | None:
    """Return whom an Ingress asks; `true` is answered by its class if that names an issuer."""
    if policy.acme == _NOBODY:
        return None
    found = class_of(reader, ingress)
    of_class = reader.get(CLASS_ISSUERS, ref_of(found)) if found else None
    default = of_class or _DEFAULT
    if policy.acme is not None:
        return _Saying(default if policy.acme == _DEFAULT else policy.acme, ACME_FIELD)
    if any(ingress.metadata.annotation(name) for name in CERT_MANAGER):
        return None
    tls_acme = ingress.metadata.annotation(TLS_ACME)
    if tls_acme == "true" and options.issuers:  # without, it is said to somebody else
        return _Saying(default, TLS_ACME_FIELD)
    if tls_acme == "false" or of_class is None:
        return None
    return _Saying(of_class, CLASS_FIELD)


def _find_issuer(options: Options, saying: _Saying, subject: ObjectRef) -> IssuerOption | Problem:
    if saying.issuer == _DEFAULT and options.issuers:
        return options.issuers[0]
    for issuer in options.issuers:
        if issuer.name == saying.issuer:
            return issuer
    known = ", ".join(quoted(issuer.name) for issuer in options.issuers[:_MOST_LISTED])
    more = ", ..." if len(options.issuers) > _MOST_LISTED else ""
    message = (
        f"no certificate is ordered: {quoted(saying.issuer)} is no issuer of onehop.yaml, which"
        f" names {known}{more}"
        if options.issuers
        else "no certificate is ordered, for onehop.yaml names no issuer; add one to acme.issuers"
    )
    return Problem(
        subject=subject, field=saying.field, reason=Reason.ISSUER_NOT_FOUND, message=message
    )


def _nameless(intent: IngressIntent, ingress: Ingress) -> tuple[str, ...]:
    """Return the entries of spec.tls that name no Secret, and so mean the operator's default."""
    entries = enumerate(ingress.spec.tls or ())
    unnamed = {f"spec.tls[{number}]" for number, entry in entries if not entry.secret_name}
    return tuple(sorted(unnamed & {claim.field for claim in intent.tls}))


def _no_secret(ref: ObjectRef, field: str) -> Problem:
    return Problem(
        subject=ref,
        field=f"{field}.secretName",
        reason=Reason.CERTIFICATE_NOT_FOUND,
        message="no certificate is ordered without a place to put it, and the operator's default"
        " is shown; name a Secret, which need not exist yet",
        severity=Severity.WARNING,
    )


def _idle_key_type(ref: ObjectRef, policy: Policy) -> Iterator[Problem]:
    if policy.acme_key_type is not None and policy.acme is None:
        yield Problem(
            subject=ref,
            field=KEY_TYPE_FIELD,
            reason=Reason.INVALID_ANNOTATION,
            message="onehop.dev/acme-key-type: changes nothing without onehop.dev/acme, which"
            " says whom to order a certificate from",
            severity=Severity.WARNING,
        )


CLASS_REFS: Final = Index[ObjectRef, IngressClass, ObjectRef](
    INGRESS_CLASSES, "ref", lambda ref, _: (ref,)
)
CLASS_ISSUERS: Final = Derived[ObjectRef, str]("class-issuers", _class_issuer, (CLASS_REFS,))
TLS_INTENTS: Final = Index[ObjectRef, IngressIntent, ObjectRef](
    INGRESS_INTENTS, "tls", lambda ref, intent: (ref,) if intent.tls else ()
)
ASKS: Final = Derived[ObjectRef, Ask]("asks", _ask, (TLS_INTENTS,))
ASKS_BY_SECRET: Final = Index[ObjectRef, Ask, ObjectRef](
    ASKS, "secret", lambda _, ask: {claim.secret for claim in ask.claims}
)
ASKED_HOSTS: Final = Index[ObjectRef, Ask, str](
    ASKS, "host", lambda _, ask: {claim.hostname for claim in ask.claims}
)
