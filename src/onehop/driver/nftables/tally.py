"""How many connections each member of a pool was given, from the counters of its elements."""

from collections.abc import Collection, Mapping

from onehop.driver.driver import EndpointCount
from onehop.driver.nftables.element import Entrance
from onehop.driver.nftables.table import KernelTable
from onehop.driver.nftables.wanted import Served, member_place
from onehop.model.address import IpAddr
from onehop.model.endpoint import PoolEndpoints


async def count_members(
    table: KernelTable,
    members: PoolEndpoints,
    served: Mapping[Entrance, Served],
    failed: Collection[tuple[IpAddr, int]],
) -> tuple[EndpointCount, ...]:
    """Return a count for each member, over all entrances that send to the pool.

    Raises:
        DriverUnavailable: the kernel does not answer.
    """
    places = {
        (at, socket): member_place(at, number)
        for at, each in served.items()
        for socket, number in each.members.items()
    }
    counted = await table.count(places.values())
    sums: dict[tuple[IpAddr, int], int] = {}
    for (_, socket), place in places.items():
        sums[socket] = sums.get(socket, 0) + counted.get(place, 0)
    return tuple(
        EndpointCount(
            address=each.address,
            port=each.port,
            requests=sums.get((each.address, each.port), 0),
            health="unhealthy" if (each.address, each.port) in failed else "healthy",
        )
        for each in members.endpoints
    )
