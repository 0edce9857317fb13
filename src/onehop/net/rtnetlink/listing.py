"""Reading a whole routing table, of both families."""

import socket
from typing import Final

from onehop.net.rtnetlink.kernel import list_all
from onehop.net.rtnetlink.route import KernelRoute, list_routes, read_route

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)


async def routes_in(table: int) -> tuple[KernelRoute, ...]:
    """Return the routes of one table, whoever put them there; others are left out.

    Raises:
        TransientError: the kernel did not answer.
    """
    found = [
        read_route(payload)
        for family in _FAMILIES
        for payload in await list_all(list_routes(family, table))
    ]
    return tuple(route for route in found if route.table == table)
