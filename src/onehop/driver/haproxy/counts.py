"""What HAProxy has counted for the members of a pool, from its statistics (`show stat`)."""

import csv
from collections.abc import Iterable, Mapping

from onehop.driver.driver import EndpointCount
from onehop.driver.haproxy.runtime import Runtime
from onehop.model.endpoint import Endpoint


async def count_members(
    runtime: Runtime, sections: Iterable[str], members: Mapping[str, Endpoint]
) -> tuple[EndpointCount, ...]:
    """Ask for the figures of one pool, in all of its sections together.

    Raises:
        DriverUnavailable: HAProxy does not answer.
    """
    said = [await runtime.ask(f"show stat {section} 4 -1") for section in sections]
    return read_counts(said, members)


def read_counts(said: Iterable[str], members: Mapping[str, Endpoint]) -> tuple[EndpointCount, ...]:
    """Return the figures of the members, by what their servers are called."""
    rows: dict[str, list[Mapping[str, str]]] = {}
    for text in said:
        for row in csv.DictReader(text.removeprefix("# ").splitlines()):
            rows.setdefault(row["svname"], []).append(row)
    return tuple(_count(each, rows[name]) for name, each in members.items() if name in rows)


def _count(member: Endpoint, rows: list[Mapping[str, str]]) -> EndpointCount:
    """Return one member's figures; a session of HAProxy's is a request, or a connection of TCP."""
    sums = {
        column: sum(int(row[column] or 0) for row in rows)
        for column in ("stot", "econ", "eresp", "scur")
    }
    return EndpointCount(
        address=member.address,
        port=member.port,
        requests=sums["stot"],
        failed=sums["econ"] + sums["eresp"],
        active=sums["scur"],
        health=rows[0]["status"].lower(),
    )
