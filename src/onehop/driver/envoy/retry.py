"""When an attempt is made again, as Envoy says it.

The policy that nearly all routes share stands once at their host, and only another one at the
route: Envoy builds all hosts of a router anew for each one that comes, and this was a quarter of
the work. (At the cluster it would go before a route's own.)
"""

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


@lru_cache(maxsize=256)
def render_retry(retry: Retry) -> Any:
    """Return the RetryPolicy."""
    if retry.attempts == 0:
        return RetryPolicy(num_retries=wrapped(0))
    previous = extension("envoy.retry_host_predicates.previous_hosts", PreviousHostsPredicate())
    policy: dict[str, Any] = {
        "retry_on": _NEVER_SENT + (",retriable-status-codes" if retry.codes else ""),
        "num_retries": wrapped(retry.attempts),
        "retriable_status_codes": retry.codes,
        "retry_host_predicate": [previous],
        "host_selection_retry_max_attempts": 5,
        # What was never sent need not wait; Envoy draws from 0 to this.
        "retry_back_off": {"base_interval": duration(0.005), "max_interval": duration(0.05)},
    }
    if retry.per_try_timeout_s is not None:
        policy["per_try_timeout"] = duration(retry.per_try_timeout_s)
    return RetryPolicy(**policy)
