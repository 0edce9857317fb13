"""Signed requests: JSON Web Signatures as RFC 8555 (section 6.2) wants them, and nothing else."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.b64 import b64decode
from josepy.errors import Error as JoseError
from josepy.jwa import ES256, ES384, ES512, HS256, RS256, JWASignature
from josepy.jwk import JWK, JWKEC, JWKRSA, JWKOct

from onehop.lab.ca.refusal import Refused, malformed

_ALGORITHMS: Final = ("ES256", "ES384", "ES512", "RS256")
_SMALLEST_RSA: Final = 2048


class Header(msgspec.Struct, frozen=True):
    """The protected header (section 6.2).

    Attributes:
        jwk: the key itself, for newAccount, and for a revocation by the certificate's key.
        kid: the account's URL, for everything else.
    """

    alg: str
    url: str
    nonce: str = ""
    jwk: dict[str, Any] | None = None
    kid: str | None = None
    crit: tuple[str, ...] = ()


class Signed(msgspec.Struct, frozen=True):
    """A signed body, taken apart but not believed yet."""

    header: Header
    payload: bytes
    signature: bytes
    covered: bytes

    def check(self, key: JWK) -> None:
        """Refuse a signature that is not this key's."""
        algorithm = _algorithm_of(key)
        if self.header.alg != algorithm.name:
            raise _bad_algorithm(f"this key signs by {algorithm.name}, not {self.header.alg}")
        if not _holds(algorithm, key, self.covered, self.signature):
            raise malformed("the signature is not that of the key")

    def key(self) -> JWK:
        """Return the key that the header holds."""
        try:
            return _public_key(self.header.jwk)
        except ValueError as err:
            raise Refused("badPublicKey", f"the header's jwk: {err}") from err


class _Flattened(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The flattened JSON serialization (RFC 7515, section 7.2.2), without an unprotected header."""

    protected: str
    payload: str
    signature: str


def read_signed(body: bytes) -> Signed:
    """Take a body apart; refuse what is no JWS for ACME."""
    try:
        flat = msgspec.json.decode(body, type=_Flattened)
        header = msgspec.json.decode(b64decode(flat.protected), type=Header)
        payload, signature = b64decode(flat.payload), b64decode(flat.signature)
    except (msgspec.DecodeError, UnicodeError, ValueError) as err:
        raise malformed(f"the body is not a signed request: {err}") from err
    if header.crit:
        raise malformed(f"the header wants what we do not know: {', '.join(header.crit)}")
    if header.alg not in _ALGORITHMS:
        raise _bad_algorithm(f"{header.alg!r} is not taken here")
    if (header.jwk is None) == (header.kid is None):
        raise malformed("a request names its key by either jwk or kid")
    covered = f"{flat.protected}.{flat.payload}".encode("ascii")
    return Signed(header, payload, signature, covered)


def read_binding(binding: dict[str, Any], key: JWK, *, url: str, keys: Mapping[str, str]) -> str:
    """Return the customer's key id in an external account binding (RFC 8555, section 7.3.4).

    Args:
        binding: as it stands in newAccount.
        key: the account's, which the binding has to be about.
        url: of newAccount, which it has to be for.
        keys: HMAC keys in base64url by key id.
    """
    try:
        flat = msgspec.convert(binding, _Flattened)
        header = msgspec.json.decode(b64decode(flat.protected), type=Header)
        bound = _public_key(msgspec.json.decode(b64decode(flat.payload)))
        signature = b64decode(flat.signature)
    except (msgspec.DecodeError, ValueError) as err:
        raise malformed(f"externalAccountBinding is not a signed key: {err}") from err
    hmac_key = keys.get(header.kid or "")
    if header.alg != HS256.name or header.nonce or header.url != url or hmac_key is None:
        raise malformed("externalAccountBinding: wrong alg, nonce, url or kid")
    covered = f"{flat.protected}.{flat.payload}".encode("ascii")
    if not _holds(HS256, JWKOct(key=b64decode(hmac_key)), covered, signature):
        raise malformed("externalAccountBinding: the signature is not that of the key id")
    if bound != key:
        raise malformed("externalAccountBinding: it is about another key")
    return str(header.kid)


def _public_key(jwk: Any) -> JWK:
    """Return a key that may sign requests.

    Raises:
        ValueError: it is none; josepy says so in many ways.
    """
    try:
        key = JWK.from_json(jwk)
    except (JoseError, KeyError, TypeError, AttributeError) as err:
        raise ValueError(f"it is not a key: {err}") from err
    if not isinstance(key, JWKEC | JWKRSA):
        raise ValueError("it is neither RSA nor elliptic-curve")  # noqa: TRY004  text from outside
    return key.public_key()


def _algorithm_of(key: JWK) -> JWASignature:
    """Return the one algorithm for a kind of key (RFC 7518, sections 3.3 and 3.4)."""
    match key:
        case JWKEC():
            match key.key.curve:
                case ec.SECP256R1():
                    return ES256
                case ec.SECP384R1():
                    return ES384
                case _:
                    return ES512
        case JWKRSA() if key.key.key_size >= _SMALLEST_RSA:
            return RS256
        case _:
            raise Refused("badPublicKey", "a key is RSA of 2048 bits at least, or elliptic-curve")


def _holds(algorithm: JWASignature, key: JWK, covered: bytes, signature: bytes) -> bool:
    return bool(algorithm.verify(key.key, covered, signature))


def _bad_algorithm(detail: str) -> Refused:
    return Refused("badSignatureAlgorithm", detail, algorithms=_ALGORITHMS)
