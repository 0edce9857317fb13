"""Which of a route's pools gets a request: a die for each, and what is edited for one of them."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from onehop.driver.haproxy import word
from onehop.driver.haproxy.edit import request_edits, response_edits
from onehop.driver.haproxy.retry import USUAL, Attempts, attempts_of
from onehop.driver.haproxy.timed import time_for_all_s
from onehop.model.ident import PoolId
from onehop.model.pool import Persistence
from onehop.model.route import Forward, HeaderEdit, PoolShare, Retry

PersistenceOf: TypeAlias = Callable[[PoolId], Persistence | None]
"""What a pool keeps sessions by; None for a pool that is not there, too."""

_NOBODY: int = 503


def pool_name(pool: PoolId, attempts: Attempts = USUAL) -> str:
    """Return the name of a pool's backend section; it has one for each kind of attempts."""
    name = word.name_of("b", pool)
    return name if attempts == USUAL else f"{name}-{attempts.name}"


def shares_of(forward: Forward) -> tuple[PoolShare, ...]:
    """Return the pools that get any requests."""
    return tuple(share for share in forward.pools if share.weight > 0)


def without_the_only_pool(forward: Forward) -> Forward:
    """Return what routes that have one pool share, whichever pool that is.

    When requests are made again is a matter of the pool's section, unless there is a clock for it.
    """
    shares = shares_of(forward)
    if len(shares) != 1:
        return forward
    weight = shares[0].weight if forward.missing else 1
    share = msgspec.structs.replace(shares[0], pool=PoolId(""), weight=weight)
    retry = forward.retry
    if time_for_all_s(forward) is None:
        retry = Retry(per_try_timeout_s=retry.per_try_timeout_s)
    return msgspec.structs.replace(forward, pools=(share,), retry=retry)


def share_rules(forward: Forward, when: str, persistence_of: PersistenceOf) -> Iterator[str]:
    """Yield the rules that choose a pool, or the answer of one that is missing.

    Where one of several pools keeps sessions the die is the client's address: a session that
    changed pools on each request would be none.
    """
    shares = shares_of(forward)
    if not shares:
        status = forward.missing_status if forward.missing else _NOBODY
        yield f"http-request return status {int(status)} {when}"
        return
    if len(shares) == 1 and not forward.missing:
        yield from _edits(shares[0], when)
        return
    reached = sum(share.weight for share in shares)
    total = reached + forward.missing
    keeps = any(persistence_of(share.pool) is not None for share in shares)
    die = f"src,crc32(1),mod({total})" if keeps else f"rand({total})"
    yield f"http-request set-var(txn.die) {die} {when}"
    if forward.missing:
        beyond = f"{{ var(txn.die) -m int ge {reached} }}"
        yield f"http-request return status {int(forward.missing_status)} {when} {beyond}"
    is_edited = any(map(_has_edits, shares))
    attempts = attempts_of(forward)
    for number, share in reversed([*enumerate(shares)]):  # the last rule that applies has the word
        below = f"{when} {{ var(txn.die) -m int lt {reached} }}"
        if len(shares) > 1:
            yield f"http-request set-var(txn.pool) str({pool_name(share.pool, attempts)}) {below}"
        if is_edited:
            yield f"http-request set-var(txn.share) int({number}) {below}"
        reached -= share.weight
    for number, share in enumerate(shares):
        yield from _edits(share, f"{when} {{ var(txn.share) -m int eq {number} }}")


def _edits(share: PoolShare, when: str) -> Iterator[str]:
    yield from request_edits(share.request_headers, when)
    yield from response_edits(share.response_headers, when)


def _has_edits(share: PoolShare) -> bool:
    plain = HeaderEdit()
    return (share.request_headers, share.response_headers) != (plain, plain)
