"""When a request is made again. HAProxy has that at a backend section, and not at a request.

So a pool has a section for each wish that its routes have, all with the same servers, and a route's
entry in a map names the one of its wish. Where nobody wants anything but the usual that is one.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.driver.capability import Capability
from onehop.driver.haproxy import word
from onehop.driver.haproxy.support import SHORTCOMINGS
from onehop.model.route import Forward, Retry

_KNOWN: Final = frozenset((401, 403, 404, 408, 425, 500, 501, 502, 503, 504))
"""The codes that `retry-on` knows."""
_GATEWAY_TIMEOUT: Final = 504


class Attempts(msgspec.Struct, frozen=True, order=True):
    """What a section has to know of the wishes of its routes.

    Attributes:
        more: attempts after the first one.
        codes: answers after which another one is made; after what was never sent, it always is.
        on_break: whether it is after a connection that broke off before there was an answer.
        on_silence: whether it is after one on which nothing came for too long.
    """

    more: int = Retry().attempts
    codes: tuple[int, ...] = ()
    on_break: bool = False
    on_silence: bool = False

    @property
    def may_repeat(self) -> bool:
        """Whether what an endpoint may have seen is sent again."""
        return bool(self.codes) or self.on_break or self.on_silence

    @property
    def name(self) -> str:
        """A name that derives from all of it, safe anywhere in the configuration."""
        return word.token_of("r", msgspec.json.encode(self))


USUAL: Final = Attempts()
"""What nearly all routes want."""


def attempts_of(forward: Forward) -> Attempts:
    """Return when the requests of a route are made again.

    Raises:
        Unfit: after a pause, or after a code that HAProxy does not know.
    """
    retry = forward.retry
    unknown = sorted({*retry.codes} - _KNOWN)
    if unknown:
        raise word.Unfit(f"HAProxy does not try again after {', '.join(map(str, unknown))}")
    if retry.backoff_s is not None:
        raise word.Unfit(SHORTCOMINGS[Capability.RETRY_PAUSE].words)
    if not retry.attempts:
        return Attempts(0)
    return Attempts(
        more=retry.attempts,
        codes=tuple(sorted({*retry.codes})),
        on_break=retry.on_silence,
        # Without a time of its own, an attempt that is silent is the end of the request.
        on_silence=retry.per_try_timeout_s is not None
        if retry.on_silence
        else _GATEWAY_TIMEOUT in retry.codes,
    )


def retry_lines(attempts: Attempts) -> Iterator[str]:
    """Yield the lines of a section for HTTP; the manual's "retry-on"."""
    yield f"retries {attempts.more}"
    # What was never sent is tried at another one, at the first attempt already.
    yield "option redispatch 1"
    reasons = [str(code) for code in attempts.codes]
    reasons += ["empty-response", "junk-response"] if attempts.on_break else []
    reasons += ["response-timeout"] if attempts.on_silence else []
    if reasons:
        yield f"retry-on conn-failure {' '.join(reasons)}"
