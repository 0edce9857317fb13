"""Routes that a BIRD of ours left in the kernel when it went, so that no request was lost."""

from typing import Final

from onehop.net.rtnetlink.kernel import transact
from onehop.net.rtnetlink.listing import routes_in
from onehop.net.rtnetlink.route import KernelRoute, remove_route

_RTPROT_BIRD: Final = 12


async def leftover_routes(table: int) -> tuple[KernelRoute, ...]:
    """Return what BIRDs have put into a table, whether they live or not.

    Raises:
        TransientError: the kernel did not answer.
    """
    return tuple(route for route in await routes_in(table) if route.protocol == _RTPROT_BIRD)


async def remove_leftover_routes(table: int) -> int:
    """Remove them, where BGP has been switched off and no BIRD will; return how many there were.

    Raises:
        TransientError: the kernel did not answer.
    """
    routes = await leftover_routes(table)
    await transact([remove_route(route) for route in routes])
    return len(routes)
