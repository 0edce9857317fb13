"""The same way from live counters: what went to each endpoint, and over which rung."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from onehop.control.explain.explanation import (
    Answer,
    Explanation,
    MemberStep,
    PoolStep,
    RungStep,
    Traffic,
)
from onehop.driver import EndpointCount
from onehop.model.ident import PoolId

Counts: TypeAlias = Mapping[PoolId, tuple[EndpointCount, ...]]
"""By pool."""


def with_traffic(answer: Answer, counts: Counts) -> Answer:
    """Return the explanation with what the data plane has counted; pools without stay as they are.

    Counts are totals since an endpoint came: a share over hours, not the rate of this moment.
    """
    if not isinstance(answer, Explanation):
        return answer
    pools = tuple(_pool(pool, counts.get(PoolId(pool.id), ())) for pool in answer.pools)
    return msgspec.structs.replace(answer, pools=pools)


def _pool(pool: PoolStep, counts: tuple[EndpointCount, ...]) -> PoolStep:
    if not counts:
        return pool
    found = {(str(count.address), count.port): count for count in counts}
    members = tuple(_member(m, found.get((m.address, m.port))) for m in pool.members)
    rungs = tuple(_rung(rung, members) for rung in pool.rungs)
    return msgspec.structs.replace(pool, members=members, rungs=rungs)


def _member(member: MemberStep, count: EndpointCount | None) -> MemberStep:
    if count is None:
        return member
    traffic = Traffic(
        requests=count.requests, failed=count.failed, active=count.active, health=count.health
    )
    return msgspec.structs.replace(member, traffic=traffic)


def _rung(rung: RungStep, members: tuple[MemberStep, ...]) -> RungStep:
    total = sum(member.traffic.requests for member in members if member.traffic is not None)
    here = sum(
        member.traffic.requests
        for member in members
        if member.traffic is not None and member.rung is rung.rung
    )
    percent = round(100 * here / total, 1) if total else None
    return msgspec.structs.replace(rung, traffic_percent=percent)
