"""BackendTLSPolicies: how the endpoints of a Service prove who they are (GEP-1897).

`apis/v1/backendtlspolicy_types.go`. A policy is judged by itself, once, whoever sends requests to
its Services. One that cannot be carried out is not passed over: "Connections using an invalid
CACertificateRef MUST fail, and the client MUST receive an HTTP 5xx error response."
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.cluster import BackendTLSPolicy
from onehop.cluster.gateway_backendtls import BackendValidation, SubjectAltName
from onehop.cluster.gateway_ref import LocalObjectRef
from onehop.cluster.gateway_status import MOST_ANCESTORS
from onehop.cluster.gateway_verdict import Saying, Truth
from onehop.cluster.service import ServicePort
from onehop.compile.backend import CA_KEY, ca_pem_of, options_of
from onehop.compile.ingress import is_hostname
from onehop.compile.inputs import BACKEND_TLS_POLICIES, CONFIG_MAPS, SECRETS
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.compile.value import is_object_name, is_uri
from onehop.model.ident import ObjectRef
from onehop.model.pool import AltName, BackendTls
from onehop.model.problem import quoted

CA_KINDS: Final = ("ConfigMap", "Secret")
"""Where certificates of CAs may be; Secrets are our own addition ("Implementation-specific")."""


class Verification(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What comes of a BackendTLSPolicy by itself.

    Attributes:
        tls: towards the endpoints; None if it cannot be carried out.
        cas: what has to be read for it.
        accepted, resolved: the conditions of these names.
    """

    tls: BackendTls | None
    cas: tuple[ObjectRef, ...] = ()
    accepted: Saying
    resolved: Saying


class _Invalid(Exception):  # noqa: N818  a way out of nested checks, caught in this file
    """A policy asks for what cannot be done; carries what is wrong."""


class CaBundle(msgspec.Struct, frozen=True):
    """What references to certificates of CAs give.

    Attributes:
        pem: of those that can be read; None if none can.
        refs: what was asked for them, there or not.
        reason, message: what is wrong with the first bad reference; empty if all are good.
    """

    pem: str | None
    refs: tuple[ObjectRef, ...]
    reason: str = ""
    message: str = ""


def policies_for(reader: Reader, service: ObjectRef, port: ServicePort) -> tuple[ObjectRef, ...]:
    """Return the policies that are for a port of a Service; the first of them is the one to obey.

    One that names the port goes before one for the whole Service; then "the older policy by
    creation timestamp takes precedence", then "the policy appearing first in alphabetical order".
    """
    found: list[tuple[bool, tuple[str, str, str]]] = []
    for policy in reader.unordered(POLICIES_BY_TARGET, service):
        sections = sections_of(policy, service)
        is_named = bool(port.name) and port.name in sections
        if is_named or "" in sections:
            found.append((not is_named, policy.metadata.age_key))
    return tuple(_ref(namespace, name) for _, (_, namespace, name) in sorted(found))


def sections_of(policy: BackendTLSPolicy, service: ObjectRef) -> frozenset[str]:
    """Return which ports of a Service a policy is for; an empty name stands for all of them."""
    return frozenset(
        target.section_name or ""
        for target in policy.spec.target_refs
        if (target.group, target.kind, target.name) == ("", "Service", service.name)
    )


def read_cas(reader: Reader, refs: tuple[ObjectRef | str, ...]) -> CaBundle:
    """Return the certificates of CAs in these objects; a text says why a reference means none.

    "A CACertificateRef is invalid if: It refers to a resource that cannot be resolved ... or is
    misconfigured (e.g., a ConfigMap does not contain a key named `ca.crt`)".
    """
    pems: list[str] = []
    found: list[ObjectRef] = []
    reason = message = ""
    for ref in refs:
        if isinstance(ref, str):
            reason, message = (reason or "InvalidKind"), (message or ref)
            continue
        found.append(ref)
        is_map = ref.kind == "ConfigMap"
        pem = ca_pem_of(reader.get(CONFIG_MAPS, ref) if is_map else reader.get(SECRETS, ref))
        if pem is None:
            what = f"{ref} with CA certificates (PEM) under {CA_KEY!r} is not there"
            reason, message = (reason or "InvalidCACertificateRef"), (message or what)
        else:
            pems.append(pem)
    return CaBundle("".join(pems) or None, tuple(found), reason, message)


