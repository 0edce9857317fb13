"""TLS for the lab's API: a certificate of its own, as kubeadm would make one.

The keys are for a server that holds nothing worth stealing; they live as long as it does.
"""

import datetime as dt
import ipaddress
import os
import ssl

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class ServerTls(msgspec.Struct, frozen=True):
    """What a TLS server needs, and what its clients must trust.

    Attributes:
        certificate: PEM; self-signed, so that it is its clients' CA too.
        key: PEM.
    """

    certificate: bytes
    key: bytes

    def context(self) -> ssl.SSLContext:
        """Return the server's side.

        OpenSSL loads chains from files only; a file in memory keeps the key off the disk and the
        event loop from waiting for one.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        file = os.memfd_create("onehop-lab-tls")
        try:
            os.set_blocking(file, False)
            os.write(file, self.key + self.certificate)
            context.load_cert_chain(f"/proc/self/fd/{file}")
        finally:
            os.close(file)
        return context


def self_signed(
    *, hosts: tuple[str, ...] = ("127.0.0.1", "::1", "localhost"), now: dt.datetime
) -> ServerTls:
    """Return a fresh certificate for addresses and names, good for a year."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "onehop lab (not Kubernetes)")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=365))
        .add_extension(
            x509.SubjectAlternativeName([_alternative(each) for each in hosts]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return ServerTls(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
