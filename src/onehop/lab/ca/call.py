"""A request whose signature, nonce and URL were checked, and the answer to it, as plain values."""

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec
from josepy.jwk import JWK

from onehop.lab.ca.book import Account
from onehop.lab.ca.refusal import malformed

T = TypeVar("T")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and by whom.

    Attributes:
        base: what URLs begin with, as the client knows the CA: `https://HOST:PORT`.
        path: after that.
        parts: what the path names, by place.
        payload: empty for POST-as-GET (RFC 8555, section 6.3).
        key: that signed it; None for what needs no signature.
        signer: the key's account; None if it was signed by a key that stands in the request.
    """

    base: str
    path: str
    parts: Mapping[str, str]
    payload: bytes = b""
    key: JWK | None = None
    signer: Account | None = None

    @property
    def account(self) -> Account:
        """The account that asks: newAccount and revocations alone need none (section 6.2)."""
        if self.signer is None:
            raise malformed("this has to be signed by an account: kid, not jwk")
        return self.signer

    def read(self, kind: type[T]) -> T:
        """Decode the payload; refuse what is wrong, with the path of the field."""
        try:
            return msgspec.json.decode(self.payload, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise malformed(str(err)) from err


class Reply(msgspec.Struct, frozen=True):
    """What is answered.

    Attributes:
        body: bytes go out as a certificate chain; anything else but None as JSON.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})


def stamp(seconds: float) -> str:
    """Return a time as RFC 3339 writes it, in UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat().replace("+00:00", "Z")
