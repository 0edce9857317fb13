"""Keys of certificates, and signing requests."""

import base64
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from onehop.acme.issuer import KeyType
from onehop.model.certificate import SecretText

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_key(kind: KeyType) -> SecretText:
    """Return a fresh key as PEM, PKCS #8; RSA takes up to seconds, so ask in a thread."""
    key = _generate(kind)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return SecretText(pem.decode("ascii"))


def key_type_of(key: object) -> KeyType | None:
    """Return the kind of a public key, or None if it is none of ours."""
    match key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return KeyType.ECDSA_P256
        case ec.EllipticCurvePublicKey(curve=ec.SECP384R1()):
            return KeyType.ECDSA_P384
        case rsa.RSAPublicKey(key_size=2048):
            return KeyType.RSA_2048
        case rsa.RSAPublicKey(key_size=3072):
            return KeyType.RSA_3072
        case rsa.RSAPublicKey(key_size=4096):
            return KeyType.RSA_4096
        case _:
            return None


def signing_request(hosts: tuple[str, ...], pem: SecretText) -> str:
    """Return a certificate signing request for the hosts: DER in base64url without padding.

    All hosts are subjectAltNames; there is no common name, which clients have not read since
    RFC 6125 and which is shorter (64) than a host may be (253).
    """
    key = load_key(pem)
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(names, critical=False)
        .sign(key, SHA256())
    )
    return base64url(request.public_bytes(Encoding.DER))


def load_key(pem: SecretText) -> PrivateKey:
    """Return the key in a PEM of `new_key`.

    Raises:
        ValueError: it is no such PEM.
    """
    try:
        key = load_pem_private_key(pem.reveal.encode("ascii"), password=None)
    except TypeError as err:  # it has a password
        raise ValueError("the key is encrypted") from err
    if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        return key
    raise ValueError("the key is neither RSA nor elliptic-curve")


def base64url(data: bytes) -> str:
    """Return bytes as RFC 8555 wants them (section 6.1): base64url, no padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _generate(kind: KeyType) -> PrivateKey:
    match kind:
        case KeyType.ECDSA_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyType.ECDSA_P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyType.RSA_2048 | KeyType.RSA_3072 | KeyType.RSA_4096:
            return rsa.generate_private_key(65537, int(kind.removeprefix("rsa-")))
