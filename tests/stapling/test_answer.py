"""Only what the CA has signed, about this certificate and for now, is believed."""

import datetime as dt
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.hashes import SHA1, Hash
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from onehop.base.errors import OcspNonsense, OcspUnavailable
from onehop.compile.staple import inquiry_of
from onehop.control.stapling.answer import Answer, Good, Revoked, read_answer
from onehop.control.stapling.question import question_of
from tests.stapling.ca import HOUR, Ca, Party, certificate_of

URL: Final = "http://ocsp.example/"
NOW: Final = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
CA: Final = Ca()
LEAF: Final = CA.leaf("www.example", URL)
GOOD: Final = CA.says(LEAF, NOW)


def read(response: bytes, leaf: Party = LEAF, ca: Ca = CA, now: dt.datetime = NOW) -> Answer:
    """Return what is made of a response to the question about a leaf."""
    inquiry = inquiry_of(certificate_of(leaf, ca).chain_pem)
    assert inquiry is not None
    return read_answer(question_of(inquiry), response, now=now.timestamp())


def test_the_question_names_the_certificate_and_nothing_else() -> None:
    """One certificate, no nonce: a responder may answer with what it signed beforehand."""
    inquiry = inquiry_of(certificate_of(LEAF, CA).chain_pem)
    assert inquiry is not None

    request = ocsp.load_der_ocsp_request(question_of(inquiry).body)

    assert request.serial_number == LEAF.certificate.serial_number
    assert request.issuer_name_hash == _sha1(CA.certificate.subject.public_bytes())
    assert list(request.extensions) == []


def test_what_the_issuer_signs_is_good_until_it_says() -> None:
    """And is shown byte for byte."""
    response = CA.says(LEAF, NOW)

    assert read(response) == Good(response=response, until=(NOW + 24 * HOUR).timestamp())


def test_a_delegate_may_sign_in_its_place() -> None:
    """Its certificate comes with the answer (RFC 6960, section 4.2.2.2)."""
    assert isinstance(read(CA.says(LEAF, NOW, signer=CA.responder())), Good)


def test_the_signer_may_be_said_by_name() -> None:
    """Both ways are in use (RFC 6960, section 4.2.1)."""
    by_name = ocsp.OCSPResponderEncoding.NAME
    for signer in (CA, CA.responder()):
        assert isinstance(read(CA.says(LEAF, NOW, signer=signer, encoding=by_name)), Good)


def test_a_revocation_is_read_with_its_time() -> None:
    """It is not an error: it is what the CA says."""
    at = NOW - 3 * HOUR
    response = CA.says(LEAF, NOW, status=ocsp.OCSPCertStatus.REVOKED, revoked_at=at)

    assert read(response) == Revoked(at=int(at.timestamp()), until=(NOW + 24 * HOUR).timestamp())


STRANGER: Final = Ca("Test CA")  # of the same name


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"signer": STRANGER, "encloses": True}, "signed by who may not"),
        ({"signer": STRANGER, "encloses": False}, "does not say who has signed"),
        ({"signer": STRANGER.responder()}, "signed by who may not"),
        ({"signer": CA.responder(may_sign=False)}, "signed by who may not"),
        ({"signer": CA.responder(end=NOW - HOUR)}, "signed by who may not"),
        ({"signer": CA.responder(), "encloses": False}, "does not say who has signed"),
        ({"signer": LEAF}, "signed by who may not"),
        ({"status": ocsp.OCSPCertStatus.UNKNOWN}, "does not know the certificate"),
        ({"lives": None}, "does not say how long"),
        ({"at": NOW - 25 * HOUR}, "which is not now"),
        ({"at": NOW + HOUR}, "which is not now"),
        ({"leaf": CA.leaf("other.example", URL)}, "for another certificate"),
        ({"issuer": STRANGER}, "for another certificate"),
    ],
)
def test_what_may_not_be_believed_is_not(fields: dict[str, Any], complaint: str) -> None:
    """Whoever sits on the line can write to us: plain HTTP protects nothing."""
    leaf, at = fields.pop("leaf", LEAF), fields.pop("at", NOW)

    with pytest.raises(OcspNonsense, match=complaint):
        read(CA.says(leaf, at, **fields))


def test_a_signature_of_the_right_name_and_the_wrong_key_is_refused() -> None:
    """A CA may be called like another one."""
    response = CA.says(
        LEAF, NOW, signer=STRANGER, encloses=False, encoding=ocsp.OCSPResponderEncoding.NAME
    )

    with pytest.raises(OcspNonsense, match="signature is wrong"):
        read(response)


@given(st.data())
def test_no_changed_byte_makes_it_say_something_else(data: st.DataObject) -> None:
    """Whatever is changed on the way, it is refused or says the same."""
    response = bytearray(GOOD)
    place = data.draw(st.integers(0, len(response) - 1))
    response[place] ^= data.draw(st.integers(1, 255))

    try:
        answer = read(bytes(response))
    except (OcspNonsense, OcspUnavailable):
        return
    assert isinstance(answer, Good)
    assert answer.until == (NOW + 24 * HOUR).timestamp()


@given(st.binary(max_size=300))
def test_garbage_is_refused(garbage: bytes) -> None:
    """Never anything but the two errors."""
    with pytest.raises((OcspNonsense, OcspUnavailable)):
        read(garbage)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (ocsp.OCSPResponseStatus.TRY_LATER, OcspUnavailable),
        (ocsp.OCSPResponseStatus.INTERNAL_ERROR, OcspUnavailable),
        (ocsp.OCSPResponseStatus.UNAUTHORIZED, OcspNonsense),
        (ocsp.OCSPResponseStatus.MALFORMED_REQUEST, OcspNonsense),
    ],
)
def test_a_responder_may_say_that_it_will_not_answer(
    status: ocsp.OCSPResponseStatus, error: type[Exception]
) -> None:
    """Now, or this."""
    refusal = ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)

    with pytest.raises(error, match=status.name):
        read(refusal)


def test_a_chain_without_issuer_or_responder_is_not_asked_about() -> None:
    """There would be nobody to ask, or nothing to check the answer by."""
    assert inquiry_of(certificate_of(LEAF).chain_pem) is None
    assert inquiry_of(certificate_of(LEAF, STRANGER).chain_pem) is None
    assert inquiry_of(certificate_of(CA.leaf("www.example"), CA).chain_pem) is None
    endless = CA.leaf("www.example", f"http://{'x' * 2000}")
    assert inquiry_of(certificate_of(endless, CA).chain_pem) is None


def test_the_issuer_may_stand_anywhere_in_the_chain() -> None:
    """Some servers' files have the root first."""
    other = Ca("Another CA")

    assert inquiry_of(certificate_of(LEAF, other, CA).chain_pem) is not None


def _sha1(data: bytes) -> bytes:
    digest = Hash(SHA1())  # noqa: S303  as OCSP has it
    digest.update(data)
    return digest.finalize()
