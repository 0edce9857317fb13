"""Where a connection goes as a stream of bytes: an entry of a map, which is read field by field.

=================================== ==============================================================
`TO:GUARD`                          all connections go to one place
`:GUARD:TOTAL:LIMIT:TO:LIMIT:TO...` each connection draws a number below TOTAL, and goes to where
                                    the first limit is that is above it
=================================== ==============================================================

So other weights are another entry, told at once and whole, and cost no reload. More places than
there were cost one: each has a rule of its own in the frontend.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from onehop.driver.haproxy.share import pool_name
from onehop.model.ident import PoolId
from onehop.model.listener import ForwardTcp, Passthrough

_CLOSED: Final = "closed"
_TOTAL: Final = 3
_FIRST_LIMIT: Final = 4


def way_of(stream: ForwardTcp | Passthrough, guard: str = "") -> str:
    """Return the entry of what is passed on to pools.

    Args:
        stream: whose connections.
        guard: the name of the rules for its clients, if it has any.
    """
    if not stream.shares:
        return f"{_place_of(stream.pool)}:{guard}"
    limits = list(accumulate(share.weight for share in stream.shares))
    places = (_place_of(share.pool) for share in stream.shares)
    shared = (f"{limit}:{place}" for limit, place in zip(limits, places, strict=True))
    return ":".join((f":{guard}:{limits[-1]}", *shared))


def most_places(streams: Iterable[ForwardTcp | Passthrough]) -> int:
    """Return among how many places connections are shared out at most; none, if they are not."""
    return max((len(stream.shares) for stream in streams), default=0)


def follow(most: int) -> Iterator[str]:
    """Yield the rules that go where `txn.way` says; without one, it is what comes behind them."""
    yield "tcp-request content set-var(txn.to) var(txn.way),field(1,:)"
    if most:
        yield f"tcp-request content set-var(txn.total) var(txn.way),field({_TOTAL},:)"
        yield "tcp-request content set-var(txn.die) rand,mod(txn.total)"
    for number in reversed(range(most)):  # the last rule that applies has the word
        limit = _FIRST_LIMIT + 2 * number
        is_below = f"{{ var(txn.way),field({limit},:),sub(txn.die) gt 0 }}"
        place = f"var(txn.way),field({limit + 1},:)"
        yield f"tcp-request content set-var(txn.to) {place} if {is_below}"
    yield f"tcp-request content reject if {{ var(txn.to) -m str {_CLOSED} }}"
    yield "use_backend %[var(txn.to)] if { var(txn.to) -m found }"


def _place_of(pool: PoolId | None) -> str:
    return _CLOSED if pool is None else pool_name(pool)
