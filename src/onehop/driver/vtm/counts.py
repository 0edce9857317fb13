"""What the unit has counted for the members of a pool.

`status/local_tm/statistics/nodes/per_pool_node` has a row for each node of each pool. How a row is
named is not known to us, but that it says both: a row is taken for a node's where it contains the
pool's name, and the node's address and port, with whatever separator before the port.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from onehop.base.errors import DriverUnavailable, RejectedError
from onehop.driver.driver import EndpointCount
from onehop.driver.vtm.name import Names
from onehop.driver.vtm.rest import Rest
from onehop.model.endpoint import Endpoint
from onehop.model.ident import PoolId

_ROWS: Final = "nodes/per_pool_node"


async def count_members(
    rest: Rest, names: Names, pools: Iterable[tuple[PoolId, Sequence[Endpoint]]]
) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
    """Return the counts of a few pools; zeros for a member that has no row yet.

    Raises:
        DriverUnavailable: the unit does not answer.
    """
    rows = await _names(rest)
    counted: dict[PoolId, tuple[EndpointCount, ...]] = {}
    for pool, endpoints in pools:
        own = [row for row in rows if names.name(pool) in row]
        counted[pool] = tuple([await _count(rest, endpoint, own) for endpoint in endpoints])
    return counted


async def _names(rest: Rest) -> tuple[str, ...]:
    try:
        return await rest.children(rest.statistics_path(_ROWS))
    except RejectedError as err:
        raise DriverUnavailable(f"reading what nodes there are counts of: {err}") from err


async def _count(rest: Rest, endpoint: Endpoint, rows: Iterable[str]) -> EndpointCount:
    row = next((row for row in rows if _is_of(row, endpoint)), None)
    counters = await _counters(rest, row) if row is not None else {}
    return EndpointCount(
        address=endpoint.address,
        port=endpoint.port,
        requests=int(counters.get("total_conn", 0)),
        failed=int(counters.get("failures", 0)) + int(counters.get("errors", 0)),
        active=int(counters.get("current_requests", 0)),
        health=str(counters["state"]) if "state" in counters else None,
    )


def _is_of(row: str, endpoint: Endpoint) -> bool:
    _, found, rest = row.partition(endpoint.address)
    return bool(found) and rest.lstrip("]:-/ ").partition("-")[0] == str(endpoint.port)


async def _counters(rest: Rest, row: str) -> Mapping[str, Any]:
    try:
        return await rest.statistics(_ROWS, row)
    except RejectedError:  # `statistics.no_counters`: the node is there, and has done nothing yet
        return {}
