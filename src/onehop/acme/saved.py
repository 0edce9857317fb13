"""What outlives the process: an account per issuer, and per Secret what is under way.

One record per Secret, written as a whole. Its writes are the engine's only memory: what is not in
them, the CA knows.
"""

from typing import Final

import msgspec

from onehop.acme.quota import Deed
from onehop.model.certificate import SecretText

_VERSION: Final = 1


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Our account at a CA.

    Attributes:
        directory: whose account it is.
        url: None until the CA has said; the same key gives the same account again.
        contact: what the CA was told.
    """

    directory: str
    key_pem: SecretText
    url: str | None = None
    contact: str | None = None


class SavedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order under way, and the key of the certificate it will bring.

    Attributes:
        url: None while the CA's answer to newOrder has been lost: the order may exist.
        directory: whose order it is.
        key_pem: made with the order, kept until the certificate is stored.
    """

    url: str | None
    directory: str
    hosts: tuple[str, ...]
    key_type: str
    key_pem: SecretText
    placed_at: float


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """When the CA would like a certificate to be renewed (RFC 9773, section 4.2).

    Attributes:
        certificate: the id that it was asked with (section 4.1).
        ask_again_at: not before then.
        start: None where the CA has no such window for it; so is `end`.
        explanation: a page to read, or empty.
    """

    certificate: str
    ask_again_at: float
    start: float | None = None
    end: float | None = None
    explanation: str = ""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong last, and how often in a row.

    Attributes:
        hosts: of the wish that failed: another set of hosts begins anew.
        retry_at: not before then, unless somebody who mended something says so.
        not_before: the CA's own word (`Retry-After`), which nobody overrules.
    """

    hosts: tuple[str, ...]
    failures: int
    retry_at: float
    not_before: float = 0.0
    said: str
    advice: str = ""


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is remembered for one Secret.

    Attributes:
        directory: of the CA that issued what is in the Secret; None if we do not know.
        deeds: what the CA counts, for as long as it does.
    """

    version: int = _VERSION
    order: SavedOrder | None = None
    trouble: Trouble | None = None
    window: Window | None = None
    directory: str | None = None
    deeds: tuple[Deed, ...] = ()


def encode_saved(saved: Saved) -> bytes:
    """Return a record as bytes for a Secret: it holds a private key."""
    return msgspec.json.encode(saved)


def decode_saved(data: bytes) -> Saved | None:
    """Return a record, or None if it is broken or of a later version: then all begins anew."""
    try:
        saved = msgspec.json.decode(data, type=Saved)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return saved if saved.version == _VERSION else None


def encode_account(account: Account) -> bytes:
    """Return an account as bytes for a Secret: it holds a private key."""
    return msgspec.json.encode(account)


def decode_account(data: bytes) -> Account | None:
    """Return an account, or None if it is broken: then another one is made."""
    try:
        return msgspec.json.decode(data, type=Account)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
