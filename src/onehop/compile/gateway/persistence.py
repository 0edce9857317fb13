"""Session persistence of a rule, as an annotation would say it (GEP-1619, SessionPersistence)."""

from typing import Final

import msgspec

from onehop.cluster.gateway_persistence import RoutePersistence
from onehop.compile.gateway.duration import seconds
from onehop.compile.gateway.unsupported import Unsupported
from onehop.compile.policy import Policy
from onehop.compile.value import is_token
from onehop.model.problem import quoted

_LIFETIMES: Final = ("Session", "Permanent")


def read_persistence(wanted: RoutePersistence | None, policy: Policy) -> Policy:
    """Return what the route's annotations say, with the persistence that the rule asks for.

    Nobody here remembers sessions: a client brings its own along, and only a cookie's end is said
    to it. So there is no idle timeout, and an absolute one for permanent cookies alone.

    Raises:
        Unsupported: a timeout would have to be kept here, or something is no name or duration.
    """
    if wanted is None:
        return policy
    if wanted.session_name is not None and not is_token(wanted.session_name):
        raise Unsupported(f"sessionPersistence.sessionName: {quoted(wanted.session_name)}")
    if wanted.idle_timeout is not None:
        raise Unsupported("sessionPersistence.idleTimeout: sessions are not remembered here")
    match wanted.type:
        case "Cookie":
            return msgspec.structs.replace(
                policy,
                persistence="cookie",
                persistence_cookie=wanted.session_name or policy.persistence_cookie,
                persistence_cookie_ttl=_cookie_ttl_s(wanted),
            )
        case "Header":
            if wanted.absolute_timeout is not None or wanted.cookie_config is not None:
                what = "a header has no end: absoluteTimeout and cookieConfig are a cookie's"
                raise Unsupported(f"sessionPersistence: {what}")
            name = (wanted.session_name or policy.persistence_header or "").lower()
            return msgspec.structs.replace(
                policy, persistence="header", persistence_header=name or None
            )
        case _:
            raise Unsupported(f"sessionPersistence.type {quoted(wanted.type)} is not served")


def _cookie_ttl_s(wanted: RoutePersistence) -> float | None:
    """Return the lifetime of a cookie; None ends it with the browser.

    "When set to "Permanent", AbsoluteTimeout indicates the cookie's lifetime via the Expires or
    Max-Age cookie attributes and is required. When set to "Session", AbsoluteTimeout indicates the
    absolute lifetime of the cookie tracked by the gateway and is optional"
    (CookieConfig.LifetimeType).
    """
    lifetime = wanted.cookie_config.lifetime_type if wanted.cookie_config is not None else "Session"
    if lifetime not in _LIFETIMES:
        raise Unsupported(f"cookieConfig.lifetimeType {quoted(lifetime)} is not served")
    said = wanted.absolute_timeout
    if lifetime == "Session":
        if said is not None:
            what = "absoluteTimeout of a session cookie would have to be tracked here; with"
            raise Unsupported(f"sessionPersistence: {what} lifetimeType Permanent the browser does")
        return None
    if said is None:
        raise Unsupported("sessionPersistence: a Permanent cookie needs an absoluteTimeout")
    ttl_s = seconds(said)
    if not ttl_s or ttl_s < 1:
        raise Unsupported(f"sessionPersistence.absoluteTimeout: {quoted(said)} is not 1s or more")
    return ttl_s
