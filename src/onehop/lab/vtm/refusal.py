"""Answers that say no, in the unit's form."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


class Refused(Exception):  # noqa: N818  named like the answer
    """A call that is not carried out.

    Args:
        status: of HTTP.
        error_id: as `resource.not_found`.
        text: for people.
        info: below `error_info`; None leaves it out.
    """

    def __init__(
        self,
        status: HTTPStatus,
        error_id: str,
        text: str,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.body: dict[str, Any] = {"error_id": error_id, "error_text": text}
        if info is not None:
            self.body["error_info"] = info


def not_found(path: str) -> Refused:
    """Return the 404 of a path."""
    return Refused(HTTPStatus.NOT_FOUND, "resource.not_found", f"Resource '{path}' does not exist")


def invalid(info: Mapping[str, Any]) -> Refused:
    """Return the 400 that holds every fault of an object."""
    text = "The resource provided is invalid"
    return Refused(HTTPStatus.BAD_REQUEST, "resource.validation_error", text, info)


def fault(error_id: str, text: str) -> dict[str, str]:
    """Return one fault, as it stands below its field."""
    return {"error_id": error_id, "error_text": text}
