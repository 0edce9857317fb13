"""Which of a route's pools gets a request, and what is edited for one of them.

A request draws a lot, `$share`. Edits for one of several pools come before the route's own, as with
Envoy, so that the route has the last word; hence the lot is drawn first where there are any.
"""

from collections.abc import Iterator
from typing import Final

from onehop.driver.vtm.cors import own_answer
from onehop.driver.vtm.edit import request_edits
from onehop.driver.vtm.mark import share_mark
from onehop.driver.vtm.quote import quoted
from onehop.driver.vtm.step import Step
from onehop.model.route import Cors, Forward, HeaderEdit, PoolShare

NO_EDIT: Final = HeaderEdit()
_NOBODY: Final = 503


def shares_of(forward: Forward) -> tuple[PoolShare, ...]:
    """Return the pools that get any requests."""
    return tuple(share for share in forward.pools if share.weight > 0)


def draw(forward: Forward, step: Step) -> Iterator[str]:
    """Yield what draws a lot, where there is a choice.

    Where one of the pools keeps sessions, the client's address is the lot: a session that changed
    pools on each request would be none.
    """
    shares = shares_of(forward)
    if not shares or (len(shares) == 1 and not forward.missing):
        return
    total = sum(share.weight for share in shares) + forward.missing
    if any(step.is_sticky(share.pool) for share in shares):
        yield f"$share = string.hash( $client ) % {total};"
        yield f"if( $share < 0 ) {{ $share = $share + {total}; }}"
    else:
        yield f"$share = math.random( {total} );"


def share_edits(forward: Forward, mark: str) -> Iterator[str]:
    """Yield what is edited for some of the shares; `$mark` tells the response rule which one it is.

    Args:
        forward: whose shares.
        mark: of the route.
    """
    shares = shares_of(forward)
    if any(share.response_headers != NO_EDIT for share in shares):
        yield f'$mark = "{mark}";'
    is_drawn = len(shares) > 1 or forward.missing > 0
    below = 0
    for share in shares:
        conditions = [f"$share > {below - 1}"] if below else []
        below += share.weight
        conditions.append(f"$share < {below}")
        lines = list(request_edits(share.request_headers))
        if share.response_headers != NO_EDIT:
            lines.append(f'$mark = "{share_mark(mark, share)}";')
        if lines and is_drawn:
            yield f"if( {' && '.join(conditions)} ) {{"
            yield from (f"  {line}" for line in lines)
            yield "}"
        else:
            yield from lines


def use(forward: Forward, step: Step, cors: Cors | None) -> Iterator[str]:
    """Yield what sends a request to the pool that it drew, or answers it."""
    shares = shares_of(forward)
    missing = own_answer(forward.missing_status if forward.missing else _NOBODY, cors)
    below = 0
    for share in shares if forward.missing else shares[:-1]:
        below += share.weight
        yield f"if( $share < {below} ) {{ {_use(share, step, cors)} }}"
    if shares and not forward.missing:
        yield _use(shares[-1], step, cors)
    else:
        yield missing


def _use(share: PoolShare, step: Step, cors: Cors | None) -> str:
    if not step.is_there(share.pool):
        return own_answer(_NOBODY, cors)
    return f"pool.use( {quoted(step.pool(share.pool))} );"
