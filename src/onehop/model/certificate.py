"""Certificates, and the keys that must never be seen."""

from typing import Final

import msgspec

from onehop.model.ident import CertificateId, ObjectRef, RouterId


class SecretText(msgspec.Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """Text that never renders: not in a repr, a log line, a golden file or an error message."""

    reveal: str

    def __repr__(self) -> str:
        return REDACTED

    __str__ = __repr__


REDACTED: Final = "<redacted>"


class Certificate(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="certificate"):
    """A chain and its key, already checked against each other.

    Attributes:
        chain_pem: leaf first.
        fingerprint: SHA-256 of the leaf, lower-case hex: what is shown in place of the rest.
        not_after: end of validity of the leaf, seconds since the epoch.
        ocsp: what the CA's responder says of the leaf, signed, in DER (RFC 6960), to be shown with
            it in the handshake (RFC 6066, section 8); None for nothing that could be shown.
    """

    id: CertificateId
    chain_pem: str
    key_pem: SecretText
    fingerprint: str
    not_after: int
    ocsp: bytes | None = None


_CHALLENGE: Final = "tls-alpn-01:"


def challenge_certificate(hostname: str) -> CertificateId:
    """Return the id of what a CA is shown for a host; no Secret's certificate has such an id."""
    return CertificateId(f"{_CHALLENGE}{hostname}")


def challenged(certificate: CertificateId) -> str:
    """Return the host of a challenge's certificate."""
    return certificate.removeprefix(_CHALLENGE)


def is_challenge(certificate: CertificateId) -> bool:
    """Tell whether a certificate is for a CA that looks just now, and for nobody else.

    It comes and goes with the challenge: nobody expects it, keeps it, or wants to renew it.
    """
    return certificate.startswith(_CHALLENGE)


class CertificateDemand(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A Secret that shall be filled with a certificate by an ACME issuer.

    Attributes:
        hosts: in lower case, sorted, each once; at least one.
        issuer: by its name in onehop.yaml.
        key_type: as the object says, one of `KEY_TYPES`; None for the issuer's.
        wishers: the objects that ask for it, the oldest first: they are told how it goes.
    """

    secret: ObjectRef
    hosts: tuple[str, ...]
    issuer: str
    key_type: str | None = None
    wishers: tuple[ObjectRef, ...]

    def covers(self, hostname: str) -> bool:
        """Tell whether clients that ask for the host will accept the certificate (RFC 9525)."""
        return hostname in self.hosts or wildcard_over(hostname) in self.hosts


KEY_TYPES: Final = ("ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096")


def wildcard_over(hostname: str) -> str:
    """Return the wildcard that a host is one label below (RFC 9525, section 6.3)."""
    return f"*.{hostname.partition('.')[2]}"


class ServerName(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="server-name"):
    """Which certificate a router shows to a client that asks for a host by SNI.

    Attributes:
        hostname: exact, `*.example.com` (one label, RFC 6125), or `*` when no other fits.
    """

    router: RouterId
    hostname: str
    certificate: CertificateId

    @property
    def id(self) -> str:
        """`router/hostname`."""
        return f"{self.router}/{self.hostname}"
