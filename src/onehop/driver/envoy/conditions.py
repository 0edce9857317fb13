"""What a request must be besides its host and path."""

from typing import Any

from onehop.model.route import Conditions


def header_matches(when: Conditions) -> list[dict[str, Any]]:
    """Return the HeaderMatchers; the method is a header to Envoy."""
    method = ((":method", when.method),) if when.method is not None else ()
    pairs = (*method, *when.headers)
    return [{"name": name, "string_match": {"exact": value}} for name, value in pairs]


def query_matches(when: Conditions) -> list[dict[str, Any]]:
    """Return the QueryParameterMatchers."""
    return [{"name": name, "string_match": {"exact": value}} for name, value in when.queries]
