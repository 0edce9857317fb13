"""The CA's objects as they are on the wire (RFC 8555, section 7.1; RFC 9773, section 4.2).

Only what is read is decoded. A status that no RFC knows fails to decode: better no certificate
than a guess.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from onehop.acme.refusal import ProblemDocument


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    """What a CA says of itself."""

    external_account_required: bool = False
    caa_identities: tuple[str, ...] = ()
    profiles: dict[str, str] = msgspec.field(default_factory=dict)


class Directory(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Where a CA takes what (RFC 8555, section 7.1.1).

    Attributes:
        renewal_info: None where the CA knows nothing of RFC 9773.
    """

    new_nonce: str
    new_account: str
    new_order: str
    revoke_cert: str
    renewal_info: str | None = None
    meta: Meta = Meta()


class OrderStatus(StrEnum):
    """RFC 8555, section 7.1.6."""

    PENDING = "pending"
    READY = "ready"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


class AuthorizationStatus(StrEnum):
    """RFC 8555, section 7.1.6."""

    PENDING = "pending"
    VALID = "valid"
    INVALID = "invalid"
    DEACTIVATED = "deactivated"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ChallengeStatus(StrEnum):
    """RFC 8555, section 7.1.6."""

    PENDING = "pending"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


class Identifier(msgspec.Struct, frozen=True):
    """A host, without the `*.` of a wildcard where it is an authorization's."""

    value: str
    type: str = "dns"


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """One way to prove a host. Types of challenges that we do not know may lack a token."""

    type: str
    url: str
    status: ChallengeStatus
    token: str = ""
    error: ProblemDocument | None = None


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """The CA's mind about a host.

    Attributes:
        url: not on the wire: where it was read.
    """

    identifier: Identifier
    status: AuthorizationStatus
    challenges: tuple[Challenge, ...]
    wildcard: bool = False
    url: str = ""

    @property
    def host(self) -> str:
        """The host as it is in the order."""
        return f"*.{self.identifier.value}" if self.wildcard else self.identifier.value


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate on its way.

    Attributes:
        url: not in the body: the Location of the answer, or where it was read.
        certificate: once the order is valid.
    """

    status: OrderStatus
    identifiers: tuple[Identifier, ...]
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str | None = None
    error: ProblemDocument | None = None
    url: str = ""

    @property
    def hosts(self) -> tuple[str, ...]:
        """What it is for, sorted."""
        return tuple(sorted({identifier.value.lower() for identifier in self.identifiers}))


class OrderList(msgspec.Struct, frozen=True):
    """One page of an account's orders (RFC 8555, section 7.1.2.1)."""

    orders: tuple[str, ...] = ()


class AccountBody(msgspec.Struct, frozen=True):
    """An account (RFC 8555, section 7.1.2); `orders` is missing at CAs that keep no such list."""

    status: str
    orders: str | None = None


class _SuggestedWindow(msgspec.Struct, frozen=True):
    start: datetime
    end: datetime


class RenewalInfo(msgspec.Struct, frozen=True, rename="camel"):
    """When a CA would like a certificate to be renewed."""

    suggested_window: _SuggestedWindow
    explanation_url: str = msgspec.field(default="", name="explanationURL")
