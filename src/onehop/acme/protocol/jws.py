"""Signed requests: our account key, and JSON Web Signatures as ACME wants them.

Signing takes 0.1 ms, so it is done on the event loop.
"""

from typing import Any

import msgspec
from acme.jws import JWS
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from josepy.b64 import b64decode, b64encode
from josepy.jwa import ES256, HS256
from josepy.jwk import JWKEC, JWKOct

from onehop.acme.issuer import ExternalAccount
from onehop.base.errors import ConfigError
from onehop.model.certificate import SecretText


class AccountKey:
    """The key that an account is known by: ECDSA P-256, ES256.

    Args:
        pem: PKCS #8, unencrypted.
    """

    def __init__(self, pem: SecretText) -> None:
        key = load_pem_private_key(pem.reveal.encode("ascii"), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("an account key is an elliptic-curve key")
        self._jwk = JWKEC(key=key)
        self.thumbprint = b64encode(self._jwk.thumbprint()).decode("ascii")
        """SHA-256 of the public key (RFC 7638), base64url."""

    def authorization(self, token: str) -> str:
        """Return the key authorization of a token (RFC 8555, section 8.1)."""
        return f"{token}.{self.thumbprint}"

    def sign(self, payload: bytes, *, url: str, nonce: str, account: str | None) -> bytes:
        """Return the body of a POST.

        Args:
            payload: empty for POST-as-GET.
            url: where it is sent: the signature covers that.
            nonce: base64url.
            account: the account's URL; None puts the public key in its place (newAccount).

        Raises:
            josepy.DeserializationError: the nonce is not base64url.
        """
        signed = JWS.sign(
            payload,
            key=self._jwk,
            alg=ES256,
            nonce=b64decode(nonce),
            url=url,
            kid=account,
        )
        return str(signed.json_dumps()).encode("ascii")

    def bind(self, account: ExternalAccount, *, url: str) -> dict[str, Any]:
        """Return the external account binding of a newAccount request (RFC 8555, section 7.3.4).

        Raises:
            ConfigError: the HMAC key is not base64url.
        """
        try:
            hmac_key = b64decode(account.hmac_key.reveal)
        except ValueError as err:
            raise ConfigError("the HMAC key of the external account is not base64url") from err
        bound = JWS.sign(
            msgspec.json.encode(self._jwk.public_key().to_json()),
            key=JWKOct(key=hmac_key),
            alg=HS256,
            nonce=None,
            url=url,
            kid=account.key_id,
        )
        body: dict[str, Any] = msgspec.json.decode(bound.json_dumps())
        return body


def new_account_key() -> SecretText:
    """Return a fresh key for an account, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return SecretText(pem.decode("ascii"))
