"""A route whose backends want different things done, as routes that take a part of requests each.

Envoy's weighted clusters differ by headers alone: rewrites, copies and redirects are a route's. So
each share becomes a route of its own, for requests whose number is below a limit
(`runtime_fraction`). The number is the same for all routes that a request is tried on, for Envoy
takes it from the request's stream (`RouteMatch.runtime_fraction`; `stream_id_` in
`source/common/http/conn_manager_impl.cc`): so limits that add up share requests out exactly, and
the last route takes what the others leave.

Copies by percentage are decided by that very number (`FilterUtility::shouldShadow`): of a part from
30 to 80 %, half is what is below 55.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from onehop.model.route import Action, Forward, Mirror, PoolShare, Redirect, Respond

WHOLE: Final = 1_000_000


class Part(NamedTuple):
    """Requests whose number is below `end` and no earlier part's."""

    end: int
    action: Action


def parts_of(forward: Forward) -> Iterator[Part]:
    """Yield a divided route's shares in their order, each as an action for itself."""
    shares = [
        *((share.weight, share) for share in forward.pools),
        *((share.weight, share.redirect) for share in forward.redirects),
        *([(forward.missing, Respond(status=forward.missing_status))] if forward.missing else ()),
    ]
    taking = [(weight, share) for weight, share in shares if weight > 0]
    total, taken, start = sum(weight for weight, _ in taking), 0, 0
    for weight, share in taking:
        taken += weight
        end = round(WHOLE * taken / total)
        yield Part(end, _action(forward, share, start, end))
        start = end


def _action(
    forward: Forward, share: PoolShare | Redirect | Respond, start: int, end: int
) -> Action:
    if not isinstance(share, PoolShare):
        return share
    mirrors = (
        Mirror(each.pool, start + round((end - start) * each.per_million / WHOLE))
        for each in (*forward.mirrors, *share.mirrors)
    )
    action = msgspec.structs.replace(
        forward,
        pools=(msgspec.structs.replace(share, rewrite=None, mirrors=()),),
        redirects=(),
        missing=0,
        mirrors=tuple(mirrors),
    )
    rewrite = share.rewrite
    if rewrite is None:
        return action
    return msgspec.structs.replace(
        action,
        rewrite_host=rewrite.host,
        rewrite_path=rewrite.path,
        rewrite_prefix=rewrite.prefix,
    )
