"""What a unit answers instead of what it was asked for, as exceptions with its own words.

The body of an error is `{"error_id", "error_text", "error_info"?}`; what is in front of the unit
may answer HTML, so nothing is taken for granted.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from onehop.base.errors import DriverUnavailable, RejectedError
from onehop.model.problem import quoted

_LONGEST: Final = 400
_TOO_LARGE: Final = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_URI_TOO_LONG)
"""About the object, whoever says it and however: it would be too large the next time, too."""

_NOT_ITS_FAULT: Final = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
)


def fault_of(doing: str, status: int, body: bytes) -> DriverUnavailable | RejectedError:
    """Return what an answer of 3xx, 4xx or 5xx means.

    Only a 4xx with the unit's own JSON is about the object, or one that finds it too large.
    Missing rights, haste, and what a proxy says are about neither this object nor another, and
    worth another try.
    """
    said = _decoded(body)
    if said is None:
        excerpt = quoted(body[:_LONGEST].decode("utf-8", "replace"))
        kind = RejectedError if status in _TOO_LARGE else DriverUnavailable
        return kind(f"{doing}: {status}, and not in JSON: {excerpt}")
    message = f"{doing}: {status}: {_in_words(said)}"
    is_about_object = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if is_about_object and status not in _NOT_ITS_FAULT:
        return RejectedError(message)
    return DriverUnavailable(message)


def _decoded(body: bytes) -> Mapping[str, Any] | None:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return said if isinstance(said, dict) and "error_id" in said else None


def _in_words(said: Mapping[str, Any]) -> str:
    """Return the identifier, the text, and every fault below `error_info` with its place."""
    details = "; ".join(_details(said.get("error_info"), ()))
    text = f"{said.get('error_id')}: {said.get('error_text', '')}"
    return f"{text} ({details})"[:_LONGEST] if details else text[:_LONGEST]


def _details(info: Any, place: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(info, dict):
        return
    if isinstance(info.get("error_id"), str):
        yield f"{'.'.join(place)}: {info['error_id']}: {info.get('error_text', '')}"
        return
    for name, inner in info.items():
        yield from _details(inner, (*place, str(name)))
