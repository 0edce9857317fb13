"""What a CA has written down: accounts, orders, authorizations, certificates. All in memory.

A status that follows from others is not kept but derived when somebody asks: an order cannot
contradict its authorizations.
"""

import secrets
from typing import Final, Literal, Protocol, TypeVar

import msgspec
from cryptography import x509
from josepy.b64 import b64encode
from josepy.jwk import JWK

from onehop.acme.protocol.wire import AuthorizationStatus, ChallengeStatus, OrderStatus
from onehop.lab.ca.refusal import Refused, missing

ChallengeType = Literal["http-01", "tls-alpn-01"]
CHALLENGES: Final[tuple[ChallengeType, ...]] = ("http-01", "tls-alpn-01")


class _Owned(Protocol):
    account: str


T = TypeVar("T", bound=_Owned)


class Account(msgspec.Struct, kw_only=True):
    """Who may order (RFC 8555, section 7.1.2).

    Attributes:
        external: the key id of the customer's account that it is bound to, if any.
    """

    id: str
    key: JWK
    contact: tuple[str, ...]
    external: str | None = None
    is_active: bool = True


class Challenge(msgspec.Struct, kw_only=True):
    """One way to prove a host (section 7.1.5)."""

    type: ChallengeType
    token: str
    status: ChallengeStatus = ChallengeStatus.PENDING
    validated_at: float | None = None
    error: Refused | None = None


class Authorization(msgspec.Struct, kw_only=True):
    """What an account has proven of a host (section 7.1.4)."""

    id: str
    account: str
    host: str
    expires_at: float
    challenges: tuple[Challenge, ...]
    is_deactivated: bool = False

    def status(self, now: float) -> AuthorizationStatus:
        """Return what follows from its challenges and the time (section 7.1.6)."""
        if self.is_deactivated:
            return AuthorizationStatus.DEACTIVATED
        states = {challenge.status for challenge in self.challenges}
        if ChallengeStatus.INVALID in states:
            return AuthorizationStatus.INVALID
        is_valid = ChallengeStatus.VALID in states
        if now >= self.expires_at:
            return AuthorizationStatus.EXPIRED if is_valid else AuthorizationStatus.INVALID
        return AuthorizationStatus.VALID if is_valid else AuthorizationStatus.PENDING


class Order(msgspec.Struct, kw_only=True):
    """A certificate on its way (section 7.1.3).

    Attributes:
        replaces: the certificate that it renews (RFC 9773, section 5).
        certificate: its id, once it is issued.
    """

    id: str
    account: str
    hosts: tuple[str, ...]
    authorizations: tuple[Authorization, ...]
    expires_at: float
    profile: str | None = None
    replaces: str | None = None
    certificate: str | None = None

    def status(self, now: float) -> OrderStatus:
        """Return what follows from its authorizations and the time (section 7.1.6)."""
        if self.certificate is not None:
            return OrderStatus.VALID
        states = {each.status(now) for each in self.authorizations}
        if now >= self.expires_at or not states <= _HOPEFUL:
            return OrderStatus.INVALID
        is_proven = states == {AuthorizationStatus.VALID}
        return OrderStatus.READY if is_proven else OrderStatus.PENDING


_HOPEFUL: Final = {AuthorizationStatus.PENDING, AuthorizationStatus.VALID}


class Issued(msgspec.Struct, kw_only=True):
    """A certificate, and what became of it.

    Attributes:
        id: as RFC 9773 (section 4.1) knows it.
        chain_pem: with the intermediate, without the root.
        revoked: the reason (RFC 5280, section 5.3.1); None while it is good.
        successor: the order that replaces it.
    """

    id: str
    account: str
    leaf: x509.Certificate
    chain_pem: str
    revoked: int | None = None
    successor: str | None = None


class Book:
    """Everything that is written down, by id."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.orders: dict[str, Order] = {}
        self.authorizations: dict[str, Authorization] = {}
        self.issued: dict[str, Issued] = {}
        self._by_key: dict[str, Account] = {}

    def enrol(self, account: Account) -> None:
        """Write down an account."""
        self.accounts[account.id] = account
        self._by_key[thumbprint(account.key)] = account

    def account_of(self, key: JWK) -> Account | None:
        """Return the account that a key is known by."""
        return self._by_key.get(thumbprint(key))

    def orders_of(self, account: str) -> tuple[Order, ...]:
        """Return an account's orders, oldest first."""
        return tuple(order for order in self.orders.values() if order.account == account)


def thumbprint(key: JWK) -> str:
    """Return SHA-256 of a public key (RFC 7638), base64url."""
    return str(b64encode(key.thumbprint()).decode("ascii"))


def new_id() -> str:
    """Return an id that nobody guesses: 96 random bits."""
    return secrets.token_urlsafe(12)


def owned(found: T | None, account: str, what: str) -> T:
    """Return something that is this account's; others are not even told that it exists."""
    if found is None or found.account != account:
        raise missing(what)
    return found
