"""The one place where answers and failures of the API server become `base.errors`.

Codes: https://kubernetes.io/docs/reference/using-api/api-concepts/ and the API conventions,
"HTTP Status codes". An in-stream ERROR event carries the same Status with the same codes.
"""

import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final

import aiohttp
import msgspec

from onehop.base.errors import (
    KubeConflict,
    KubeForbidden,
    KubeGone,
    KubeNotFound,
    KubeUnavailable,
    OnehopError,
    RejectedError,
)

LONGEST_RETRY_AFTER_S: Final = 300.0
"""Nobody may silence us for longer than this by a header."""


class StatusDetails(msgspec.Struct, frozen=True, rename="camel"):
    """What a Status is about."""

    name: str = ""
    retry_after_seconds: int = 0


class Status(msgspec.Struct, frozen=True):
    """metav1.Status, the body of every refusal by a real API server."""

    kind: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None

    @property
    def names_object(self) -> bool:
        """True when an API server says that one object is not there.

        A proxy's 404 is no Status, and a server without the whole resource names no object.
        """
        named = self.details is not None and bool(self.details.name)
        return self.kind == "Status" and self.reason == "NotFound" and named


class ObjectAbsent(KubeNotFound):
    """A 404 in which the API server names the object that is not there.

    Only `Client.find` tells it from other 404s; to everybody else it is a KubeNotFound.
    """


NO_STATUS: Final = Status()
_STATUS: Final = msgspec.json.Decoder(Status)


def read_status(body: bytes | msgspec.Raw) -> Status:
    """Decode a Status; anything else (a proxy's page, half a body) is `NO_STATUS`."""
    try:
        return _STATUS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return NO_STATUS


def fault_of(doing: str, code: int, status: Status, headers: Mapping[str, str]) -> OnehopError:
    """Return the exception that says why the server did not do it.

    Args:
        doing: what we asked for, as in "list EndpointSlice".
        code: the HTTP status, or the code of an in-stream Status.
        status: the decoded body, `NO_STATUS` when there was none.
        headers: for Retry-After (RFC 9110, section 10.2.3), in its form of delay-seconds.
    """
    text = f"{doing}: the API server answered {code}"
    if status.message:
        text += f" ({status.message})"
    match code:
        case 401 | 403:
            return KubeForbidden(text)
        case 404:
            return ObjectAbsent(text) if status.names_object else KubeNotFound(text)
        case 409:
            return KubeConflict(text)
        case 410:
            return KubeGone(text)
        case 408 | 429:
            return KubeUnavailable(text, retry_after_s=_retry_after_s(status, headers))
        case _ if 400 <= code < 500:  # noqa: PLR2004  the class of codes that blames the request
            return RejectedError(text)
        case _:
            return KubeUnavailable(text, retry_after_s=_retry_after_s(status, headers))


def _retry_after_s(status: Status, headers: Mapping[str, str]) -> float | None:
    said = headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return min(float(said), LONGEST_RETRY_AFTER_S)
    if status.details is not None and status.details.retry_after_seconds > 0:
        return min(float(status.details.retry_after_seconds), LONGEST_RETRY_AFTER_S)
    return None


@contextmanager
def network_faults(doing: str) -> Generator[None]:
    """Turn what can happen on the wire into KubeUnavailable."""
    try:
        yield
    except TimeoutError as error:
        raise KubeUnavailable(f"{doing}: no answer in time") from error
    except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise KubeUnavailable(f"{doing}: {reason}") from error
