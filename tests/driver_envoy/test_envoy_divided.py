"""A route whose backends want different things done, as parts of its requests."""

from onehop.driver.envoy.divided import WHOLE, Part, parts_of
from onehop.model.ident import PoolId
from onehop.model.route import (
    Forward,
    Mirror,
    PoolShare,
    Redirect,
    RedirectShare,
    Respond,
    Rewrite,
)

WEB, OTHER, COPIES = PoolId("shop/web:80"), PoolId("shop/other:80"), PoolId("shop/copies:80")


def test_shares_become_parts_that_leave_nothing_over() -> None:
    """A share of 0 is none; what is missing comes last, and takes what the others leave."""
    moved = Redirect(host="b.example")
    forward = Forward(
        pools=(
            PoolShare(WEB, 1, rewrite=Rewrite(prefix="/new")),
            PoolShare(COPIES, 0),
            PoolShare(OTHER, 1),
        ),
        redirects=(RedirectShare(moved),),
        missing=3,
    )

    assert list(parts_of(forward)) == [
        Part(166_667, Forward(pools=(PoolShare(WEB),), rewrite_prefix="/new")),
        Part(333_333, Forward(pools=(PoolShare(OTHER),))),
        Part(500_000, moved),
        Part(WHOLE, Respond(status=500)),
    ]


def test_copies_are_a_share_of_their_part() -> None:
    """Envoy decides about both by one number: half of what is from 20 to 60 % is below 40 %."""
    forward = Forward(
        pools=(
            PoolShare(WEB, 2),
            PoolShare(OTHER, 4, mirrors=(Mirror(COPIES, 500_000),)),
            PoolShare(COPIES, 4),
        ),
        mirrors=(Mirror(WEB, 1_000_000), Mirror(OTHER, 0)),
    )

    mirrors = [
        part.action.mirrors for part in parts_of(forward) if isinstance(part.action, Forward)
    ]

    everywhere = [(200_000, 0), (600_000, 200_000), (1_000_000, 600_000)]
    assert mirrors == [
        (Mirror(WEB, whole), Mirror(OTHER, nothing))
        if number != 1
        else (Mirror(WEB, whole), Mirror(OTHER, nothing), Mirror(COPIES, 400_000))
        for number, (whole, nothing) in enumerate(everywhere)
    ]
