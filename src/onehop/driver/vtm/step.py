"""What rules need to know of the objects around them."""

from collections.abc import Callable

import msgspec

from onehop.model.ident import PoolId
from onehop.model.route import Route, VirtualHost


class Step(msgspec.Struct, frozen=True):
    """What a route needs to know of its surroundings.

    Attributes:
        scheme: of the listener, `http` or `https`.
        pool: the name of a pool's object.
        rate: the name of a route's rate class.
        is_there: whether a pool is there; one that the unit refused is not.
        is_sticky: whether a pool keeps sessions.
    """

    scheme: str
    pool: Callable[[PoolId], str]
    rate: Callable[[VirtualHost, Route], str]
    is_there: Callable[[PoolId], bool]
    is_sticky: Callable[[PoolId], bool]
