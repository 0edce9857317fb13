"""What is written to a unit, when, and in which order."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from onehop.driver.vtm.content import ORDER, Kind
from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY, Fault
from onehop.model.listener import ForwardHttp, ForwardTcp
from onehop.model.model import RowKey, Table
from onehop.model.pool import BackendProtocol, BackendTls, CookiePersistence, HealthCheck
from onehop.model.route import HeaderEdit
from tests.driver_vtm.stage import (
    HTTPS,
    NAMES,
    Stage,
    bring_to,
    certificate,
    endpoint,
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


@pytest.fixture(params=[ONE_WAY, THE_OTHER_WAY], ids=["one-way", "the-other-way"])
async def unit(request: pytest.FixtureRequest) -> AsyncGenerator[Stage]:
    async with stage(request.param) as made:
        yield made


async def test_a_second_start_writes_nothing(unit: Stage) -> None:
    """A restarted process finds its objects, compares as the unit does, and lets them be."""
    kept = pool("kept", persistence=CookiePersistence(name="onehop"), health_check=HealthCheck())
    www = certificate("www")
    rows = (
        *shop(),
        kept,
        members(kept, endpoint(7, weight=500), endpoint(8, weight=1000, drains=True)),
        www,
        listener(443, ForwardHttp(router=HTTPS, tls=True)),
        server_name("*", www),
        server_name("www.a.example", www),
        host("www.a.example", route(forward(kept), response_headers=HeaderEdit(set=(("x", "1"),)))),
    )
    async with unit.driver() as driver:
        assert (await start(driver, *rows)).refused == ()
    unit.cluster.writes.clear()

    async with unit.driver() as driver:
        receipt = await start(driver, *rows)

    assert receipt.refused == ()
    assert unit.cluster.writes == []


async def test_an_endpoint_change_is_one_call_for_one_property(unit: Stage) -> None:
    """The pool's table of nodes, and nothing else of the unit; nothing is read before."""
    web = pool("web")
    async with unit.driver() as driver:
        await start(driver, *shop())
        unit.cluster.writes.clear()
        calls = driver._hand.rest.calls.made

        driver.set_endpoints(members(web, 1, 2, 3))

        await until(lambda: len(unit.nodes(web)) == 3, "the third node is there")
        await until(lambda: driver._lane.is_idle, "the answer is there")
        assert driver._hand.rest.calls.made == calls + 1
    assert [(write.collection, write.sections) for write in unit.cluster.writes] == [
        ("pools", ("basic",))
    ]


async def test_changes_during_a_write_become_one(unit: Stage) -> None:
    """However many come while a pool's write is in flight, the next one has the newest."""
    web = pool("web")
    async with unit.driver() as driver:
        await start(driver, *shop())
        unit.cluster.writes.clear()
        for last in range(3, 40):
            driver.set_endpoints(members(web, last))
            if last == 3:
                await asyncio.sleep(0)  # the lane begins with the first
        await until(lambda: unit.nodes(web) == ["10.244.0.39:8080"], "the newest is there")
    assert len(unit.cluster.wrote("pools")) <= 2


async def test_what_is_pointed_at_is_written_first_and_deleted_last(unit: Stage) -> None:
    """No moment in which an object names one that is not there."""
    kept = pool("kept", persistence=CookiePersistence(name="onehop"), health_check=HealthCheck())
    rows = (kept, members(kept, 1), listener(), host("a.example", route(forward(kept))))
    async with unit.driver() as driver:
        await start(driver, *rows)
        made = [ORDER[Kind(write.collection)] for write in unit.cluster.writes]
        assert made == sorted(made)
        assert unit.first.errors() == []
        unit.cluster.writes.clear()

        await bring_to(driver)
        await until(lambda: not unit.first.objects, "all is deleted")

    gone = [write for write in unit.cluster.writes if write.method == "DELETE"]
    order = [ORDER[Kind(write.collection)] for write in gone]
    assert order == sorted(order, reverse=True)


async def test_a_listener_stops_listening_before_it_is_deleted(unit: Stage) -> None:
    """Two phases: the socket is free at once, the object goes when requests had their time."""
    async with unit.driver(grace_s=60.0) as driver:
        await start(driver, *shop())

        await bring_to(driver, pool("web"), members(pool("web"), 1, 2))

        server = unit.object("virtual_servers", "listener-80")
        assert not isinstance(server, str)
        assert server["basic"]["enabled"] is False
        await bring_to(driver, *shop())
        again = unit.object("virtual_servers", "listener-80")
        assert not isinstance(again, str)
        assert again["basic"]["enabled"] is True


async def test_objects_of_others_are_left_alone(unit: Stage) -> None:
    """Whatever they are called: only our name *and* our mark make an object ours."""
    taken = NAMES.name("shop/web:80")
    theirs = {"basic": {"note": "of the web team", "nodes_table": []}}
    unit.first.put(("pools", taken), "6.0", theirs)
    unit.first.put(("pools", f"{NAMES.prefix}old"), "6.0", theirs)
    unit.cluster.writes.clear()
    async with unit.driver(orphan_grace_s=0.0, resync_s=0.05) as driver:
        receipt = await start(driver, *shop())
        await asyncio.sleep(0)
        await until(lambda: driver._hand.rest.calls.made > 60, "it has compared several times")

    assert [refusal.key for refusal in receipt.refused] == [RowKey(Table.POOL, "shop/web:80")]
    assert "without our mark" in receipt.refused[0].reason
    assert unit.cluster.wrote("pools") == []


