"""The whole exception tree of onehop.

* OnehopError
  + ConfigError            the operator's own file or flags are wrong; exit 2
  + TransientError         worth retrying; `retry_after_s` in seconds, or None for backoff
    - KubeUnavailable      API server unreachable, 429 or 5xx, or its answer was cut short
    - DriverUnavailable    data plane's control socket or REST port does not answer
  + RejectedError          the other side read what we sent and refused it; never retried as is
    - KubeGone             410: the resourceVersion is too old, list again
    - KubeConflict         409: somebody wrote in between, read again
    - KubeNotFound         404
    - KubeForbidden        401 or 403: rights are missing or a token has expired

Bad *cluster* input is not here: it is a `Problem` value (see `onehop.model.problem`).
"""


class OnehopError(Exception):
    """Anything onehop raises on purpose."""


class ConfigError(OnehopError):
    """The operator's own file or flags are wrong; the message says which key and what it may be."""


class TransientError(OnehopError):
    """Worth retrying.

    Attributes:
        retry_after_s: what the other side asked for, in seconds; None leaves it to our backoff.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class KubeUnavailable(TransientError):  # noqa: N818  named like the condition an operator reads
    """The API server cannot be reached, answered 429 or 5xx, or was cut off in its answer."""


class DriverUnavailable(TransientError):  # noqa: N818
    """The data plane's control socket or REST port does not answer."""


class RejectedError(OnehopError):
    """The other side read what we sent and refused it; the same bytes would fail again."""


class KubeGone(RejectedError):  # noqa: N818
    """410: the resourceVersion is too old; list again."""


class KubeConflict(RejectedError):  # noqa: N818
    """409: somebody wrote in between; read again."""


class KubeNotFound(RejectedError):  # noqa: N818
    """404: no such object, or no such resource on this server."""


class KubeForbidden(RejectedError):  # noqa: N818
    """401 or 403: rights are missing, or the token has expired."""
