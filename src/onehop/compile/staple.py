"""Which certificates are shown with an answer of their CA, and what owners are told of it.

The asking is not done here: cells read the table `STAPLES`, whoever runs the sheet goes and asks
what was read, and puts what came of it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import AuthorityInformationAccessOID

from onehop.compile.extension import UNREADABLE, extension_of
from onehop.model.staple import Inquiry, Staple

_LONGEST_URL: Final = 1024


def inquiry_of(chain_pem: str) -> Inquiry | None:
    """Return whom to ask about a chain's leaf; None if it names nobody, or its issuer is missing.

    Without the issuer's certificate one can neither ask nor check the answer.
    """
    chain = x509.load_pem_x509_certificates(chain_pem.encode("ascii"))
    url = _responder(chain[0])
    if url is None or issuer_in(chain) is None:
        return None
    return Inquiry(url=url, chain_pem=chain_pem)


def issuer_in(chain: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """Return who has signed the first certificate of a chain, if it is in there."""
    return next((each for each in chain[1:] if _has_signed(each, chain[0])), None)


def demands_staple(leaf: x509.Certificate) -> bool:
    """Tell whether clients shall refuse the certificate without its CA's answer (RFC 7633)."""
    features = extension_of(leaf, x509.TLSFeature)
    return features is not None and x509.TLSFeatureType.status_request in features


def tell_revoked(staple: Staple | None) -> str | None:
    """Return the clause that says that a certificate was revoked, and when."""
    if staple is None or staple.revoked_at is None:
        return None
    at = datetime.fromtimestamp(staple.revoked_at, UTC).isoformat()
    return f"was revoked by its CA {at}"


def tell_missing(inquiry: Inquiry | None, staple: Staple | None, *, is_on: bool) -> str:
    """Return the clause that says why there is no answer of the CA to show."""
    if not is_on:
        return "tls.ocspStapling of onehop.yaml is off"
    if inquiry is None:
        return "it names no OCSP responder, or tls.crt lacks the certificate of its issuer"
    if staple is None:
        return "its CA has not been asked yet"
    return staple.why


def _responder(leaf: x509.Certificate) -> str | None:
    """Return the first OCSP URL of a certificate (RFC 5280, section 4.2.2.1)."""
    access = extension_of(leaf, x509.AuthorityInformationAccess)
    for place in access or ():
        uri = place.access_location
        if place.access_method == AuthorityInformationAccessOID.OCSP and isinstance(
            uri, x509.UniformResourceIdentifier
        ):
            return uri.value if len(uri.value) <= _LONGEST_URL else None
    return None


def _has_signed(issuer: x509.Certificate, leaf: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True
