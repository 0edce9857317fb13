"""Routes that were withdrawn, kept a little longer for the connections that are under way.

That a route is withdrawn says that nobody vouches for it any more, seldom that the node behind it
is gone: a BGP session that ended took it along. Pods are off that way within milliseconds, but
a request that was sent meanwhile on an open connection would wait for acknowledgements and an
answer that have nowhere to go. So a route that leaves our table stands in another for a while,
which is looked up for TCP only, and only where ours has nothing. What is under way ends where it
began, and no proof rests on it: `net.fib` does not see it (see `table`).
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from typing import Final

import structlog
from msgspec.structs import replace

from onehop.base.errors import TransientError
from onehop.model.address import Cidr
from onehop.net.rtnetlink.kernel import ROUTES, Events, list_all, transact
from onehop.net.rtnetlink.message import Message, Request
from onehop.net.rtnetlink.route import (
    DEL_ROUTE,
    KernelRoute,
    list_routes,
    put_route,
    read_route,
    remove_route,
    route_table,
)
from onehop.net.table import LINGER_TABLE, PROTOCOL, TABLE

LINGER_S: Final = 60.0
"""Longer than nearly every request takes, and than a BGP session needs to come back."""
_LOOK_S: Final = 5.0
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)

_log = structlog.get_logger(__name__)


class LingeringRoutes:
    """Keeps what leaves our routing table, for a while.

    Only plain routes: of one with several hops, another hop stays as a rule.
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
        self._gone: dict[Cidr, KernelRoute] = {}
        """Heard of, and not put yet."""
        self._until: dict[Cidr, float] = {}
        self._routes: dict[Cidr, KernelRoute] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Put and remove routes until cancelled; afterwards none is left."""
        try:
            with Events(ROUTES, hear=self._hear, lose=_pass_over):
                await self._transact([remove_route(route) for route in await _leftovers()])
                while True:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._look_s):
                            await self._wake.wait()
                    self._wake.clear()
                    await self._put()
                    await self._remove(self._due())
        finally:
            await self._remove(tuple(self._routes))

    def _hear(self, message: Message) -> None:
        if message.kind != DEL_ROUTE or route_table(message.payload) != TABLE:
            return
        route = read_route(message.payload)
        if route.is_plain and route.via is not None:
            kept = replace(route, table=LINGER_TABLE, protocol=PROTOCOL, metric=1)
            self._gone[route.prefix] = kept
            self._wake.set()

    async def _put(self) -> None:
        gone, self._gone = self._gone, {}
        await self._transact([put_route(route) for route in gone.values()])
        self._routes |= gone
        self._until |= dict.fromkeys(gone, self._clock() + self._linger_s)

    def _due(self) -> tuple[Cidr, ...]:
        now = self._clock()
        return tuple(prefix for prefix, until in self._until.items() if until <= now)

    async def _remove(self, prefixes: tuple[Cidr, ...]) -> None:
        routes = [self._routes.pop(prefix) for prefix in prefixes]
        for prefix in prefixes:
            del self._until[prefix]
        await self._transact([remove_route(route) for route in routes])

    async def _transact(self, requests: list[Request]) -> None:
        try:
            await transact(requests)  # what is refused leads nowhere any more, or is gone already
        except TransientError as err:
            _log.warning("routes_do_not_linger", error=str(err), routes=len(requests))


async def _leftovers() -> list[KernelRoute]:
    """Return what one of us that was killed has left."""
    try:
        payloads = [
            payload
            for family in _FAMILIES
            for payload in await list_all(list_routes(family, LINGER_TABLE))
        ]
    except TransientError as err:
        _log.warning("routes_do_not_linger", error=str(err), routes=0)
        return []
    routes = map(read_route, payloads)
    return [each for each in routes if each.table == LINGER_TABLE and each.protocol == PROTOCOL]


def _pass_over() -> None:
    """Do without the events that were lost: a route more or less lingers."""
