"""Small certificates, made once per process: a P-256 key costs a tenth of a millisecond."""

from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(2034, 1, 1, tzinfo=UTC)


@cache
def key_pem(name: str) -> bytes:
    """Return the private key that belongs to a name."""
    return _key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@cache
def chain_pem(name: str, *, end: datetime = END, names: tuple[str, ...] | None = None) -> bytes:
    """Return a self-signed certificate for a host name, or these names, with its key."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(_key(name).public_key())
        .serial_number(1 + len(name))
        .not_valid_before(BEGIN)
        .not_valid_after(end)
    )
    valid_for = [x509.DNSName(each) for each in ((name,) if names is None else names)]
    if valid_for:
        builder = builder.add_extension(x509.SubjectAlternativeName(valid_for), critical=False)
    return builder.sign(_key(name), SHA256()).public_bytes(Encoding.PEM)


@cache
def _key(_name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())
