"""A small CA: certificates that name an OCSP responder, and what that one signs."""

import datetime as dt
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
)

from onehop.model.certificate import Certificate, SecretText
from onehop.model.ident import CertificateId

HOUR: Final = dt.timedelta(hours=1)
BEGIN: Final = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
END: Final = dt.datetime(2044, 1, 1, tzinfo=dt.UTC)
_MAY_SIGN: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Party:
    """Whoever has a key and a certificate: the CA, a responder, a host."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self.key = key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode("ascii")

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(
            "ascii"
        )


class Ca(Party):
    """A CA that signs leaves and answers for them."""

    def __init__(self, name: str = "Test CA") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            _builder(subject, key)
            .issuer_name(subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_MAY_SIGN, critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, SHA256())
        )
        super().__init__(certificate, key)

    def leaf(
        self,
        host: str,
        url: str | None = None,
        *,
        must_staple: bool = False,
        end: dt.datetime = END,
        name: str | None = None,
    ) -> Party:
        """Return a host's certificate, which says where its responder is.

        Args:
            host: for which it is valid.
            url: of the responder, if it shall name one.
            must_staple: whether it demands an answer of that one in the handshake.
            end: of its life.
            name: its common name, to tell it by; the host's without.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(name or host), key, end)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if url is not None:
            place = x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url)
            )
            builder = builder.add_extension(
                x509.AuthorityInformationAccess([place]), critical=False
            )
        if must_staple:
            feature = x509.TLSFeature([x509.TLSFeatureType.status_request])
            builder = builder.add_extension(feature, critical=False)
        return Party(builder.sign(self.key, SHA256()), key)

    def responder(self, *, may_sign: bool = True, end: dt.datetime = END) -> Party:
        """Return somebody whom the CA lets answer in its place, or one whom it does not."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.OCSP_SIGNING if may_sign else ExtendedKeyUsageOID.SERVER_AUTH
        certificate = (
            _builder(_name("Responder"), key, end)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self.key, SHA256())
        )
        return Party(certificate, key)

    def says(self, leaf: Party, now: dt.datetime, **fields: Any) -> bytes:
        """Return what a responder says of a leaf, in DER.

        Args:
            leaf: of whom.
            now: when.
            fields: `status`, `signer`, `lives`, `revoked_at`, `encloses`: what is not as usual.
        """
        signer: Party = fields.get("signer", self)
        lives: dt.timedelta | None = fields.get("lives", 24 * HOUR)
        status = fields.get("status", ocsp.OCSPCertStatus.GOOD)
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=leaf.certificate,
            issuer=fields.get("issuer", self).certificate,
            algorithm=SHA1(),  # noqa: S303  RFC 6960 and RFC 5019 name issuers by SHA-1
            cert_status=status,
            this_update=now,
            next_update=None if lives is None else now + lives,
            revocation_time=fields.get("revoked_at"),
            revocation_reason=None,
        )
        encoding = fields.get("encoding", ocsp.OCSPResponderEncoding.HASH)
        builder = builder.responder_id(encoding, signer.certificate)
        if fields.get("encloses", signer is not self):
            builder = builder.certificates([signer.certificate])
        return builder.sign(signer.key, SHA256()).public_bytes(Encoding.DER)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, end: dt.datetime = END
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(end)
    )


def certificate_of(leaf: Party, *chain: Party, name: str = "shop/www") -> Certificate:
    """Return the row of a leaf and what it comes with."""
    return Certificate(
        id=CertificateId(name),
        chain_pem="".join(each.pem for each in (leaf, *chain)),
        key_pem=SecretText(leaf.key_pem),
        fingerprint=leaf.certificate.fingerprint(SHA256()).hex(),
        not_after=int(leaf.certificate.not_valid_after_utc.timestamp()),
    )
