"""Sessions that stay with their endpoint (GEP-1619), by Envoy's stateful session filter.

The filter is configured on the route, though the persistence belongs to the pool: the route asks
for its pools' persistence when it is rendered. Persistence by source address is none of it; that
is a matter of hashing (`cluster`).
"""

from typing import Any, Final, assert_never

from onehop.driver.envoy.proto import (
    CookieBasedSessionState,
    HeaderBasedSessionState,
    StatefulSessionPerRoute,
    any_of,
    duration,
    extension,
)
from onehop.model.pool import (
    CookiePersistence,
    HeaderPersistence,
    Persistence,
    SourceIpPersistence,
)

SESSION_FILTER: Final = "envoy.filters.http.stateful_session"


def render_persistence(persistence: Persistence | None) -> dict[str, Any]:
    """Return the entry of `typed_per_filter_config`, or nothing.

    A session whose endpoint is gone gets another one: the filter is not strict.
    """
    match persistence:
        case None | SourceIpPersistence():
            return {}
        case CookiePersistence():
            state = extension("envoy.http.stateful_session.cookie", _cookie(persistence))
        case HeaderPersistence(name=name):
            state = extension(
                "envoy.http.stateful_session.header", HeaderBasedSessionState(name=name)
            )
        case _:
            assert_never(persistence)
    config = StatefulSessionPerRoute(stateful_session={"session_state": state})
    return {SESSION_FILTER: any_of(config)}


def _cookie(persistence: CookiePersistence) -> Any:
    """Return the cookie's shape; Envoy always sets HttpOnly on it."""
    attributes: list[dict[str, str]] = []
    if persistence.secure:
        attributes.append({"name": "Secure"})
    if persistence.same_site:
        attributes.append({"name": "SameSite", "value": persistence.same_site})
    cookie: dict[str, Any] = {
        "name": persistence.name,
        "path": persistence.path,
        "attributes": attributes,
    }
    if persistence.ttl_s is not None:
        cookie["ttl"] = duration(persistence.ttl_s)
    return CookieBasedSessionState(cookie=cookie)
