"""Which objects ask for certificates by ACME, and of whom.

What the Ingress, the Gateway or the ListenerSet says counts first, then what it says to any ACME
client there may be, then what its class says. One that names an issuer of cert-manager's is left
to cert-manager, unless it asks us by our own annotation.

A ListenerSet speaks for itself, as with cert-manager (`pkg/controller/certificate-shim/sync.go`):
what its Gateway says is said by somebody else, about other Secrets.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.cluster import Gateway, GatewayClass, Ingress, IngressClass, ListenerSet, ref_of
from onehop.compile.backend import options_of
from onehop.compile.gateway.parent import PARENTS
from onehop.compile.ingress import TlsClaim, class_of
from onehop.compile.inputs import GATEWAY_CLASSES, GATEWAYS, INGRESS_CLASSES, SECRETS
from onehop.compile.naming import NAMING_REFS, NAMINGS, Naming, form_of, namer
from onehop.compile.options import IssuerOption, Options
from onehop.compile.policy import Policy, parse_policy
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, Severity, quoted

ACME_FIELD: Final = "metadata.annotations[onehop.dev/acme]"
KEY_TYPE_FIELD: Final = "metadata.annotations[onehop.dev/acme-key-type]"
TLS_ACME: Final = "kubernetes.io/tls-acme"
TLS_ACME_FIELD: Final = f"metadata.annotations[{TLS_ACME}]"
CLASS_FIELDS: Final = {
    "Ingress": "spec.ingressClassName",
    "Gateway": "spec.gatewayClassName",
    "ListenerSet": "spec.parentRef",
}
CERT_MANAGER: Final = ("cert-manager.io/issuer", "cert-manager.io/cluster-issuer")

_DEFAULT: Final = "true"
_NOBODY: Final = "false"
_MOST_LISTED: Final = 8


class Ask(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An object that asks for certificates.

    Attributes:
        gateway: on whose addresses the hosts are; None for the shared VIP.
        field: where it says so.
        claims: the hosts, and the Secrets where their certificates shall be; at least one.
    """

    ref: ObjectRef
    age_key: tuple[str, str, str]
    gateway: ObjectRef | None = None
    field: str
    issuer: IssuerOption
    key_type: str | None
    claims: tuple[TlsClaim, ...]


class _Saying(msgspec.Struct, frozen=True):
    """Whom an object asks, the field that says so, and whether that is its class's saying."""

    issuer: str
    field: str
    is_by_class: bool = False


def _class_issuer(reader: Reader, ref: ObjectRef) -> Cell[str]:
    """Return what a class of ours says for its objects, and tell the class of its mistakes."""
    options = options_of(reader)
    if ref.kind == "GatewayClass":
        of_gateways = reader.need(GATEWAY_CLASSES, ref)
        is_ours = of_gateways.spec.controller_name == options.gateway_controller
        annotations = of_gateways.metadata.annotations
    else:
        of_ingresses = reader.need(INGRESS_CLASSES, ref)
        is_ours = of_ingresses.spec.controller == options.ingress_controller
        annotations = of_ingresses.metadata.annotations
    if not is_ours:
        return Cell(None)
    policy, problems = parse_policy(ref, annotations)
    if policy.acme is None or policy.acme == _NOBODY:
        return Cell(None, problems)
    issuer = _find_issuer(options, _Saying(policy.acme, ACME_FIELD), ref)
    return Cell(policy.acme, (*problems, issuer) if isinstance(issuer, Problem) else problems)


def _ask(reader: Reader, ref: ObjectRef) -> Cell[Ask]:
    naming, item = reader.need(NAMINGS, ref), namer(reader, ref)
    policy, _ = parse_policy(ref, item.metadata.annotations)  # its faults are told by the intent
    options = options_of(reader)
    saying = _saying(reader, item, policy, options)
    if saying is None:
        return Cell(None, tuple(_idle_key_type(ref, policy)))
    issuer = _find_issuer(options, saying, ref)
    if isinstance(issuer, Problem):
        return Cell(None, (issuer,))
    told = () if saying.is_by_class else tuple(_elsewhere(reader, naming))
    claims = tuple(claim for claim in naming.claims if claim not in naming.elsewhere)
    if not claims:
        return Cell(None, told)
    ask = Ask(
        ref=ref,
        age_key=naming.age_key,
        gateway=naming.gateway,
        field=saying.field,
        issuer=issuer,
        key_type=policy.acme_key_type,
        claims=claims,
    )
    return Cell(ask, told)


