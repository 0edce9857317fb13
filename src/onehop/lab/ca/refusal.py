"""No, in the words of ACME: problem documents (RFC 7807 with RFC 8555, section 6.7)."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from onehop.acme.refusal import ACME_ERRORS


class Refused(Exception):  # noqa: N818  an answer, not an error of ours
    """A request that is not granted, or a host that is not proven.

    Attributes:
        kind: what follows `urn:ietf:params:acme:error:`.
        detail: for people.
        members: more of the document, such as `algorithms` or `identifier`.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
        headers: Mapping[str, str] = MappingProxyType({}),
        **members: Any,
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.status = status
        self.headers = headers
        self.members = members

    def document(self) -> dict[str, Any]:
        """Return the problem document."""
        return {
            "type": f"{ACME_ERRORS}{self.kind}",
            "detail": self.detail,
            "status": int(self.status),
            **self.members,
        }


def malformed(detail: str) -> Refused:
    """Return the refusal of what no ACME client should have sent."""
    return Refused("malformed", detail)


def unauthorized(detail: str) -> Refused:
    """Return the refusal of what this account, or this key, may not do."""
    return Refused("unauthorized", detail, status=HTTPStatus.FORBIDDEN)


def missing(what: str) -> Refused:
    """Return a 404."""
    return Refused("malformed", f"there is no such {what}", status=HTTPStatus.NOT_FOUND)
