"""What pages of other origins may do, by Envoy's CORS filter.

It answers preflights itself, and writes the origin that asked into other answers. A preflight has a
method of its own, OPTIONS, and says by a header which one it is about: so a route that takes one
method alone becomes two.
"""

import re
from typing import Any, Final

from onehop.driver.envoy.proto import CorsPolicy, any_of
from onehop.model.route import Conditions, Cors

CORS_FILTER: Final = "envoy.filters.http.cors"


def render_cors(cors: Cors | None) -> dict[str, Any]:
    """Return the entry of `typed_per_filter_config`, or nothing."""
    if cors is None:
        return {}
    policy = CorsPolicy(
        allow_origin_string_match=[_origin(origin) for origin in cors.origins],
        allow_methods=", ".join(cors.methods),
        allow_headers=", ".join(cors.headers),
        expose_headers=", ".join(cors.exposed),
        max_age=str(cors.max_age_s),
        allow_credentials={"value": cors.credentials},
    )
    return {CORS_FILTER: any_of(policy)}


def preflight_matches(when: Conditions) -> list[dict[str, Any]]:
    """Return the headers by which a browser asks whether it may use a method."""
    return [
        {"name": ":method", "string_match": {"exact": "OPTIONS"}},
        {"name": "access-control-request-method", "string_match": {"exact": when.method}},
    ]


def _origin(origin: str) -> dict[str, Any]:
    """Return a StringMatcher; `*` alone is Envoy's word for all."""
    if origin == "*" or "*" not in origin:
        return {"exact": origin}
    scheme, _, host = origin.partition("://")
    rest = re.escape(host.removeprefix("*"))
    return {"safe_regex": {"regex": rf"{scheme}://[^/:]+{rest}"}}
