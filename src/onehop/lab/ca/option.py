"""How a test CA is set up."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

DAY_S: Final = 86_400.0


class Profile(msgspec.Struct, frozen=True):
    """A kind of certificate to choose in an order (draft-ietf-acme-profiles).

    Attributes:
        says: what the directory says of it.
    """

    says: str
    lifetime_s: float


class CaOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where a CA listens, where it looks, and what it issues.

    Attributes:
        port: where it listens on `host`; 0 for any free one.
        names: more names and addresses under which its own server is known to clients.
        target: the address that every host is taken to resolve to. A real CA asks DNS.
        http_port: where http-01 is validated at the target; a real CA takes 80.
        tls_port: where tls-alpn-01 is; a real CA takes 443.
        lifetime_s: of certificates; short ones let renewals be watched.
        renew_at: the share of the lifetime at which the window of RFC 9773 opens and closes.
        ask_again_s: after which a client may ask about its window again; clients take less than
            a minute as that (RFC 9773, section 4.3.2).
        profiles: by name; an order that names none gets `lifetime_s`.
        external_accounts: HMAC keys in base64url by key id; if there are any, every account needs
            one (RFC 8555, section 7.3.4).
        patience_s: for the answer to a validation.
    """

    host: str = "127.0.0.1"
    port: int = 0
    names: tuple[str, ...] = ("localhost",)
    target: str = "127.0.0.1"
    http_port: int = 80
    tls_port: int = 443
    lifetime_s: float = 90 * DAY_S
    renew_at: tuple[float, float] = (0.6, 0.7)
    ask_again_s: float = 60.0
    profiles: Mapping[str, Profile] = MappingProxyType({})
    external_accounts: Mapping[str, str] = MappingProxyType({})
    patience_s: float = 10.0

    def __post_init__(self) -> None:
        opens, closes = self.renew_at
        if not 0 < opens <= closes < 1:
            raise ValueError(f"renew_at: 0 < {opens} <= {closes} < 1 does not hold")
