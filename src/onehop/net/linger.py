"""Routes that were withdrawn, kept a little longer for the connections that are under way.

That a route is withdrawn says that nobody vouches for it any more, seldom that the node behind it
is gone: a BGP session that ended took it along. Pods are off that way within milliseconds, but
a request that was sent meanwhile on an open connection would wait for acknowledgements and an
answer that have nowhere to go. So every route of our table has a shadow in another one, which is
looked up for TCP only, and only where ours has nothing; and the shadow stays a while longer. It is
there before it is needed: a packet that is lost is sent again no sooner than after 200 ms.
What is under way ends where it began, and no proof rests on it: `net.fib` does not see it (see
`table`).
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import structlog
from msgspec.structs import replace

from onehop.base.errors import TransientError
from onehop.base.nlmsg import Message
from onehop.model.address import Cidr
from onehop.net.rtnetlink.kernel import ROUTES, Events, transact
from onehop.net.rtnetlink.listing import routes_in
from onehop.net.rtnetlink.route import (
    DEL_ROUTE,
    NEW_ROUTE,
    KernelRoute,
    put_route,
    read_route,
    remove_route,
    route_table,
)
from onehop.net.table import LINGER_TABLE, PROTOCOL, TABLE

LINGER_S: Final = 60.0
"""Longer than nearly every request takes, and than a BGP session needs to come back."""
_LOOK_S: Final = 5.0
_METRIC: Final = 1

_log = structlog.get_logger(__name__)


class LingeringRoutes:
    """Keeps the shadow of our routing table.

    Only plain routes have one: where there are several hops, another hop stays as a rule.
    """

    def __init__(
        self,
        *,
        linger_s: float = LINGER_S,
        look_s: float = _LOOK_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._linger_s = linger_s
        self._look_s = look_s
        self._clock = clock
        self._changed: dict[Cidr, KernelRoute] = {}
        """Heard of, and not put yet."""
        self._shadows: dict[Cidr, KernelRoute] = {}
        self._until: dict[Cidr, float] = {}
        """Of shadows whose route is gone."""
        self._has_lost = True
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Keep the shadows until cancelled; afterwards none is left."""
        try:
            with Events(ROUTES, hear=self._hear, lose=self._lose):
                while True:
                    self._wake.clear()
                    await self._follow()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._look_s):
                            await self._wake.wait()
        finally:
            with contextlib.suppress(TransientError):  # the next one takes over what stays
                await self._remove(tuple(self._shadows))

    async def _follow(self) -> None:
        try:
            if self._has_lost:
                self._has_lost = False
                await self._read()
            await self._put()
            await self._remove(self._due())
        except TransientError as err:
            self._has_lost = True
            _log.warning("routes_do_not_linger", error=str(err), retry_in_s=self._look_s)

    def _hear(self, message: Message) -> None:
        if message.kind not in {NEW_ROUTE, DEL_ROUTE} or route_table(message.payload) != TABLE:
            return
        route = read_route(message.payload)
        if message.kind == NEW_ROUTE:
            self._until.pop(route.prefix, None)
            self._changed |= _shadow(route)
        elif route.prefix in self._shadows or route.prefix in self._changed:
            self._until[route.prefix] = self._clock() + self._linger_s
        self._wake.set()

    def _lose(self) -> None:
        self._has_lost = True
        self._wake.set()

    async def _read(self) -> None:
        """Compare with the kernel: what is shadowed there, and what was by one that was killed."""
        self._shadows = {each.prefix: each for each in await routes_in(LINGER_TABLE)}
        present: dict[Cidr, KernelRoute] = {}
        for route in await routes_in(TABLE):
            present |= _shadow(route)
        self._changed |= {
            prefix: shadow
            for prefix, shadow in present.items()
            if self._shadows.get(prefix) != shadow
        }
        until = self._clock() + self._linger_s
        for prefix in self._shadows.keys() - present.keys():
            self._until.setdefault(prefix, until)

    async def _put(self) -> None:
        changed, self._changed = self._changed, {}
        self._shadows |= changed
        await transact([put_route(route) for route in changed.values()])

    def _due(self) -> tuple[Cidr, ...]:
        now = self._clock()
        return tuple(prefix for prefix, until in self._until.items() if until <= now)

    async def _remove(self, prefixes: tuple[Cidr, ...]) -> None:
        gone = [self._shadows.pop(prefix) for prefix in prefixes if prefix in self._shadows]
        for prefix in prefixes:
            self._until.pop(prefix, None)
        await transact([remove_route(route) for route in gone])  # refused: it was gone already


def _shadow(route: KernelRoute) -> dict[Cidr, KernelRoute]:
    """Return the shadow of a route by its prefix, if it has one."""
    if not route.is_plain or route.via is None:
        return {}
    shadow = replace(route, table=LINGER_TABLE, protocol=PROTOCOL, metric=_METRIC, source=None)
    return {route.prefix: shadow}