async def test_a_new_certificate_replaces_key_and_chain_in_one_write(unit: Stage) -> None:
    """And the key is not sent again where it is the same."""
    secure = listener(443, ForwardHttp(router=HTTPS, tls=True))
    one, two = certificate("www"), certificate("www", "two")
    async with unit.driver() as driver:
        await start(driver, one, secure, server_name("*", one))
        unit.cluster.writes.clear()
        await bring_to(driver, two, secure, server_name("*", two))

    assert len(unit.cluster.writes) == 1
    stored = unit.object("ssl/server_keys", one.id)
    assert not isinstance(stored, str)
    assert stored["basic"]["private"] == two.key_pem.reveal
    assert stored["basic"]["public"] == two.chain_pem


async def test_what_an_earlier_process_left_is_deleted_later(unit: Stage) -> None:
    """Not before a plan was made, and after a longer grace."""
    async with unit.driver() as driver:
        await start(driver, *shop())
    async with unit.driver(orphan_grace_s=0.1, resync_s=0.05) as driver:
        await until(lambda: driver._hand.rest.calls.made > 60, "it has compared several times")
        assert unit.has("virtual_servers", "listener-80")

        api = pool("api")
        await start(driver, api, members(api, 1))

        await until(lambda: not unit.has("pools", "shop/web:80"), "the orphans are gone")
        assert unit.has("pools", "shop/api:80")


async def test_many_orphans_are_kept(unit: Stage) -> None:
    """A process that knows too little deletes nothing much: somebody has to look."""
    pools = [pool(f"p{number}") for number in range(30)]
    async with unit.driver() as driver:
        await start(driver, *pools)
    async with unit.driver(orphan_grace_s=0.0, resync_s=0.05) as driver:
        await start(driver, pools[0])
        await until(lambda: driver.describe()["withheld"] == "29", "they are withheld")
        assert all(unit.has("pools", each.id) for each in pools)


async def test_one_refused_object_harms_only_its_row(unit: Stage) -> None:
    """The unit's words are in the Receipt; the row keeps what it had, the others are served."""
    web, api = pool("web"), pool("api")
    async with unit.driver() as driver:
        unit.first.faults.refuse.add(f"pools/{NAMES.name(api.id)}")
        both = forward(web, api)
        receipt = await start(driver, *shop(), api, members(api, 3), host("b.example", route(both)))

        assert [refusal.key.id for refusal in receipt.refused] == [api.id]
        is_told = unit.cluster.behaviour.tells_error_info
        words = "Value '-1' must be within 1-100" if is_told else "The resource provided is invalid"
        assert words in receipt.refused[0].reason
        assert api not in (await driver.read_back()).pools
        rule = unit.object("rules", "listener-80")
        assert isinstance(rule, str)
        assert "503 Service Unavailable" in rule  # in place of the pool that is not there

        unit.first.faults.refuse.clear()
        receipt = await bring_to(
            driver, *shop(), api, members(api, 3), host("b.example", route(both))
        )
        assert receipt.refused == ()
        assert "503" not in str(unit.object("rules", "listener-80"))


async def test_what_the_driver_cannot_do_is_named(unit: Stage) -> None:
    """A pool that would be served wrongly is refused; a listener is served without the part."""
    strict = pool("strict", tls=BackendTls(ca_pem="pem", server_name="x"))
    grpc = pool("grpc", protocol=BackendProtocol.GRPC)
    quick = listener(443, ForwardHttp(router=HTTPS, tls=True, http3=True))
    async with unit.driver() as driver:
        receipt = await start(driver, strict, grpc, quick)

    reasons = {refusal.key.id: refusal.reason for refusal in receipt.refused}
    assert reasons.keys() == {strict.id, grpc.id, quick.id}
    assert reasons[quick.id] == "served without HTTP/3"
    assert not unit.has("pools", strict.id)
    assert unit.has("virtual_servers", quick.id)


async def test_sources_of_a_tcp_listener_are_a_protection_class(unit: Stage) -> None:
    """A stream has no rule that could look; the class comes and goes with the sources."""
    plain = pool("tcp", protocol=BackendProtocol.TCP)
    inside = listener(5432, ForwardTcp(pool=plain.id), sources=("10.0.0.0/8",))
    outside = listener(5432, ForwardTcp(pool=plain.id))
    async with unit.driver() as driver:
        await start(driver, plain, members(plain, 1), inside)
        assert unit.has("protection", inside.id)

        await bring_to(driver, plain, members(plain, 1), outside)
        await until(lambda: not unit.has("protection", inside.id), "the class is gone")


async def test_a_call_that_is_slow_does_not_hold_up_other_pools(unit: Stage) -> None:
    """Each pool's write waits for itself alone."""
    web, api = pool("web"), pool("api")
    async with unit.driver(timeout_s=5.0) as driver:
        await start(driver, web, members(web, 1), api, members(api, 1))
        unit.first.faults.methods = frozenset(("PUT",))
        unit.first.faults.next.append(Fault.SLOW)

        driver.set_endpoints(members(api, 2))
        await until(lambda: not unit.first.faults.next, "the first write hangs")
        driver.set_endpoints(members(web, 2))

        await until(lambda: unit.nodes(web) == ["10.244.0.2:8080"], "the second one is done")
        assert unit.nodes(api) == ["10.244.0.1:8080"]
