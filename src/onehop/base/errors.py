"""The whole exception tree of onehop.

* OnehopError
  + ConfigError            the operator's own file or flags are wrong; exit 2
  + TransientError         worth retrying; `retry_after_s` in seconds, or None for backoff
    - KubeUnavailable      API server unreachable, 429 or 5xx, or its answer was cut short
    - DriverUnavailable    data plane's control socket or REST port does not answer
    - AcmeUnavailable      CA unreachable, 5xx, its answer was cut short, or it asked for a pause
      . AcmeAnswerLost     the request went out, its answer did not come: it may have been done
    - OcspUnavailable      a CA's OCSP responder does not answer, or not now
    - SolverUnavailable    a name server or webhook did not take our DNS record
  + RejectedError          the other side read what we sent and refused it; never retried as is
    - KubeGone             410: the resourceVersion is too old, list again
    - KubeConflict         409: somebody wrote in between, read again
    - KubeNotFound         404
    - KubeForbidden        401 or 403: rights are missing or a token has expired
    - AcmeNonsense         the CA's answer is not ACME, or its certificate is not what we asked for
    - OcspNonsense         what a responder sent is no answer to what was asked
    - SolverRefused        a name server or webhook read our DNS record and refused it

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


class AcmeUnavailable(TransientError):  # noqa: N818
    """The CA cannot be reached, answered 5xx, was cut off, or asked for a pause not yet over."""


class AcmeAnswerLost(AcmeUnavailable):
    """A request went out and its answer was lost or a 5xx: the CA may have done as it was asked."""


class OcspUnavailable(TransientError):  # noqa: N818
    """A CA's OCSP responder cannot be reached, answered other than 200, or says "try later"."""


class SolverUnavailable(TransientError):  # noqa: N818
    """The name server or webhook that sets our DNS records does not answer, or not yet."""


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


class AcmeNonsense(RejectedError):  # noqa: N818
    """The CA's answer is not ACME, or its certificate is not the one that was asked for."""


class OcspNonsense(RejectedError):  # noqa: N818
    """What a responder sent is not OCSP, not signed by who may, or not about what was asked."""


class SolverRefused(RejectedError):  # noqa: N818
    """The name server or webhook read our DNS record and refused it."""
