"""When an attempt is made again, as Envoy says it.

The policy that nearly all routes share stands at the clusters: Envoy builds all hosts of a router
anew for each one that comes, and at the hosts it was a third of that work. At a cluster it goes
before a route's own, so one that any route wants to be tried again in another way carries none,
and all routes to it say theirs.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from onehop.driver.envoy.proto import (
    PreviousHostsPredicate,
    RetryPolicy,
    duration,
    extension,
    wrapped,
)
from onehop.model.route import Retry

USUAL: Final = Retry()

_NEVER_SENT: Final = "connect-failure,refused-stream,reset-before-request"
"""Failures after which no endpoint has seen the request: safe to try again, whatever it was."""


_LOOKS: Final = 20
"""How often another endpoint is drawn, until it is one that was not tried: of two, each look finds
the other one in every second case."""


@lru_cache(maxsize=256)
def render_retry(retry: Retry) -> Any:
    """Return the RetryPolicy."""
    limit: dict[str, Any] = {}
    if retry.per_try_timeout_s is not None:
        limit["per_try_timeout"] = duration(retry.per_try_timeout_s)
    if retry.attempts == 0:
        return RetryPolicy(num_retries=wrapped(0), **limit)
    previous = extension("envoy.retry_host_predicates.previous_hosts", PreviousHostsPredicate())
    policy: dict[str, Any] = {
        "retry_on": ",".join(_reasons(retry)),
        "num_retries": wrapped(retry.attempts),
        "retriable_status_codes": retry.codes,
        "retry_host_predicate": [previous],
        "host_selection_retry_max_attempts": _LOOKS,
        "retry_back_off": _pause(retry.backoff_s),
        **limit,
    }
    return RetryPolicy(**policy)


def _reasons(retry: Retry) -> Iterator[str]:
    yield _NEVER_SENT
    if retry.on_silence:
        yield "reset"  # an attempt that took too long is one as well
    if retry.codes:
        yield "retriable-status-codes"


def _pause(backoff_s: float | None) -> dict[str, Any]:
    """Return the pause before an attempt, of which Envoy draws a part.

    What was never sent need not wait for long.
    """
    if backoff_s is None:
        return {"base_interval": duration(0.005), "max_interval": duration(0.05)}
    return {"base_interval": duration(backoff_s), "max_interval": duration(10 * backoff_s)}
