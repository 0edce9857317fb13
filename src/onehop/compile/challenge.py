"""Answers to CAs that look just now, as all hosts of the load balancer share them: in one Secret.

The host that orders certificates writes them; every host reads them, this one too, and answers
accordingly. One entry of the Secret is one answer.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import msgspec


class HttpChallenge(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="http-01"):
    """The answer to `GET http://HOST/.well-known/acme-challenge/TOKEN` (RFC 8555, section 8.3)."""

    host: str
    token: str
    body: str


class AlpnChallenge(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tls-alpn-01"):
    """The certificate for a client with ALPN `acme-tls/1` and SNI HOST (RFC 8737).

    Attributes:
        key_pem: proves nothing but this one challenge; it is a secret all the same.
    """

    host: str
    chain_pem: str
    key_pem: str

    def __repr__(self) -> str:
        return f"AlpnChallenge({self.host!r})"


Challenge: TypeAlias = HttpChallenge | AlpnChallenge

CHALLENGE_PATH: Final = "/.well-known/acme-challenge/"
# RFC 8555, section 8.3: base64url without padding. The length is ours.
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")

_DECODER: Final[msgspec.json.Decoder[Challenge]] = msgspec.json.Decoder(Challenge)


def entry_of(challenge: Challenge) -> str:
    """Return the name of a challenge's entry: the same challenge has the same."""
    return hashlib.sha256(msgspec.json.encode(challenge)).hexdigest()[:32]


def encode_challenges(challenges: Iterable[Challenge]) -> dict[str, bytes]:
    """Return the data of the Secret."""
    return {entry_of(each): msgspec.json.encode(each) for each in challenges}


def decode_challenges(data: Mapping[str, bytes]) -> tuple[Challenge, ...]:
    """Return the challenges of the Secret in a fixed order, without entries that make no sense."""
    found: list[Challenge] = []
    for _, raw in sorted(data.items()):
        try:
            found.append(_DECODER.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # of a later version, or damaged: it answers nothing
    return tuple(found)
