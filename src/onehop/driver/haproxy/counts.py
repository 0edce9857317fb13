"""What HAProxy has counted for the members of a pool, from its statistics (`show stat`)."""

import csv
from collections.abc import Mapping

from onehop.driver.driver import EndpointCount
from onehop.driver.haproxy.runtime import Runtime
from onehop.model.endpoint import Endpoint


async def count_members(
    runtime: Runtime, backend: str, members: Mapping[str, Endpoint]
) -> tuple[EndpointCount, ...]:
    """Ask for the figures of one pool.

    Raises:
        DriverUnavailable: HAProxy does not answer.
    """
    return read_counts(await runtime.ask(f"show stat {backend} 4 -1"), members)


def read_counts(said: str, members: Mapping[str, Endpoint]) -> tuple[EndpointCount, ...]:
    """Return the figures of the members, by what their servers are called."""
    rows = {row["svname"]: row for row in csv.DictReader(said.removeprefix("# ").splitlines())}
    return tuple(_count(each, rows[name]) for name, each in members.items() if name in rows)


def _count(member: Endpoint, row: Mapping[str, str]) -> EndpointCount:
    """Return one member's figures; a session of HAProxy's is a request, or a connection of TCP."""
    failed = sum(int(row[column] or 0) for column in ("econ", "eresp"))
    return EndpointCount(
        address=member.address,
        port=member.port,
        requests=int(row["stot"] or 0),
        failed=failed,
        active=int(row["scur"] or 0),
        health=row["status"].lower(),
    )
