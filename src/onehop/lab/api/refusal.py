"""What the API refuses, and how it says so.

A refusal is an exception inside this package and a `Status` object on the wire, with the texts of
the real API server, because people and programs match on them: apimachinery
`pkg/api/errors/errors.go` and `pkg/util/validation/field/errors.go`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

Json = dict[str, Any]


class FieldFault(msgspec.Struct, frozen=True):
    """One wrong field of an object somebody wrote.

    Attributes:
        field: path such as `spec.ports[0].nodePort`.
        reason: a `CauseType` of metav1, for example `FieldValueRequired`.
        message: the text after the field.
    """

    field: str
    reason: str
    message: str


def required(field: str, detail: str = "") -> FieldFault:
    """Return the fault of a field that must be there and is not."""
    return FieldFault(field, "FieldValueRequired", _with_detail("Required value", detail))


def invalid(field: str, value: object, detail: str) -> FieldFault:
    """Return the fault of a field whose value makes no sense."""
    return FieldFault(
        field, "FieldValueInvalid", _with_detail(f"Invalid value: {_quoted(value)}", detail)
    )


def unsupported(field: str, value: object, supported: Iterable[str]) -> FieldFault:
    """Return the fault of a field whose value is not one of a closed list."""
    known = ", ".join(f'"{each}"' for each in sorted(supported))
    message = f"Unsupported value: {_quoted(value)}: supported values: {known}"
    return FieldFault(field, "FieldValueNotSupported", message)


def forbidden(field: str, detail: str) -> FieldFault:
    """Return the fault of a field that may not be set, or not be changed, here."""
    return FieldFault(field, "FieldValueForbidden", _with_detail("Forbidden", detail))


def duplicate(field: str, value: object) -> FieldFault:
    """Return the fault of a value that occurs twice where it must be unique."""
    return FieldFault(field, "FieldValueDuplicate", f"Duplicate value: {_quoted(value)}")


def too_long(field: str, most: int) -> FieldFault:
    """Return the fault of a field that holds more bytes than it may."""
    return FieldFault(field, "FieldValueTooLong", f"Too long: may not be more than {most} bytes")


class Refused(Exception):  # noqa: N818  it is an answer, not a breakdown
    """A request that the API answers with a `Status` of failure.

    Attributes:
        code: the HTTP status.
        status: the `Status` object, ready to be encoded.
        retry_after_s: the value of the Retry-After header, or None.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Json | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s
        self.status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }
        if details:
            self.status["details"] = details


def not_found(name: str, *, plural: str, group: str) -> Refused:
    """404: there is no such object."""
    details = _details(name, plural, group)
    return Refused(
        404, "NotFound", f'{_qualified(plural, group)} "{name}" not found', details=details
    )


def no_such_path() -> Refused:
    """404: this server has no such resource."""
    return Refused(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(name: str, *, plural: str, group: str) -> Refused:
    """409: an object of this name is there already."""
    details = _details(name, plural, group)
    message = f'{_qualified(plural, group)} "{name}" already exists'
    return Refused(409, "AlreadyExists", message, details=details)


def conflict(name: str, why: str, *, plural: str, group: str) -> Refused:
    """409: somebody wrote in between."""
    message = f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {why}'
    return Refused(409, "Conflict", message, details=_details(name, plural, group))


def unprocessable(name: str, faults: Sequence[FieldFault], *, kind: str, group: str) -> Refused:
    """422: the object is wrong, field by field."""
    texts = [f"{fault.field}: {fault.message}" for fault in faults]
    told = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes = [
        {"reason": fault.reason, "message": fault.message, "field": fault.field} for fault in faults
    ]
    details = _details(name, kind, group) | {"causes": causes}
    qualified = f"{kind}.{group}" if group else kind
    message = f'{qualified} "{name}" is invalid: {told}'
    return Refused(422, "Invalid", message, details=details)


def bad_request(message: str) -> Refused:
    """400: the request itself makes no sense."""
    return Refused(400, "BadRequest", message)


def expired(message: str, *, fresh_continue: str = "") -> Refused:
    """410: the revision asked for is no longer known.

    Args:
        message: what was asked for.
        fresh_continue: a token that goes on from the same key in the newest state; only lists.
    """
    refused = Refused(410, "Expired", message)
    if fresh_continue:
        refused.status["metadata"] = {"continue": fresh_continue}
    return refused


def not_allowed(verb: str, *, plural: str, group: str, user: str) -> Refused:
    """403: the rule hook says no."""
    message = (
        f'{_qualified(plural, group)} is forbidden: User "{user}" cannot {verb} resource '
        f'"{plural}" in API group "{group}"'
    )
    return Refused(403, "Forbidden", message, details=_details("", plural, group))


def _qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(name: str, kind: str, group: str) -> Json:
    told = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in told.items() if value}


def _with_detail(message: str, detail: str) -> str:
    return f"{message}: {detail}" if detail else message


def _quoted(value: object) -> str:
    if value is None:
        return "null"
    return msgspec.json.encode(value).decode()