def _saying(
    reader: Reader, item: Ingress | Gateway | ListenerSet, policy: Policy, options: Options
) -> _Saying | None:
    """Return whom an object asks; `true` is answered by its class if that names an issuer."""
    if policy.acme == _NOBODY:
        return None
    found = class_ref(reader, item)
    of_class = reader.get(CLASS_ISSUERS, found) if found else None
    default = of_class or _DEFAULT
    if policy.acme is not None:
        return _Saying(default if policy.acme == _DEFAULT else policy.acme, ACME_FIELD)
    if any(item.metadata.annotation(name) for name in CERT_MANAGER):
        return None
    tls_acme = item.metadata.annotation(TLS_ACME)
    if tls_acme == "true" and options.issuers:  # without, it is said to somebody else
        return _Saying(default, TLS_ACME_FIELD)
    if tls_acme == "false" or of_class is None:
        return None
    return _Saying(of_class, CLASS_FIELDS[ref_of(item).kind], is_by_class=True)


def class_ref(reader: Reader, item: Ingress | Gateway | ListenerSet) -> ObjectRef | None:
    """Return the class of an object, which a ListenerSet has by its Gateway."""
    if isinstance(item, Ingress):
        found = class_of(reader, item)
        return ref_of(found) if found else None
    if isinstance(item, ListenerSet):
        item = reader.need(GATEWAYS, reader.need(PARENTS, ref_of(item)).gateway)
    return ObjectRef("GatewayClass", "", item.spec.gateway_class_name)


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


def _elsewhere(reader: Reader, naming: Naming) -> Iterator[Problem]:
    """Tell of entries whose certificates nobody orders, for their Secrets are not the object's."""
    entries = {claim.field: claim for claim in naming.elsewhere}
    for field, claim in sorted(entries.items()):
        reason = Reason.CERTIFICATE_NOT_FOUND
        message = (
            "no certificate is ordered without a place to put it, and the operator's default"
            " is shown; name a Secret, which need not exist yet"
        )
        if naming.gateway is not None:
            if reader.get(SECRETS, claim.secret) is not None:
                continue  # its owner has filled it, and lets it be shown
            reason = Reason.REF_NOT_PERMITTED
            message = (
                f"no certificate is ordered for {claim.secret}, which is of another namespace: a"
                " ReferenceGrant lets a Secret be shown, and never written; name one of this"
                " namespace, or let its owner ask for it"
            )
        yield Problem(
            subject=naming.ref,
            field=f"{field}.{form_of(naming.ref).secret}",
            reason=reason,
            message=message,
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
GATEWAY_CLASS_REFS: Final = Index[ObjectRef, GatewayClass, ObjectRef](
    GATEWAY_CLASSES, "acme", lambda ref, _: (ref,)
)
CLASS_ISSUERS: Final = Derived[ObjectRef, str](
    "class-issuers", _class_issuer, (CLASS_REFS, GATEWAY_CLASS_REFS)
)
ASKS: Final = Derived[ObjectRef, Ask]("asks", _ask, (NAMING_REFS,))
ASKS_BY_SECRET: Final = Index[ObjectRef, Ask, ObjectRef](
    ASKS, "secret", lambda _, ask: {claim.secret for claim in ask.claims}
)
ASKED_HOSTS: Final = Index[ObjectRef, Ask, str](
    ASKS, "host", lambda _, ask: {claim.hostname for claim in ask.claims}
)
ASKS_OF_GATEWAY: Final = Index[ObjectRef, Ask, ObjectRef](
    ASKS, "gateway", lambda _, ask: (ask.gateway,) if ask.gateway else ()
)
