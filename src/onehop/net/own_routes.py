"""A mirror of our routing table, and what has to change in it.

The mirror knows only what the kernel said: read whole once, then kept by its events, what we
change ourselves included. So a changed block costs one message, however many routes there are.
"""

import socket
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from onehop.base.nlmsg import Message, Request
from onehop.model.address import Cidr
from onehop.net.rtnetlink.kernel import list_all
from onehop.net.rtnetlink.route import (
    DEL_ROUTE,
    NEW_ROUTE,
    KernelRoute,
    list_routes,
    put_route,
    read_route,
    remove_route,
    route_table,
)
from onehop.net.table import BIRD, PROTOCOL, TABLE

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)


class RouteChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What leads from the routes that are there to the routes that shall be.

    Put first, then remove: a block that takes the place of two others leaves no gap.
    """

    put: tuple[KernelRoute, ...] = ()
    remove: tuple[KernelRoute, ...] = ()

    def requests(self) -> list[Request]:
        """Return the kernel's requests, in the order of `put` and then `remove`."""
        return [*map(put_route, self.put), *map(remove_route, self.remove)]


def diff_routes(
    have: Mapping[Cidr, KernelRoute],
    want: Mapping[Cidr, KernelRoute],
    *,
    taken: Collection[Cidr] = (),
) -> RouteChanges:
    """Return the fewest changes that make `have` equal to `want`.

    Args:
        have: routes of ours, by prefix.
        want: as they shall be.
        taken: prefixes at which somebody else's route stands, which a replacement would destroy.
    """
    return RouteChanges(
        put=tuple(
            route
            for prefix, route in want.items()
            if prefix not in taken and have.get(prefix) != route
        ),
        remove=tuple(route for prefix, route in have.items() if prefix not in want),
    )


class OwnRoutes:
    """The routes of our table that carry one metric, and the foreign ones beside them.

    Args:
        metric: theirs.
        families: where several mirrors have one metric, each has a family of its own.

    Attributes:
        present: ours, by prefix.
        foreign: everybody else's in our table, less BIRD's, by prefix and metric.
    """

    def __init__(self, metric: int, families: Collection[int] = _FAMILIES) -> None:
        self.present: dict[Cidr, KernelRoute] = {}
        self.foreign: dict[tuple[Cidr, int], KernelRoute] = {}
        self._metric = metric
        self._families = families
        self._heard: list[Message] | None = None
        """While the table is being read: what changed meanwhile, to be gone over again after."""

    @property
    def taken(self) -> frozenset[Cidr]:
        """Prefixes at which a foreign route has our very metric."""
        return frozenset(prefix for prefix, metric in self.foreign if metric == self._metric)

    async def read(self) -> None:
        """Read the whole table.

        Raises:
            TransientError: the kernel did not answer; the mirror is what it was.
        """
        present: dict[Cidr, KernelRoute] = {}
        foreign: dict[tuple[Cidr, int], KernelRoute] = {}
        heard = self._heard = []
        try:
            for family in self._families:
                for payload in await list_all(list_routes(family, TABLE)):
                    self._file(read_route(payload), present, foreign)
            self.present, self.foreign = present, foreign
        finally:
            self._heard = None
            for message in heard:
                self.hear(message)

    def hear(self, message: Message) -> bool:
        """Take an event over; return whether it concerned our table."""
        if message.kind not in {NEW_ROUTE, DEL_ROUTE} or route_table(message.payload) != TABLE:
            return False
        if message.payload[0] not in self._families:  # rtm_family, the first byte of rtmsg
            return False
        if self._heard is not None:
            self._heard.append(message)
            return True
        route = read_route(message.payload)
        if message.kind == NEW_ROUTE:
            self._file(route, self.present, self.foreign)
        elif route.protocol == PROTOCOL and route.metric == self._metric:
            self.present.pop(route.prefix, None)
        else:
            self.foreign.pop((route.prefix, route.metric), None)
        return True

    def _file(
        self,
        route: KernelRoute,
        present: dict[Cidr, KernelRoute],
        foreign: dict[tuple[Cidr, int], KernelRoute],
    ) -> None:
        """Put a route where it belongs; at one prefix and metric the last one counts."""
        if route.metric == self._metric:
            present.pop(route.prefix, None)
        foreign.pop((route.prefix, route.metric), None)
        if route.table != TABLE:
            return
        if route.protocol == PROTOCOL:
            if route.metric == self._metric:
                present[route.prefix] = route
        elif route.protocol != BIRD:
            foreign[route.prefix, route.metric] = route
