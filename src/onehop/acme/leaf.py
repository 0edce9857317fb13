"""What a certificate says: of itself, and of the chain that it comes in."""

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from onehop.acme.issuer import KeyType
from onehop.acme.key import base64url, key_type_of, load_key
from onehop.acme.port import Held
from onehop.base.errors import AcmeNonsense
from onehop.compile.extension import UNREADABLE, extension_of


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate at the beginning of a chain.

    Attributes:
        hosts: DNS names, sorted.
        renewal_id: by which RFC 9773 (section 4.1) knows it; empty if it names no issuing key.
        fingerprint: SHA-256, lower-case hex.
        der: base64url, for revocation.
        chain_top: common name of the issuer of the chain's last certificate.
    """

    hosts: tuple[str, ...]
    key_type: KeyType | None
    not_before: float
    not_after: float
    renewal_id: str
    fingerprint: str
    der: str
    chain_top: str


def read_leaf(held: Held) -> Leaf | None:
    """Return the leaf of a chain that belongs to its key, or None: it is broken or does not."""
    try:
        chain = x509.load_pem_x509_certificates(held.chain_pem.encode("ascii"))
        public = load_key(held.key_pem).public_key()
        raw = chain[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if raw != public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
            return None
        return Leaf(
            hosts=_hosts(chain[0]),
            key_type=key_type_of(public),
            not_before=chain[0].not_valid_before_utc.timestamp(),
            not_after=chain[0].not_valid_after_utc.timestamp(),
            renewal_id=_renewal_id(chain[0]),
            fingerprint=chain[0].fingerprint(SHA256()).hex(),
            der=base64url(chain[0].public_bytes(Encoding.DER)),
            chain_top=_common_name(chain[-1].issuer),
        )
    except UNREADABLE:
        return None


def check_issued(held: Held, hosts: tuple[str, ...]) -> Leaf:
    """Return the leaf of a chain that a CA gave us for these hosts.

    Raises:
        AcmeNonsense: it is not a chain, not for our key, or not for these hosts.
    """
    leaf = read_leaf(held)
    if leaf is None:
        raise AcmeNonsense("what the CA sent is not a chain of certificates for our key")
    if leaf.hosts != hosts:
        raise AcmeNonsense(
            f"the CA issued for {', '.join(leaf.hosts)} where {', '.join(hosts)} was ordered"
        )
    return leaf


def _hosts(certificate: x509.Certificate) -> tuple[str, ...]:
    names = extension_of(certificate, x509.SubjectAlternativeName)
    if names is None:
        return ()
    return tuple(sorted({name.lower() for name in names.get_values_for_type(x509.DNSName)}))


def _renewal_id(certificate: x509.Certificate) -> str:
    """Return key identifier and serial in base64url, the serial as in DER, with a sign bit."""
    found = extension_of(certificate, x509.AuthorityKeyIdentifier)
    if found is None or found.key_identifier is None:
        return ""
    serial = certificate.serial_number
    length = serial.bit_length() // 8 + 1
    return f"{base64url(found.key_identifier)}.{base64url(serial.to_bytes(length, 'big'))}"


def _common_name(name: x509.Name) -> str:
    names = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
