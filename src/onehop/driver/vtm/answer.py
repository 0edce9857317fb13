"""What a rule answers by itself, as a statement of TrafficScript."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from onehop.driver.vtm.quote import quoted

LINE_END: Final = "\r\n"
"""What stands between the headers of an answer (`http.sendResponse`)."""

_PHRASES: Final = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""RFC 9110's names; Python's depend on its version, and rules must not."""


def send(
    status: int, body: str = "", headers: Iterable[tuple[str, str]] = (), *, further: str = ""
) -> str:
    """Return the statement that answers the request and ends the rule.

    More headers, each after a line end, are the value of `further`, an expression; never alone.
    """
    fields = quoted(LINE_END.join(f"{name}: {value}" for name, value in headers))
    return answer(status, f"{fields} . {further}" if further else fields, quoted(body))


def answer(status: int, fields: str, body: str = '""') -> str:
    """Return the same, of expressions."""
    code = quoted(f"{status} {_phrase(status)}")
    return f'http.sendResponse( {code}, "text/plain", {body}, {fields} );'


def _phrase(status: int) -> str:
    if status in _PHRASES:
        return _PHRASES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Answer"
