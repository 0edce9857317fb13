"""What is asked of a CA's responder: about which certificate, in which bytes."""

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from onehop.compile.staple import issuer_in
from onehop.model.staple import Inquiry


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One OCSPRequest (RFC 6960, section 4.1).

    It asks for one certificate, signs nothing and carries no nonce: so responders may answer with
    what they have signed beforehand (RFC 5019, section 2.1.1).

    Attributes:
        name_hash, key_hash: by which the CertID names the issuer.
        serial: of the certificate.
        body: in DER.
    """

    url: str
    issuer: x509.Certificate
    name_hash: bytes
    key_hash: bytes
    serial: int
    body: bytes


def question_of(inquiry: Inquiry) -> Question:
    """Return what to ask."""
    chain = x509.load_pem_x509_certificates(inquiry.chain_pem.encode("ascii"))
    issuer = issuer_in(chain)
    assert issuer is not None  # noqa: S101  an Inquiry is made of a chain that has it
    # Issuers are named by SHA-1 (RFC 5019, section 2.1.1): it protects nothing, and it is what all
    # responders know.
    builder = ocsp.OCSPRequestBuilder().add_certificate(chain[0], issuer, SHA1())  # noqa: S303
    request = builder.build()
    return Question(
        url=inquiry.url,
        issuer=issuer,
        name_hash=request.issuer_name_hash,
        key_hash=request.issuer_key_hash,
        serial=request.serial_number,
        body=request.public_bytes(Encoding.DER),
    )
