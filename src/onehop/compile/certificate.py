"""Certificates from `kubernetes.io/tls` Secrets, and which host shows which."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from onehop.cluster import Secret
from onehop.compile.ingress import TLS_BY_HOST, TLS_SECRETS, IngressIntent
from onehop.compile.inputs import HOUR, KEPT, ONLY, SECRETS
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.certificate import Certificate, SecretText, ServerName
from onehop.model.ident import CertificateId, ObjectRef, RouterId
from onehop.model.problem import Problem, Reason, Severity

TLS_ROUTER: Final = RouterId("shared-https")


class Fault(msgspec.Struct, frozen=True):
    """Why a Secret gives no certificate, or a worse one than it should."""

    reason: Reason
    message: str


class Checked(msgspec.Struct, frozen=True):
    """What a Secret gives: a certificate, maybe an earlier one, and what is wrong with it."""

    certificate: Certificate | None
    fault: Fault | None = None


def read_certificate(ref: ObjectRef, secret: Secret) -> Certificate | Fault:
    """Return the chain and key of a Secret of type kubernetes.io/tls, checked, or what is wrong."""
    data = secret.data or {}
    chain_pem, key_pem = data.get("tls.crt"), data.get("tls.key")
    if secret.type != "kubernetes.io/tls" or not chain_pem or not key_pem:
        return Fault(
            Reason.CERTIFICATE_INVALID,
            f"{ref} is of type {secret.type!a} with keys {sorted(data)}; needed is type"
            " kubernetes.io/tls with tls.crt and tls.key",
        )
    try:
        chain = x509.load_pem_x509_certificates(chain_pem)
    except ValueError:
        return Fault(
            Reason.CERTIFICATE_INVALID, f"tls.crt in {ref} is not a chain of PEM certificates"
        )
    try:
        key = load_pem_private_key(key_pem, password=None)
        matches = key.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        ) == chain[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
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
        chain_pem=chain_pem.decode("ascii", "replace"),
        key_pem=SecretText(key_pem.decode("ascii", "replace")),
        fingerprint=chain[0].fingerprint(SHA256()).hex(),
        not_after=int(chain[0].not_valid_after_utc.timestamp()),
    )


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
        return Cell(Checked(read, _expiry(reader, ref, read)))
    kept = reader.get(KEPT, ref)
    if kept is not None:
        read = Fault(read.reason, f"{read.message}; the last good one is still shown")
    return Cell(Checked(kept, read))


def _expiry(reader: Reader, ref: ObjectRef, certificate: Certificate) -> Fault | None:
    hour = reader.get(HOUR, ONLY)
    if hour is None or certificate.not_after > hour:
        return None
    ended = datetime.fromtimestamp(certificate.not_after, UTC).isoformat()
    return Fault(
        Reason.CERTIFICATE_EXPIRED,
        f"the certificate in {ref} ended {ended}; it is shown all the same, renew it",
    )


def _certificate(reader: Reader, certificate: CertificateId) -> Cell[Certificate]:
    checked = reader.any(CERTIFICATE_IDS, certificate)
    return Cell(checked.certificate if checked else None)


def _server_name(reader: Reader, hostname: str) -> Cell[ServerName]:
    """Give a host's TLS to the oldest Ingress that claims it, and tell the others."""
    rivals = sorted(reader.where(TLS_BY_HOST, hostname), key=lambda intent: intent.age_key)
    winner = rivals[0]
    claim = next(claim for claim in winner.tls if claim.hostname == hostname)
    problems = list(_losers(winner, rivals[1:], claim.secret, hostname))
    checked = reader.get(CHECKED, claim.secret)
    if checked is not None and checked.fault is not None:
        served = checked.certificate is not None
        problems.append(
            Problem(
                subject=winner.ref,
                field=f"{claim.field}.secretName",
                reason=checked.fault.reason,
                message=checked.fault.message
                + ("" if served else f"; {hostname} has no HTTPS until it is mended"),
                severity=Severity.WARNING if served else Severity.ERROR,
            )
        )
    if checked is None or checked.certificate is None:
        return Cell(None, tuple(problems))
    return Cell(
        ServerName(router=TLS_ROUTER, hostname=hostname, certificate=checked.certificate.id),
        tuple(problems),
    )


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


CHECKED: Final = Derived[ObjectRef, Checked]("checked", _check, (TLS_SECRETS,))
CERTIFICATE_IDS: Final = Index[ObjectRef, Checked, CertificateId](
    CHECKED, "id", lambda _, checked: (checked.certificate.id,) if checked.certificate else ()
)
CERTIFICATES: Final = Derived[CertificateId, Certificate](
    "certificates", _certificate, (CERTIFICATE_IDS,)
)
SERVER_NAMES: Final = Derived[str, ServerName]("server-names", _server_name, (TLS_BY_HOST,))
