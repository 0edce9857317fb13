"""An apply that is cut short anywhere: killed, at a member that dies, by a Lease that is lost.

One change is made of everything that a change can be: a pool, a monitor, a class and a certificate
that come, a rule that is another, a listener, a host and a pool that go. It is cut short at every
write that it consists of, in turn.
"""

import asyncio
import contextlib
import copy
from collections.abc import AsyncGenerator
from typing import Final

import msgspec
import pytest

from onehop.driver.vtm import VtmDriver
from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY, Behaviour, Fault
from onehop.lab.vtm.functions import Request, UsePool
from onehop.lab.vtm.store import Stored
from onehop.lab.vtm.trafficscript import run_request_rule
from onehop.model.listener import ForwardHttp, ForwardTcp, Vip
from onehop.model.model import Row, change_between, model_of
from onehop.model.pool import BackendProtocol, HealthCheck, SourceIpPersistence
from onehop.model.route import Guard, HeaderEdit, RateLimit
from onehop.plan import make_plan
from tests.driver_vtm.stage import (
    HTTPS,
    NAMES,
    VIP,
    Stage,
    certificate,
    forward,
    host,
    listener,
    members,
    pool,
    route,
    server_name,
    shop,
    stage,
    start,
    until,
)

OLD = pool("old", protocol=BackendProtocol.TCP)
NEW = pool("new", health_check=HealthCheck(), persistence=SourceIpPersistence())
WWW = certificate("www")
BEFORE: Final[tuple[Row, ...]] = (
    *shop(),
    Vip(address=VIP),
    OLD,
    members(OLD, 7),
    listener(5432, ForwardTcp(pool=OLD.id), sources=("10.0.0.0/8",)),
    host("gone.example", route(forward(pool("web")))),
)
AFTER: Final[tuple[Row, ...]] = (
    *shop(),
    Vip(address=VIP),
    NEW,
    members(NEW, 3, 4),
    WWW,
    server_name("*", WWW),
    listener(443, ForwardHttp(router=HTTPS, tls=True)),
    host("new.example", route(forward(NEW)), router=HTTPS),
    host(
        "b.example",
        route(
            forward(NEW),
            guard=Guard(rate_limit=RateLimit(requests=5)),
            response_headers=HeaderEdit(set=(("x", "1"),)),
        ),
    ),
)
WRITES: Final = 15
"""So many there are from `BEFORE` to `AFTER`, deletions included: a test counts them."""

HASTY: Final = {"resync_s": 0.02, "orphan_grace_s": 0.02, "grace_s": 0.02}

BOTH = pytest.mark.parametrize("behaviour", [ONE_WAY, THE_OTHER_WAY], ids=["one", "other"])


@contextlib.asynccontextmanager
async def _before(unit: Stage, **options: object) -> AsyncGenerator[VtmDriver]:
    """Return a driver at whose unit `BEFORE` is served, and nothing was written since."""
    async with unit.driver(**options) as driver:
        assert (await start(driver, *BEFORE)).refused == ()
        unit.cluster.writes.clear()
        yield driver


async def _apply(driver: VtmDriver) -> None:
    plan = make_plan(change_between(model_of(BEFORE), model_of(AFTER)))
    assert (await driver.apply(plan)).refused == ()


async def _converged(unit: Stage, driver: VtmDriver) -> dict[tuple[str, str], Stored]:
    """Wait until what is wanted no more is deleted; return what there is."""
    wanted = {(str(key.kind), key.name) for key in driver._wanted.objects}
    await until(lambda: unit.first.objects.keys() == wanted, "only what is wanted is there")
    return copy.deepcopy(unit.first.objects)


def _still_serves(unit: Stage, member: int = 0) -> bool:
    """Tell whether a host of before and after gets its pool, with its nodes."""
    objects = unit.cluster.members[member].objects
    server = objects["virtual_servers", NAMES.name("listener-80")]
    rule = objects["rules", NAMES.name("listener-80")]
    pool_ = objects["pools", NAMES.name("shop/web:80")]
    assert isinstance(rule, str)
    assert not isinstance(server, str)
    assert not isinstance(pool_, str)
    chosen = run_request_rule(rule, Request(headers={"host": "a.example"}))
    is_whole = len(pool_["basic"]["nodes_table"]) == 2 and server["basic"]["enabled"] is True
    return is_whole and chosen == UsePool(NAMES.name("shop/web:80"))


async def _uncut(unit: Stage) -> dict[tuple[str, str], Stored]:
    async with _before(unit, grace_s=0.02) as driver:
        await _apply(driver)
        return await _converged(unit, driver)


