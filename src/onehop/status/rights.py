"""Rights the API server denies us: said once each, tried again slowly.

Without this, one missing line in a ClusterRole would be one refused request and one log line per
object and minute.
"""

from collections.abc import Callable
from typing import Final

import structlog

from onehop.base.errors import OnehopError
from onehop.kube import Right
from onehop.status.metrics import WriterMetrics

log = structlog.get_logger(__name__)


class Denied(OnehopError):  # noqa: N818  named like the condition an operator reads
    """A right is missing, so nothing was sent, or it was refused.

    Attributes:
        retry_in_s: when it is worth asking again.
    """

    def __init__(self, right: Right, retry_in_s: float) -> None:
        super().__init__(f"no right to {tell_right(right)}")
        self.retry_in_s = retry_in_s


NEEDED: Final = (
    Right(verb="get", resource="services"),
    Right(verb="patch", resource="services"),
    Right(verb="patch", resource="services", subresource="status"),
    Right(verb="get", group="networking.k8s.io", resource="ingresses"),
    Right(verb="patch", group="networking.k8s.io", resource="ingresses", subresource="status"),
    Right(verb="get", resource="events"),
    Right(verb="create", resource="events"),
    Right(verb="patch", resource="events"),
)
"""Everything a writer asks for, for a ClusterRole and for a check before the start."""


def tell_right(right: Right) -> str:
    """Return a right as an operator would grant it: `patch services/status`."""
    resource = f"{right.resource}.{right.group}" if right.group else right.resource
    subresource = f"/{right.subresource}" if right.subresource else ""
    return f"{right.verb} {resource}{subresource}"


class Rights:
    """What has been denied, by right and namespace."""

    def __init__(
        self, *, retry_s: float, clock: Callable[[], float], metrics: WriterMetrics
    ) -> None:
        self._retry_s = retry_s
        self._clock = clock
        self._metrics = metrics
        self._until: dict[Right, float] = {}

    def check(self, right: Right) -> None:
        """Raise Denied while it is too early to ask again."""
        wait_s = self._until.get(right, 0.0) - self._clock()
        if right in self._until and wait_s > 0:
            raise Denied(right, wait_s)

    def deny(self, right: Right, why: Exception) -> Denied:
        """Take in a refusal; the first one of its kind is logged."""
        told = tell_right(right)
        if told not in self._metrics.missing_rights:
            log.error(
                "right_missing",
                right=told,
                namespace=right.namespace,
                error=str(why),
                effect="what needs it is not written; grant it, it is tried again by itself",
                retry_in_s=self._retry_s,
            )
        self._until[right] = self._clock() + self._retry_s
        self._metrics.missing_rights |= {told}
        return Denied(right, self._retry_s)

    def grant(self, right: Right) -> None:
        """Take in that it worked."""
        if self._until.pop(right, None) is None:
            return
        told = tell_right(right)
        if not any(tell_right(other) == told for other in self._until):
            self._metrics.missing_rights -= {told}
            log.info("right_granted", right=told)