def _compute(reader: Reader, ref: ObjectRef) -> Cell[Verification]:
    policy = reader.need(BACKEND_TLS_POLICIES, ref)
    validation = policy.spec.validation
    cas = read_cas(reader, tuple(_ca(ref, each) for each in validation.ca_certificate_refs))
    resolved = Saying("ResolvedRefs", Truth.TRUE, "ResolvedRefs")
    if cas.reason:
        resolved = Saying("ResolvedRefs", Truth.FALSE, cas.reason, cas.message)

    def refuse(reason: str, message: str) -> Cell[Verification]:
        accepted = Saying("Accepted", Truth.FALSE, reason, message)
        return Cell(Verification(tls=None, cas=cas.refs, accepted=accepted, resolved=resolved))

    try:
        _check(validation, has_room=_has_room(reader, policy))
        names = tuple(sorted(map(_name, validation.subject_alt_names)))
    except _Invalid as fault:
        return refuse("Invalid", str(fault))
    trusts_system = validation.well_known_ca_certificates is not None
    if not trusts_system and cas.pem is None:
        return refuse("NoValidCACertificate", cas.message)
    tls = BackendTls(
        ca_pem=cas.pem,
        server_name=validation.hostname,
        trusts_system=trusts_system,
        names=names,
    )
    accepted = Saying("Accepted", Truth.TRUE, "Accepted")
    return Cell(Verification(tls=tls, cas=cas.refs, accepted=accepted, resolved=resolved))


def _check(validation: BackendValidation, *, has_room: bool) -> None:
    """Raise if a policy cannot be carried out, whatever its references lead to."""
    known = validation.well_known_ca_certificates
    if not is_hostname(validation.hostname) or validation.hostname.startswith("*"):
        raise _Invalid(f"validation.hostname: {quoted(validation.hostname)} is no DNS name")
    if (known is None) == (not validation.ca_certificate_refs):
        raise _Invalid("validation: either caCertificateRefs or wellKnownCACertificates is needed")
    if known not in (None, "System"):
        what = f"{quoted(known or '')} is not known here; System is"
        raise _Invalid(f"validation.wellKnownCACertificates: {what}")
    if not has_room:
        raise _Invalid("the policy's status is full of other controllers' entries")


def _has_room(reader: Reader, policy: BackendTLSPolicy) -> bool:
    """Tell whether anything can be said in a policy's status.

    "If this slice is full, implementations MUST NOT add further entries. Instead they MUST consider
    the policy unimplementable" (PolicyStatus.Ancestors).
    """
    controller = options_of(reader).gateway_controller
    foreign = [each for each in policy.status.ancestors if each.controller_name != controller]
    return len(foreign) < MOST_ANCESTORS


def _ca(policy: ObjectRef, ref: LocalObjectRef) -> ObjectRef | str:
    if ref.group != "" or ref.kind not in CA_KINDS or not is_object_name(ref.name):
        return f"{quoted(ref.kind)} {quoted(ref.name)} is no ConfigMap, nor a Secret"
    return ObjectRef(ref.kind, policy.namespace, ref.name)


def _name(name: SubjectAltName) -> AltName:
    match name:
        case SubjectAltName(type="Hostname", hostname=str(text)) if is_hostname(text):
            return AltName(text)
        case SubjectAltName(type="URI", uri=str(text)) if is_uri(text):
            return AltName(text, is_uri=True)
        case _:
            what = f"{quoted(name.type)} {quoted(name.hostname or name.uri or '')}"
            raise _Invalid(f"validation.subjectAltNames: {what} is no DNS name, nor a URI")


def _ref(namespace: str, name: str) -> ObjectRef:
    return ObjectRef("BackendTLSPolicy", namespace, name)


def _targets(_ref: ObjectRef, policy: BackendTLSPolicy) -> Iterator[ObjectRef]:
    services = {
        target.name
        for target in policy.spec.target_refs
        if target.group == "" and target.kind == "Service"
    }
    return (ObjectRef("Service", policy.metadata.namespace, name) for name in services)


POLICIES_BY_TARGET: Final = Index[ObjectRef, BackendTLSPolicy, ObjectRef](
    BACKEND_TLS_POLICIES, "target", _targets
)
_REFS: Final = Index[ObjectRef, BackendTLSPolicy, ObjectRef](
    BACKEND_TLS_POLICIES, "ref", lambda ref, _: (ref,)
)
VERIFICATIONS: Final = Derived[ObjectRef, Verification]("verifications", _compute, (_REFS,))
