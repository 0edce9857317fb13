"""What a chain of certificates says to those who see it."""

from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from onehop.compile.ingress import ANY_HOST
from onehop.control.certificates.report import Shown
from onehop.model.certificate import Certificate

_UNNAMED: Final = "(no name)"
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
"""As people and ACME clients call them (FIPS 186-4)."""


def read_chain(certificate: Certificate, hosts: Iterable[str]) -> Shown:
    """Return what clients see that ask for these hosts."""
    chain = x509.load_pem_x509_certificates(certificate.chain_pem.encode("ascii"))
    names, asked = _names(chain[0]), tuple(sorted(hosts))
    return Shown(
        fingerprint=certificate.fingerprint,
        not_before=chain[0].not_valid_before_utc.timestamp(),
        not_after=chain[0].not_valid_after_utc.timestamp(),
        names=names,
        key=_key(chain[0]),
        issued_by=_common_name(chain[0].issuer),
        chain_top=_common_name(chain[-1].issuer),
        hosts=asked,
        uncovered=tuple(host for host in asked if not covers(names, host)),
    )


def covers(names: Iterable[str], host: str) -> bool:
    """Tell whether clients that ask for a host accept these names (RFC 9525, section 6.3)."""
    return host == ANY_HOST or not {host, f"*.{host.partition('.')[2]}"}.isdisjoint(names)


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
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


def _common_name(name: x509.Name) -> str:
    """Return the common name, else the organization: a CA may have no other one."""
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in name.get_attributes_for_oid(kind):
            return _plain(str(attribute.value))
    return _UNNAMED


def _plain(text: str) -> str:
    """Return somebody's text as it may be printed on a terminal."""
    return text if text.isprintable() else ascii(text)
