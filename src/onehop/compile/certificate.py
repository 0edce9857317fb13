"""Certificates from `kubernetes.io/tls` Secrets, and which host shows which."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from onehop.cluster import Secret
from onehop.compile.backend import options_of, pem_of
from onehop.compile.demand import DEMANDS
from onehop.compile.extension import UNREADABLE, extension_of
from onehop.compile.gateway.gateway import GATEWAY_SECRETS
from onehop.compile.ingress import ANY_HOST, TLS_BY_HOST, TLS_SECRETS, IngressIntent, TlsClaim
from onehop.compile.inputs import (
    DEFAULT_CERTIFICATE,
    HOUR,
    KEPT,
    ONLY,
    OPTIONS,
    SECRETS,
    STAPLES,
)
from onehop.compile.options import Options
from onehop.compile.pending import tell_pending, tell_uncovered
from onehop.compile.router import TLS_ROUTER
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.compile.staple import demands_staple, inquiry_of, tell_missing, tell_revoked
from onehop.compile.tlsowner import PASSTHROUGHS
from onehop.model.certificate import Certificate, CertificateDemand, SecretText, ServerName
from onehop.model.ident import CertificateId, ObjectRef
from onehop.model.problem import Problem, Reason, Severity, quoted

_DAY_S: Final = 86_400
_LATE_S: Final = 14 * _DAY_S
_LATE_SHARE: Final = 6
"""ACME clients renew with a third of the lifetime left (half, if that is short): one that has
fourteen days left, or a sixth of its lifetime if that is less, ought to have been renewed."""


class Fault(msgspec.Struct, frozen=True):
    """Why a Secret gives no certificate, or a worse one than it should."""

    reason: Reason
    message: str


class Checked(msgspec.Struct, frozen=True):
    """What a Secret gives: a certificate, maybe an earlier one, and what is wrong with it.

    Attributes:
        names: the DNS names the certificate is valid for.
        is_good: whether the Secret gives it now, and it has not ended.
    """

    certificate: Certificate | None
    fault: Fault | None = None
    names: frozenset[str] = frozenset()
    is_good: bool = False

    @property
    def is_missing(self) -> bool:
        """Whether there is no Secret, and nothing to show in its place."""
        is_absent = self.fault is not None and self.fault.reason is Reason.CERTIFICATE_NOT_FOUND
        return is_absent and self.certificate is None

    def covers(self, hostname: str) -> bool:
        """Tell whether clients that ask for the host will accept the certificate."""
        wildcard = f"*.{hostname.partition('.')[2]}"
        return hostname == ANY_HOST or hostname in self.names or wildcard in self.names


def read_certificate(ref: ObjectRef, secret: Secret) -> Certificate | Fault:
    """Return the chain and key of a Secret of type kubernetes.io/tls, checked, or what is wrong."""
    data = secret.data or {}
    chain_pem, key_pem = data.get("tls.crt"), data.get("tls.key")
    if secret.type != "kubernetes.io/tls" or not chain_pem or not key_pem:
        return Fault(
            Reason.CERTIFICATE_INVALID,
            f"{ref} is of type {quoted(secret.type)}{_lacking(data)}; needed is type"
            " kubernetes.io/tls with tls.crt and tls.key",
        )
    try:
        chain = x509.load_pem_x509_certificates(chain_pem)
    except UNREADABLE:
        return Fault(
            Reason.CERTIFICATE_INVALID, f"tls.crt in {ref} is not a chain of PEM certificates"
        )
    try:
        key = load_pem_private_key(key_pem, password=None)
        matches = _der(key.public_key()) == _der(chain[0].public_key())
        plain_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    except UNREADABLE:
        return Fault(
            Reason.CERTIFICATE_INVALID,
            f"tls.key in {ref} is not a private key in PEM without a password",
        )
    if not matches:
        return Fault(
            Reason.CERTIFICATE_INVALID,
            f"tls.key in {ref} does not belong to the first certificate in tls.crt",
        )
    return Certificate(
        id=CertificateId(f"{ref.namespace}/{ref.name}"),
        chain_pem=pem_of(chain),
        key_pem=SecretText(plain_key.decode("ascii")),
        fingerprint=chain[0].fingerprint(SHA256()).hex(),
        not_after=int(chain[0].not_valid_after_utc.timestamp()),
    )


def _lacking(data: Mapping[str, bytes]) -> str:
    missing = [key for key in ("tls.crt", "tls.key") if not data.get(key)]
    return f" without {' and '.join(missing)}" if missing else ""


def _der(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def leaf_of(certificate: Certificate) -> x509.Certificate:
    """Return the leaf, to be asked for more than the row says."""
    return x509.load_pem_x509_certificate(certificate.chain_pem.encode("ascii"))


def names_of(leaf: x509.Certificate) -> frozenset[str]:
    """Return the DNS names a leaf is valid for (RFC 9525, section 6.1: subjectAltName only)."""
    names = extension_of(leaf, x509.SubjectAlternativeName)
    if names is None:
        return frozenset()
    return frozenset(name.lower() for name in names.get_values_for_type(x509.DNSName))


def _check(reader: Reader, ref: ObjectRef) -> Cell[Checked]:
    secret = reader.get(SECRETS, ref)
    if secret is None:
        return Cell(
            Checked(
                None,
                Fault(Reason.CERTIFICATE_NOT_FOUND, f"{ref} does not exist or may not be read"),
            )
        )
    read = read_certificate(ref, secret)
    if isinstance(read, Certificate):
        return Cell(_shown(reader, ref, read))
    return Cell(_last_good(reader, ref, read))


def _shown(reader: Reader, ref: ObjectRef, certificate: Certificate) -> Checked:
    """Return a certificate with what its CA says of it, and with what the time says."""
    leaf = leaf_of(certificate)
    is_on = options_of(reader).staples
    inquiry = inquiry_of(certificate.chain_pem) if is_on else None
    staple = reader.get(STAPLES, inquiry) if inquiry else None
    if staple is not None and staple.response is not None:
        certificate = msgspec.structs.replace(certificate, ocsp=staple.response)
    revoked = tell_revoked(staple)
    if certificate.ocsp is None and revoked is None and demands_staple(leaf):
        why = tell_missing(inquiry, staple, is_on=is_on)
        return _unstapled(reader, ref, certificate, why)
    fault = _expiry(reader, ref, leaf)
    is_over = fault is not None and fault.reason is Reason.CERTIFICATE_EXPIRED
    if revoked is not None and not is_over:
        fault = Fault(
            Reason.CERTIFICATE_REVOKED,
            f"the certificate in {ref} {revoked}; it is shown all the same, and clients that ask"
            " the CA refuse it: order another one",
        )
    return Checked(certificate, fault, names_of(leaf), is_good=not is_over)


def _unstapled(reader: Reader, ref: ObjectRef, certificate: Certificate, why: str) -> Checked:
    """Return what is shown in place of a certificate that is nothing without its CA's answer.

    Envoy takes none that demands a staple and has none ("OCSP response is required for must-staple
    certificate"), nor do the clients for which it demands one.
    """
    fault = Fault(
        Reason.STAPLE_MISSING,
        f"the certificate in {ref} demands to be shown with its CA's OCSP answer (RFC 7633), and"
        f" there is none: {why}",
    )
    kept = reader.get(KEPT, ref)
    if kept is not None and kept.fingerprint == certificate.fingerprint:
        return Checked(kept, fault, names_of(leaf_of(kept)))  # its last staple has run out
    return _last_good(reader, ref, fault)


def _last_good(reader: Reader, ref: ObjectRef, fault: Fault) -> Checked:
    """Return the last certificate that a Secret held, while what it holds cannot be shown."""
    kept = reader.get(KEPT, ref)
    if kept is None:
        return Checked(None, fault)
    inquiry = inquiry_of(kept.chain_pem) if options_of(reader).staples else None
    staple = reader.get(STAPLES, inquiry) if inquiry else None
    if staple is not None and staple.response is not None:
        kept = msgspec.structs.replace(kept, ocsp=staple.response)
    said = Fault(fault.reason, f"{fault.message}; the last good one is still shown")
    return Checked(kept, said, names_of(leaf_of(kept)))


def _expiry(reader: Reader, ref: ObjectRef, leaf: x509.Certificate) -> Fault | None:
    hour = reader.get(HOUR, ONLY)
    if hour is None:
        return None
    end = leaf.not_valid_after_utc
    left_s = end.timestamp() - hour
    if left_s <= 0:
        return Fault(
            Reason.CERTIFICATE_EXPIRED,
            f"the certificate in {ref} ended {end.isoformat()}; it is shown all the same, renew it",
        )
    lifetime_s = (end - leaf.not_valid_before_utc).total_seconds()
    if left_s > min(_LATE_S, lifetime_s / _LATE_SHARE):
        return None
    days = int(left_s // _DAY_S)
    left = f"in {days} day{'s' if days > 1 else ''}" if days else "in less than a day"
    return Fault(
        Reason.CERTIFICATE_EXPIRING,
        f"the certificate in {ref} ends {end.isoformat()}, {left}; renew it, or see why whoever"
        " renews it has not",
    )


def _certificate(reader: Reader, certificate: CertificateId) -> Cell[Certificate]:
    checked = reader.any(CERTIFICATE_IDS, certificate)
    return Cell(checked.certificate if checked else None)


def _server_name(reader: Reader, hostname: str) -> Cell[ServerName]:
    """Give a host's TLS to the oldest Ingress that claims it, and tell the others."""
    rivals = sorted(reader.unordered(TLS_BY_HOST, hostname), key=lambda intent: intent.age_key)
    default = options_of(reader).default_certificate
    if hostname == ANY_HOST and default is not None:
        return _operators(reader, default, rivals)
    if reader.get(PASSTHROUGHS, hostname) is not None:
        return Cell(None)  # told by `tlsowner`
    winner = rivals[0]
    claim = next(claim for claim in winner.tls if claim.hostname == hostname)
    problems = list(_losers(winner, rivals[1:], claim.secret, hostname))
    checked = reader.need(CHECKED, claim.secret)
    demand = reader.get(DEMANDS, claim.secret)
    is_ordered = demand is not None and demand.covers(hostname)
    problems += _faults(winner.ref, claim, checked, demand if is_ordered else None)
    if checked.certificate is None:
        return Cell(None, tuple(problems))
    shown = ServerName(router=TLS_ROUTER, hostname=hostname, certificate=checked.certificate.id)
    return Cell(shown, tuple(problems))


def _faults(
    subject: ObjectRef, claim: TlsClaim, checked: Checked, demand: CertificateDemand | None
) -> Iterator[Problem]:
    """Tell what is wrong with a host's certificate; with a demand, another one is ordered."""
    served, fault = checked.certificate is not None, checked.fault
    if served and not checked.covers(claim.hostname):
        yield tell_uncovered(subject, claim, demand)
    if fault is None:
        return
    if demand is not None and checked.is_missing:
        yield tell_pending(subject, claim, demand)
        return
    broken = f"; {claim.hostname} has no HTTPS until it is mended"
    yield Problem(
        subject=subject,
        field=f"{claim.field}.secretName",
        reason=fault.reason,
        message=fault.message if served else fault.message + broken,
        severity=Severity.WARNING if served else Severity.ERROR,
    )


def _operators(reader: Reader, secret: ObjectRef, rivals: list[IngressIntent]) -> Cell[ServerName]:
    """Show the operator's certificate to clients that ask for a name nobody has, or for none."""
    problems = [
        Problem(
            subject=rival.ref,
            field=claim.field,
            reason=Reason.CONFLICT,
            message="what clients see that ask for a name nobody has is up to the operator's"
            f" tls.defaultCertificate; {claim.secret} is not shown to them",
        )
        for rival in rivals
        for claim in rival.tls
        if claim.hostname == ANY_HOST and claim.secret != secret
    ]
    checked = reader.need(CHECKED, secret)
    served = checked.certificate is not None
    if checked.fault is not None:
        problems.append(
            Problem(
                subject=secret,
                field="onehop.yaml: tls.defaultCertificate",
                reason=checked.fault.reason,
                message=checked.fault.message
                + ("" if served else "; clients that ask for a name nobody has get no TLS"),
                severity=Severity.WARNING if served else Severity.ERROR,
            )
        )
    if checked.certificate is None:
        return Cell(None, tuple(problems))
    shown = ServerName(router=TLS_ROUTER, hostname=ANY_HOST, certificate=checked.certificate.id)
    return Cell(shown, tuple(problems))


def _losers(
    winner: IngressIntent, rivals: list[IngressIntent], secret: ObjectRef, hostname: str
) -> Iterator[Problem]:
    for rival in rivals:
        claim = next(claim for claim in rival.tls if claim.hostname == hostname)
        if claim.secret != secret:
            yield Problem(
                subject=rival.ref,
                field=claim.field,
                reason=Reason.CONFLICT,
                message=f"TLS of {hostname} belongs to the older {winner.ref}; {claim.secret} is"
                " not shown",
            )


CHECKED: Final = Derived[ObjectRef, Checked](
    "checked", _check, (TLS_SECRETS, DEFAULT_CERTIFICATE, GATEWAY_SECRETS)
)
CERTIFICATE_IDS: Final = Index[ObjectRef, Checked, CertificateId](
    CHECKED, "id", lambda _, checked: (checked.certificate.id,) if checked.certificate else ()
)
CERTIFICATES: Final = Derived[CertificateId, Certificate](
    "certificates", _certificate, (CERTIFICATE_IDS,)
)
DEFAULT_NAME: Final = Index[tuple[()], Options, str](
    OPTIONS,
    "default-name",
    lambda _, options: (ANY_HOST,) if options.default_certificate and options.shared else (),
)
SERVER_NAMES: Final = Derived[str, ServerName](
    "server-names", _server_name, (TLS_BY_HOST, DEFAULT_NAME)
)