_ENDS: dict[Behaviour, dict[tuple[str, str], Stored]] = {}


async def _end(behaviour: Behaviour) -> dict[tuple[str, str], Stored]:
    """Return what is on a unit when nothing has gone wrong; found out once."""
    if behaviour not in _ENDS:
        async with stage(behaviour) as unit:
            _ENDS[behaviour] = await _uncut(unit)
    return _ENDS[behaviour]


@BOTH
async def test_so_many_writes_there_are(behaviour: Behaviour) -> None:
    """What follows tries them all, and does not miss one that is new."""
    async with stage(behaviour) as unit:
        await _uncut(unit)
        assert len(unit.cluster.writes) == WRITES


@BOTH
@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.SLOW_AFTER], ids=["undone", "done"])
@pytest.mark.parametrize("last", range(WRITES))
async def test_a_process_that_is_killed_leaves_what_its_successor_ends(
    behaviour: Behaviour, fault: Fault, last: int
) -> None:
    """Whichever write was the last, carried out or not: no traffic is lost, and all converges."""
    async with stage(behaviour) as unit:
        async with _before(unit, timeout_s=60.0) as driver:
            unit.first.faults.methods = frozenset(("PUT", "DELETE"))
            unit.first.faults.next = [Fault.NONE] * last + [fault]
            killed = asyncio.create_task(_apply(driver))
            await until(lambda: not unit.first.faults.next, "it hangs")
            killed.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await killed
            assert _still_serves(unit)
            assert unit.first.errors() == []
        unit.first.faults.next = []

        async with unit.driver(**HASTY) as successor:
            assert (await start(successor, *AFTER)).refused == ()
            assert _still_serves(unit)
            held = await _converged(unit, successor)
            assert successor.problems() == ()
            assert successor.describe()["connected"] == "yes"
    assert held == await _end(behaviour)


@BOTH
@pytest.mark.parametrize("last", range(WRITES - 3))
async def test_a_member_that_dies_within_an_apply_is_followed_by_another(
    behaviour: Behaviour, last: int
) -> None:
    """What it had not passed on is written again there: nothing dangles, nothing is refused."""
    async with stage(behaviour) as unit:
        second = unit.cluster.members[1]
        async with _before(unit, replication_s=30.0, grace_s=60.0) as driver:
            second.settle()
            behaviour = msgspec.structs.replace(unit.cluster.behaviour, replication_s=3600.0)
            unit.cluster.behaviour = behaviour
            unit.first.faults.methods = frozenset(("PUT", "DELETE"))
            unit.first.faults.next = [Fault.NONE] * last + [Fault.DIES]

            await _apply(driver)

            assert driver.describe()["member"] == unit.urls[1]
            assert second.errors() == []
            assert _still_serves(unit, 1)
            wanted = {(str(key.kind), key.name) for key in driver._wanted.objects}
            assert wanted <= second.objects.keys()
            assert driver.problems() == ()


@BOTH
@pytest.mark.parametrize("last", range(0, WRITES, 2))
async def test_a_holder_that_loses_the_lease_writes_no_more(
    behaviour: Behaviour, last: int
) -> None:
    """It is asked before each write; who holds the Lease now finds everything, and ends it."""
    async with stage(behaviour) as unit, _before(unit) as first:
        writes = first.remote_counts().writes
        first.may_write = lambda: first.remote_counts().writes < writes + last

        await _apply(first)

        assert first.remote_counts().writes <= writes + last
        assert _still_serves(unit)
        async with unit.driver(**HASTY) as holder:
            assert (await start(holder, *AFTER)).refused == ()
            held = await _converged(unit, holder)
            first.may_write = lambda: False
            assert first.describe()["writes_it"] == "no, another host does"
            assert unit.first.errors() == []
    assert held == await _end(behaviour)


async def test_a_holder_anew_reads_before_it_writes() -> None:
    """What others wrote meanwhile is no drift, and what it thought to be there is read again."""
    web = pool("web")
    async with stage(ONE_WAY) as unit, _before(unit) as first, unit.driver() as second:
        may = {"first": False}
        first.may_write, second.may_write = (lambda: may["first"]), (lambda: not may["first"])
        assert (await start(second, *BEFORE)).refused == ()
        await until(lambda: first._hand._stands_by, "it has noticed")
        second.set_endpoints(members(web, 9))
        await until(lambda: unit.nodes(web) == ["10.244.0.9:8080"], "the holder writes")
        may["first"] = True

        first.set_endpoints(members(web, 1, 2))

        await until(lambda: _still_serves(unit), "the new holder writes what it knows")
        assert first.describe()["drifted"] == "0"
