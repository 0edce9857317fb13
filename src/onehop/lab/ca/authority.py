"""The keys of a test CA: a root, an intermediate that signs, and what they sign.

Made anew for each run and never written anywhere. Every name says that nobody is to trust them.
"""

import datetime as dt
import ipaddress
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from onehop.lab.api.tls import ServerTls

ROOT_NAME: Final = "onehop test root, trust it nowhere else"
NAME: Final = "onehop test CA, trust it nowhere else"
_LIFETIME: Final = dt.timedelta(days=3650)
_SKEW: Final = dt.timedelta(hours=1)
"""For the CA's own certificates; those that it issues begin when they are issued."""


class Authority:
    """Signs certificates.

    Args:
        now: seconds since the epoch, when root and intermediate are made.
    """

    def __init__(self, now: float) -> None:
        begins = dt.datetime.fromtimestamp(now, dt.UTC) - _SKEW
        root_key = ec.generate_private_key(ec.SECP256R1())
        root = _ca(ROOT_NAME, root_key, ROOT_NAME, root_key, begins=begins, path_length=1)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._intermediate = _ca(NAME, self._key, ROOT_NAME, root_key, begins=begins, path_length=0)
        self.root_pem = _pem(root)
        self.chain_pem = _pem(self._intermediate)
        """What stands behind a leaf: the intermediate, without the root."""

    def issue(
        self,
        names: tuple[x509.GeneralName, ...],
        key: CertificatePublicKeyTypes,
        *,
        begins: float,
        lifetime_s: float,
    ) -> x509.Certificate:
        """Return a server's certificate.

        It has no subject, so the names are critical (RFC 5280, section 4.2.1.6). X.509 counts
        whole seconds, both ends included (section 4.1.2.5).
        """
        start = dt.datetime.fromtimestamp(int(begins), dt.UTC)
        end = start + dt.timedelta(seconds=max(1, int(lifetime_s) - 1))
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._intermediate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(server, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(signer, critical=False)
            .sign(self._key, SHA256())
        )

    def server_tls(self, names: tuple[str, ...], now: float) -> ServerTls:
        """Return what the CA's own server shows, for names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        general = tuple(_general(name) for name in names)
        leaf = self.issue(
            general, key.public_key(), begins=now, lifetime_s=_LIFETIME.total_seconds() / 2
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return ServerTls((_pem(leaf) + self.chain_pem).encode("ascii"), private)


def _ca(  # noqa: PLR0913  a certificate has two parties, and each a name and a key
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    begins: dt.datetime,
    path_length: int,
) -> x509.Certificate:
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    known_by = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(known_by, critical=False)
        .add_extension(signer, critical=False)
        .sign(issuer_key, SHA256())
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")
