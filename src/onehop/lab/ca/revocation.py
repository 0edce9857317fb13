"""Certificates taken back (RFC 8555, section 7.6).

It is written down and nothing more: there is neither a CRL nor an OCSP responder to tell others.
"""

from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from josepy.b64 import b64decode
from josepy.jwk import JWK

from onehop.lab.ca.book import Issued
from onehop.lab.ca.ca import Ca
from onehop.lab.ca.call import Call, Reply
from onehop.lab.ca.refusal import Refused, malformed, missing, unauthorized
from onehop.lab.ca.renewal import certificate_id

_REASONS: Final = frozenset(range(11)) - {7}
"""RFC 5280, section 5.3.1; 7 is not used."""


class _Revocation(msgspec.Struct, frozen=True):
    certificate: str
    reason: int = 0


def revoke(ca: Ca, call: Call) -> Reply:
    """Revoke a certificate for the account that it was issued to, or for its own key."""
    asked = call.read(_Revocation)
    try:
        leaf = x509.load_der_x509_certificate(b64decode(asked.certificate))
        issued = ca.book.issued.get(certificate_id(leaf))
    except (ValueError, TypeError, x509.ExtensionNotFound) as err:
        raise malformed(f"certificate: it cannot be read: {err}") from err
    if issued is None or issued.leaf != leaf:
        raise missing("certificate")
    if not _may(call, issued):
        raise unauthorized("it is not this account's, and not signed by its own key")
    if asked.reason not in _REASONS:
        raise Refused("badRevocationReason", f"{asked.reason} is no reason of RFC 5280")
    if issued.revoked is not None:
        raise Refused("alreadyRevoked", "this certificate was revoked already")
    issued.revoked = asked.reason
    return Reply()


def _may(call: Call, issued: Issued) -> bool:
    if call.signer is not None:
        return call.signer.id == issued.account
    return call.key is not None and _spki(call.key) == issued.leaf.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def _spki(key: JWK) -> bytes:
    return bytes(key.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
