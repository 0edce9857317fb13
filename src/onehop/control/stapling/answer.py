"""Whether what a responder sent may be believed: pure, with the time as an argument.

Whoever stands between us and the responder can write to us, for OCSP goes over plain HTTP: only the
signature tells (RFC 6960, section 3.2).
"""

from datetime import datetime
from typing import Final, TypeAlias

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from onehop.base.errors import OcspNonsense, OcspUnavailable
from onehop.compile.extension import UNREADABLE, extension_of
from onehop.control.stapling.question import Question

SKEW_S: Final = 300.0
"""How far a responder's clock may be ahead of ours."""

_LATER: Final = (ocsp.OCSPResponseStatus.TRY_LATER, ocsp.OCSPResponseStatus.INTERNAL_ERROR)


class Good(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate is good.

    Attributes:
        response: as it came, to be shown.
        until: when it must not be shown any more, seconds since the epoch.
    """

    response: bytes
    until: float


class Revoked(msgspec.Struct, frozen=True, kw_only=True):
    """The CA has taken the certificate back, or suspended it.

    Attributes:
        at: seconds since the epoch.
        until: when the answer gets stale.
    """

    at: int
    until: float


Answer: TypeAlias = Good | Revoked


def read_answer(question: Question, response: bytes, *, now: float) -> Answer:
    """Return what the responder says, if it may say so and it is about what was asked.

    Raises:
        OcspUnavailable: it wants to be asked later.
        OcspNonsense: it is no answer to our question.
    """
    try:
        return _read(question, response, now)
    except UNREADABLE as err:
        raise OcspNonsense(f"{question.url} sent what is not OCSP: {err}") from err


def _read(question: Question, response: bytes, now: float) -> Answer:
    answer = ocsp.load_der_ocsp_response(response)
    if answer.response_status in _LATER:
        raise OcspUnavailable(f"{question.url} says {answer.response_status.name}")
    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise OcspNonsense(f"{question.url} says {answer.response_status.name}")
    about = (answer.issuer_name_hash, answer.issuer_key_hash, answer.serial_number)
    if about != (question.name_hash, question.key_hash, question.serial):
        raise OcspNonsense(f"{question.url} answered for another certificate")
    _check_signature(question, answer, now)
    until = _valid_until(question, answer, now)
    match answer.certificate_status:
        case ocsp.OCSPCertStatus.GOOD:
            return Good(response=response, until=until)
        case ocsp.OCSPCertStatus.REVOKED:
            at = answer.revocation_time_utc
            return Revoked(at=int(at.timestamp()) if at else int(now), until=until)
        case _:
            raise OcspNonsense(f"{question.url} does not know the certificate")


def _valid_until(question: Question, answer: ocsp.OCSPResponse, now: float) -> float:
    """Return nextUpdate, without which there is always something newer to be had, and no staple."""
    until = answer.next_update_utc
    if until is None:
        raise OcspNonsense(f"{question.url} does not say how long its answer is valid")
    if answer.this_update_utc.timestamp() > now + SKEW_S or until.timestamp() <= now:
        raise OcspNonsense(
            f"{question.url} sent an answer for {_shown(answer.this_update_utc)} to"
            f" {_shown(until)}, which is not now"
        )
    return until.timestamp()


def _shown(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _check_signature(question: Question, answer: ocsp.OCSPResponse, now: float) -> None:
    """Check that the issuer has signed, or somebody whom it lets (RFC 6960, section 4.2.2.2)."""
    signer = question.issuer
    if not _is_named(answer, signer):
        signer = _delegate(question, answer, now)
    if not _has_signed(signer, answer):
        raise OcspNonsense(f"{question.url} sent an answer whose signature is wrong")


def _delegate(question: Question, answer: ocsp.OCSPResponse, now: float) -> x509.Certificate:
    """Return the responder's own certificate, if the issuer gave it for this purpose.

    Whether that one was revoked is not asked (RFC 6960, section 4.2.2.2.1 leaves it to us): they
    live short, and its CA would have to be asked by itself.
    """
    found = next((each for each in answer.certificates if _is_named(answer, each)), None)
    if found is None:
        raise OcspNonsense(f"{question.url} does not say who has signed its answer")
    usage = extension_of(found, x509.ExtendedKeyUsage)
    may_sign = usage is not None and ExtendedKeyUsageOID.OCSP_SIGNING in usage
    begin, end = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    if not (may_sign and begin <= now <= end and _is_issued_by(found, question.issuer)):
        raise OcspNonsense(f"{question.url} sent an answer signed by who may not")
    return found


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def _is_named(answer: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    """Tell whether the answer says that this one has signed: by its name or its key's SHA-1."""
    if answer.responder_name is not None:
        return answer.responder_name == certificate.subject
    return answer.responder_key_hash == _key_hash(certificate)


def _key_hash(certificate: x509.Certificate) -> bytes:
    """Return SHA-1 over the bits of the key, without their tag and length (RFC 6960, 4.2.1)."""
    identifier = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    return identifier.digest


def _has_signed(signer: x509.Certificate, answer: ocsp.OCSPResponse) -> bool:
    key, signed = signer.public_key(), answer.tbs_response_bytes
    digest = answer.signature_hash_algorithm
    try:
        match key:
            case rsa.RSAPublicKey() if digest is not None:
                key.verify(answer.signature, signed, padding.PKCS1v15(), digest)
            case ec.EllipticCurvePublicKey() if digest is not None:
                key.verify(answer.signature, signed, ec.ECDSA(digest))
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
                key.verify(answer.signature, signed)
            case _:
                return False
    except InvalidSignature:
        return False
    return True
