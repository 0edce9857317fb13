"""What the bench can order from the API double and from the floor: lines of JSON.

Both understand `Move`, `Open`, `Churn` and `Calm`, so that a row can put the same question to the
product, through the API, and to the floor, directly. A reply to `Move` and `Open` says `at`: the
moment (CLOCK_MONOTONIC, the same in all processes) at which the change was there to be acted on.
"""

from typing import Any, TypeAlias

import msgspec


class _Order(msgspec.Struct, frozen=True, tag_field="do"):
    pass


class Load(_Order, frozen=True, tag="load"):
    """Make Services with their slices; and a route for each unless `routed` is false.

    Attributes:
        api: what routes are, in this order and all that follow: `ingress`, or `gateway` for
            HTTPRoutes on a Gateway.
    """

    services: int
    endpoints: int
    routed: bool = True
    api: str = "ingress"


class Move(_Order, frozen=True, tag="move"):
    """Replace all Pods of a Service by those of the other side."""

    number: int
    side: int


class Open(_Order, frozen=True, tag="open"):
    """Make a route to a Service that has none."""

    number: int


class Churn(_Order, frozen=True, tag="churn"):
    """Move other Services, round and round, so many a second."""

    rate: float
    first: int
    last: int


class Calm(_Order, frozen=True, tag="calm"):
    """End the churn; the reply says how many changes it made."""


class Put(_Order, frozen=True, tag="put"):
    """Create or replace an object."""

    object: dict[str, Any]


class Attach(_Order, frozen=True, tag="attach"):
    """Make routes to Services, from the first to before the last, all at once."""

    first: int
    last: int


class Detach(_Order, frozen=True, tag="detach"):
    """Delete these HTTPRoutes, all at once."""

    first: int
    last: int


class Foreign(_Order, frozen=True, tag="foreign"):
    """Make routes of another controller's class."""

    count: int


class ChurnForeign(_Order, frozen=True, tag="churn-foreign"):
    """Edit them, round and round, so many a second."""

    rate: float
    count: int


class Relist(_Order, frozen=True, tag="relist"):
    """Cut all watches and answer 410 to the next ones: every client must list again."""


class Counts(_Order, frozen=True, tag="counts"):
    """Say how many lists, watches and writes there have been (of clients, not of ours)."""


class Attached(_Order, frozen=True, tag="attached"):
    """Say how many `routes` the Gateway's status counts."""


Order: TypeAlias = (
    Load
    | Move
    | Open
    | Churn
    | Calm
    | Put
    | Attach
    | Detach
    | Foreign
    | ChurnForeign
    | Relist
    | Counts
    | Attached
)
