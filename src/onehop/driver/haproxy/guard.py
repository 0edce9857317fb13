"""Who may use a route, and how much: address lists (403), rate (429) and body size (413)."""

from collections.abc import Iterator, Sequence
from typing import Final

from onehop.model.address import Cidr
from onehop.model.route import Guard, RateLimit

_PER_LINE: Final = 40
"""Words of a line; HAProxy takes 64."""
_CLIENTS_COUNTED: Final = 10_000
"""By route; beyond it the client that was seen longest ago is forgotten."""
_BODY_WAIT: Final = "10s"


def guard_rules(guard: Guard, name: str, when: str) -> Iterator[str]:
    """Yield the rules of a frontend.

    `src` is the client as X-Forwarded-For and PROXY headers tell, where they are trusted.
    """
    if guard.allow:
        yield from source_list(f"{name}-allow", guard.allow)
        yield f"http-request deny deny_status 403 {when} !{name}-allow"
    if guard.deny:
        yield from source_list(f"{name}-deny", guard.deny)
        yield f"http-request deny deny_status 403 {when} {name}-deny"
    if guard.rate_limit is not None:
        yield from _rate_rules(guard.rate_limit, name, when)
    if guard.body_limit_bytes is not None:
        yield from _body_rules(guard.body_limit_bytes, when)


def source_list(name: str, networks: Sequence[Cidr]) -> Iterator[str]:
    """Yield the lines of an ACL by client address; lines of one name are added up."""
    for start in range(0, len(networks), _PER_LINE):
        yield f"acl {name} src {' '.join(networks[start : start + _PER_LINE])}"


def rate_table(limit: RateLimit) -> str:
    """Return the line of the section that counts the clients of a policy."""
    window_ms = _window_ms(limit)
    return (
        f"stick-table type ipv6 size {_CLIENTS_COUNTED} expire {2 * window_ms}ms"
        f" store gpc0,gpc0_rate({window_ms}ms)"
    )


def _window_ms(limit: RateLimit) -> int:
    """Return the time in which requests and burst together are admitted, which is the rate."""
    return max(1, limit.per_s * 1000 * (limit.requests + limit.burst) // limit.requests)


def _rate_rules(limit: RateLimit, name: str, when: str) -> Iterator[str]:
    """Count what is admitted; of IPv6, each /64, which one client owns whole."""
    most = limit.requests + limit.burst
    yield f"http-request track-sc0 src,ipmask(32,64) table t-{name} {when}"
    yield f"http-request deny deny_status 429 {when} {{ sc0_gpc0_rate ge {most} }}"
    yield f"http-request sc-inc-gpc0(0) {when}"


def _body_rules(limit_bytes: int, when: str) -> Iterator[str]:
    """Compare what the client says of its body; one that does not say has to (RFC 9110, 15.5.12).

    HAProxy holds no more than a buffer of a body, so it cannot count one of unknown length before
    it is on its way. Whether there is one at all, the first byte tells.
    """
    says = "{ req.hdr(content-length) -m found }"
    too_long = f"{{ req.hdr_val(content-length) gt {int(limit_bytes)} }}"
    yield f"http-request deny deny_status 413 {when} {too_long}"
    yield f"http-request wait-for-body time {_BODY_WAIT} at-least 1 {when} !{says}"
    yield f"http-request return status 411 {when} !{says} {{ req.body_len gt 0 }}"
