"""Routes that a BIRD of ours left in the kernel when it went, so that no request was lost."""

import socket
from typing import Final

from onehop.net.rtnetlink.kernel import list_all, transact
from onehop.net.rtnetlink.route import KernelRoute, list_routes, read_route, remove_route

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_RTPROT_BIRD: Final = 12


async def leftover_routes(table: int) -> tuple[KernelRoute, ...]:
    """Return what BIRDs have put into a table, whether they live or not.

    Raises:
        TransientError: the kernel did not answer.
    """
    routes = [
        read_route(payload)
        for family in _FAMILIES
        for payload in await list_all(list_routes(family, table))
    ]
    return tuple(
        route for route in routes if route.table == table and route.protocol == _RTPROT_BIRD
    )


async def remove_leftover_routes(table: int) -> int:
    """Remove them, where BGP has been switched off and no BIRD will; return how many there were.

    Raises:
        TransientError: the kernel did not answer.
    """
    routes = await leftover_routes(table)
    await transact([remove_route(route) for route in routes])
    return len(routes)
