"""What a chain of certificates says to those who see it."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from onehop.compile.extension import UNREADABLE, extension_of
from onehop.compile.ingress import ANY_HOST
from onehop.model.certificate import Certificate, wildcard_over
from onehop.model.ident import CertificateId

_UNNAMED: Final = "(no name)"
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
"""As people and ACME clients call them (FIPS 186-4)."""


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate as clients see it.

    Attributes:
        fingerprint: SHA-256 of the leaf, lower-case hex.
        names: the DNS names it is valid for, sorted.
        issued_by: common name of who signed the leaf.
        top: common name of who signed the last certificate of the chain.
    """

    fingerprint: str
    not_before: float
    not_after: float
    names: tuple[str, ...]
    key: str
    issued_by: str
    top: str

    def is_valid_at(self, now: float) -> bool:
        """Tell whether its time has come and is not over."""
        return self.not_before <= now < self.not_after


def read_chain(certificate: Certificate) -> Chain:
    """Return what a certificate says."""
    chain = x509.load_pem_x509_certificates(certificate.chain_pem.encode("ascii"))
    return Chain(
        fingerprint=certificate.fingerprint,
        not_before=chain[0].not_valid_before_utc.timestamp(),
        not_after=chain[0].not_valid_after_utc.timestamp(),
        names=_names(chain[0]),
        key=_key(chain[0]),
        issued_by=_issuer(chain[0]),
        top=_issuer(chain[-1]),
    )


class ChainReader:
    """Reads each chain once, for as long as it is shown: thousands take a while."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, str], Chain] = {}

    def read(
        self, certificates: Mapping[CertificateId, Certificate]
    ) -> Mapping[CertificateId, Chain]:
        """Return what all of these say, and forget the others."""
        before, self._read = self._read, {}
        found: dict[CertificateId, Chain] = {}
        for name, certificate in certificates.items():
            key = (certificate.fingerprint, certificate.chain_pem)
            found[name] = self._read[key] = before.get(key) or read_chain(certificate)
        return found


def covers(names: Iterable[str], host: str) -> bool:
    """Tell whether clients that ask for a host accept these names (RFC 9525, section 6.3)."""
    return host == ANY_HOST or not {host, wildcard_over(host)}.isdisjoint(names)


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    found = extension_of(leaf, x509.SubjectAlternativeName)
    if found is None:
        return ()
    names = {_plain(name.lower()) for name in found.get_values_for_type(x509.DNSName)}
    return tuple(sorted(names))


def _key(leaf: x509.Certificate) -> str:
    """Return the kind of a key, as people say it."""
    match leaf.public_key():
        case rsa.RSAPublicKey() as key:
            return f"RSA {key.key_size}"
        case ec.EllipticCurvePublicKey() as key:
            return f"ECDSA {_CURVES.get(key.curve.name, key.curve.name)}"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case other:
            return type(other).__name__


def _issuer(certificate: x509.Certificate) -> str:
    """Return the issuer's common name, else its organization: a CA may have no other one."""
    try:
        name = certificate.issuer
    except UNREADABLE:
        return _UNNAMED
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in name.get_attributes_for_oid(kind):
            return _plain(str(attribute.value))
    return _UNNAMED


def _plain(text: str) -> str:
    """Return somebody's text as it may be printed on a terminal."""
    return text if text.isprintable() else ascii(text)
