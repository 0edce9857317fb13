"""A certificate authority of the test's own, and what its clients trust."""

import base64
import datetime as dt
import ssl
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.objects import SHOP, Json

_DAY: Final = dt.timedelta(days=1)


class Authority:
    """Signs certificates; each has a key and a serial number of its own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "onehop tests")])
        certificate = (
            self._builder(self._key.public_key(), self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._pem = certificate.public_bytes(serialization.Encoding.PEM)

    def secret(self, name: str, *hosts: str, space: str = SHOP) -> Json:
        """Return a TLS Secret with a fresh certificate for these hosts."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        certificate = (
            self._builder(key.public_key(), subject)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        data = {
            "tls.crt": certificate.public_bytes(serialization.Encoding.PEM) + self._pem,
            "tls.key": key_pem,
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": space},
            "type": "kubernetes.io/tls",
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }

    @property
    def pem(self) -> str:
        """The authority's own certificate."""
        return self._pem.decode()

    def client(self) -> ssl.SSLContext:
        """Return a client's context that trusts this authority and nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.pem)
        return context

    def _builder(
        self, key: ec.EllipticCurvePublicKey, subject: x509.Name
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
        )


def serial_of(secret: Json) -> int:
    """Return the serial number of the certificate in a Secret."""
    pem = base64.b64decode(secret["data"]["tls.crt"])
    return x509.load_pem_x509_certificate(pem).serial_number


def key_lines(secret: Json) -> list[str]:
    """Return the lines of the private key in a Secret, as nobody may ever see them."""
    pem = base64.b64decode(secret["data"]["tls.key"]).decode()
    return [line for line in pem.splitlines() if line and not line.startswith("-----")]
