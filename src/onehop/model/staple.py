"""What a CA says of its certificates while they are shown (OCSP, RFC 6960)."""

import msgspec


class Inquiry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Whom to ask about a certificate.

    Attributes:
        url: of the CA's responder, as the certificate says.
        chain_pem: the certificate, and after it somewhere the one of its issuer.
    """

    url: str
    chain_pem: str


class Staple(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What came of it: a response, or a revocation, or why there is neither.

    Attributes:
        response: signed, in DER, says that the certificate is good, and is valid now.
        revoked_at: seconds since the epoch.
        why: what keeps from having a response; one clause.
    """

    response: bytes | None = None
    revoked_at: int | None = None
    why: str = ""
