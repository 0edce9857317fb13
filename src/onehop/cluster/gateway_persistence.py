"""Session persistence of route rules (GEP-1619, experimental channel)."""

import msgspec


class CookieConfig(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """How long the cookie lives: `Session`, or `Permanent` until the absolute timeout."""

    lifetime_type: str = "Session"


class RoutePersistence(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """How clients stay with the backend that they had (`SessionPersistence`).

    Attributes:
        session_name: of the cookie or header; None leaves it to us.
        type: `Cookie` or `Header`.
        absolute_timeout: a duration by GEP-2257, from the first request.
        idle_timeout: a duration by GEP-2257, from the last request.
    """

    session_name: str | None = None
    absolute_timeout: str | None = None
    idle_timeout: str | None = None
    type: str = "Cookie"
    cookie_config: CookieConfig | None = None
