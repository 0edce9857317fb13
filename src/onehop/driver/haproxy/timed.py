"""A clock for all attempts of a request together.

HAProxy counts the silence of each attempt, and has no clock for all of them, which "MUST not
exceed" what a request may take (GEP-1731). So where a request may be made again, and may take so
long and no longer, it goes through a pair of sections of ours: the outer one waits for an answer,
the inner one makes the attempts. Between them is a Unix socket; what the inner one has to know is
in a header, which is set behind all rules of tenants.
"""

from collections.abc import Iterator
from typing import Final

from onehop.driver.haproxy import word
from onehop.driver.haproxy.place import Place
from onehop.driver.haproxy.retry import attempts_of
from onehop.model.route import Forward

PAIR: Final = "inner-timed"
"""The name of both sections."""

_HEADER: Final = "x-onehop-attempts"
_KNOWN: Final = ("within", "silence", "tunnel")
"""What the inner section has to know: the section of the pool, and two times in milliseconds."""


def time_for_all_s(forward: Forward) -> float | None:
    """Return what all attempts may take together; None where there is nothing to watch over."""
    return forward.timeout_s if attempts_of(forward).may_repeat else None


def timed_rules(silence_s: float, all_s: float, when: str) -> Iterator[str]:
    """Yield the rules of a policy; they come behind those that choose the pool.

    Args:
        silence_s: how long an attempt may be silent.
        all_s: how long all of them may take until there is an answer.
        when: what rules of the policy end with.
    """
    yield f"http-request set-var(txn.timeout) int({word.ms(all_s)}) {when}"
    yield f"http-request set-var(txn.silence) int({word.ms(silence_s)}) {when}"
    yield f"http-request set-var(txn.within) var(txn.pool) {when}"
    yield f"http-request set-var(txn.pool) str({PAIR}) {when}"


def timed_sections(place: Place) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the pair."""
    socket = place.socket("timed")
    told = ":".join(f"%[var(txn.{each})]" for each in _KNOWN)
    yield (
        f"backend {PAIR}",
        (
            "mode http",
            "timeout tunnel 300s",
            "http-request set-timeout server var(txn.timeout)",
            "http-request set-timeout tunnel var(txn.tunnel) if { var(txn.tunnel) -m found }",
            f"http-request set-header {_HEADER} {told}",
            f"server inner {socket} send-proxy-v2",
        ),
    )
    fields = (f"req.hdr({_HEADER}),field({number},:)" for number in range(1, len(_KNOWN) + 1))
    pool, silence, tunnel = fields
    yield (
        f"frontend {PAIR}",
        (
            f"bind {socket} mode 600 accept-proxy",
            "mode http",
            "option idle-close-on-response",
            "timeout http-keep-alive 300s",
            f"http-request set-var(txn.policy) str({PAIR})",
            f"http-request set-var(txn.pool) {pool}",
            f"http-request set-var(txn.timeout) {silence}",
            f"http-request set-var(txn.tunnel) {tunnel} if {{ {tunnel} -m len gt 0 }}",
            f"http-request del-header {_HEADER}",
            "use_backend %[var(txn.pool)]",
            "default_backend nothing",
        ),
    )
