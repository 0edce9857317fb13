"""Bad days: what is served stays, the state converges, and somebody is told."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest
import structlog

from onehop.base.errors import ConfigError, DriverUnavailable, TransientError
from onehop.control.refusals import Refusals
from onehop.driver import Receipt, Refusal, SharedDriver
from onehop.driver.vtm import VtmDriver, VtmOptions
from onehop.lab.vtm import VtmCluster, serve_vtm
from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY, Behaviour, Fault
from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import ObjectRef
from onehop.model.listener import ForwardHttp, TlsPolicy
from onehop.model.model import Change, Model, change_between, key_of, model_of
from onehop.model.pool import CookiePersistence, HealthCheck
from onehop.model.problem import Severity
from onehop.plan import make_plan
from tests.driver_vtm.stage import (
    HASTY_S,
    HTTPS,
    NAMES,
    PATIENCE_S,
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
    self_signed,
    server_name,
    shop,
    stage,
    start,
    until,
)

ONE_BY_ONE = [fault for fault in Fault if fault not in {Fault.NONE, Fault.DIES}]


@pytest.fixture(params=[ONE_WAY, THE_OTHER_WAY], ids=["one-way", "the-other-way"])
async def unit(request: pytest.FixtureRequest) -> AsyncGenerator[Stage]:
    async with stage(request.param) as made:
        yield made


@pytest.mark.parametrize("fault", ONE_BY_ONE)
@pytest.mark.parametrize("which", [0, 3])
async def test_a_write_that_goes_wrong_is_made_good(unit: Stage, fault: Fault, which: int) -> None:
    """Whatever happens to a call of an apply, another apply of the same leads to the same end."""
    web, api = pool("web"), pool("api")
    rows = (*shop(), api, members(api, 3), host("b.example", route(forward(web, api))))
    async with unit.driver(resync_s=3600.0, timeout_s=HASTY_S) as driver:
        await start(driver, *shop())
        served = dict(unit.first.objects)
        for member in unit.cluster.members:
            member.faults.methods = frozenset(("PUT",))
            member.faults.next = [fault] * (which + 1)
        plan = make_plan(change_between(model_of(shop()), model_of(rows)))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    receipt = await driver.apply(plan)
                except TransientError:
                    assert served.keys() <= unit.first.objects.keys()  # nothing is lost meanwhile
                    await asyncio.sleep(0.05)
                else:
                    break
        for member in unit.cluster.members:
            member.faults.next = []
        if fault is Fault.HALF:
            await driver._hand.verify()
        else:
            assert receipt.refused == ()
        assert await driver.read_back() == model_of(rows)
    unit.cluster.writes.clear()
    async with unit.driver() as again:
        await start(again, *rows)
    assert unit.cluster.writes == []


@pytest.mark.parametrize("fault", [Fault.HTML, Fault.CUT, Fault.SLOW, Fault.CUT_AFTER])
async def test_endpoints_arrive_though_the_first_write_fails(unit: Stage, fault: Fault) -> None:
    """The lane tries again, at another member if there is one, with what is newest then."""
    async with unit.driver(timeout_s=HASTY_S) as driver:
        await start(driver, *shop())
        unit.first.faults.methods = frozenset(("PUT",))
        unit.first.faults.next = [fault]

        driver.set_endpoints(members(pool("web"), 5))

        await until(lambda: _is_there(unit), "it is at one of the members")


def _is_there(unit: Stage) -> bool:
    for member in unit.cluster.members:
        member.settle()
        content = member.objects["pools", NAMES.name("shop/web:80")]
        assert not isinstance(content, str)
        if [row["node"] for row in content["basic"]["nodes_table"]] == ["10.244.0.5:8080"]:
            return True
    return False


async def test_another_member_takes_over() -> None:
    """When a member does not answer, the next is spoken to, and everything is compared anew."""
    async with stage(Behaviour(replication_s=0.2)) as unit:
        web, api = pool("web"), pool("api")
        async with unit.driver(replication_s=0.3) as driver:
            await start(driver, *shop())
            unit.first.faults.is_down = True

            receipt = await bring_to(driver, *shop(), api, members(api, 3))

            assert receipt.refused == ()
            assert driver.describe()["member"] == unit.urls[1]
            second = unit.cluster.members[1]
            await until(lambda: ("pools", NAMES.name(api.id)) in second.objects, "it is there")
            # What the first one had not yet replicated is written again, or has arrived.
            second.settle()
            await until(lambda: ("pools", NAMES.name(web.id)) in second.objects, "all is there")


async def test_a_unit_that_is_away_is_said_to_be() -> None:
    """No member answers: the plan fails as unavailable; later it is made."""
    async with stage() as unit, unit.driver() as driver:
        for member in unit.cluster.members:
            member.faults.is_down = True
        plan = make_plan(change_between(Model(), model_of(shop())))
        with pytest.raises(DriverUnavailable):
            await driver.apply(plan)
        for member in unit.cluster.members:
            member.faults.is_down = False

        assert (await driver.apply(plan)).refused == ()
        assert unit.has("virtual_servers", "listener-80")


async def test_a_driver_does_not_start_without_a_unit() -> None:
    """It says which member it asked, and what came of it."""
    async with stage() as unit:
        for member in unit.cluster.members:
            member.faults.next = [Fault.HTML] * 9
        with pytest.raises(DriverUnavailable, match="503, and not in JSON"):
            async with unit.driver():
                pass


async def test_a_wrong_password_is_named() -> None:
    """The unit's own words, and a password that was changed is read again."""
    async with stage() as unit:
        unit.cluster.password = "another"
        with pytest.raises(DriverUnavailable, match=r"auth\.invalid"):
            async with unit.driver():
                pass
        unit.options.password_file.write_text("another")
        async with unit.driver() as driver:
            unit.cluster.password = "a third"
            unit.options.password_file.write_text("a third")
            assert (await start(driver, *shop())).refused == ()


async def test_a_missing_password_file_is_the_operators_fault() -> None:
    """The message names the file."""
    async with stage() as unit:
        gone = unit.options.password_file.with_name("gone")
        with pytest.raises(ConfigError, match="gone"):
            async with unit.driver(password_file=gone):
                pass


async def test_edits_by_hand_are_reported_and_repaired(unit: Stage) -> None:
    """A changed field, a deleted object, an edited rule: named in the log, then as they were."""
    web = pool("web")
    with structlog.testing.capture_logs() as logs:
        async with unit.driver(resync_s=0.05) as driver:
            await start(driver, *shop())
            changed = unit.object("pools", web.id)
            assert not isinstance(changed, str)
            rule = unit.object("rules", "listener-80")
            nodes = [{**row, "state": "disabled"} for row in changed["basic"]["nodes_table"]]
            edited = {**changed, "basic": {**changed["basic"], "nodes_table": nodes}}
            unit.first.objects["pools", NAMES.name(web.id)] = edited
            unit.first.objects["rules", NAMES.name("listener-80")] = f"{rule}# mine\n"
            del unit.first.objects["virtual_servers", NAMES.name("listener-80")]

            await until(lambda: driver.describe()["drifted"] == "3", "all three are found")
            await until(lambda: unit.has("virtual_servers", "listener-80"), "repaired")
            await until(lambda: unit.object("rules", "listener-80") == rule, "repaired")
            repaired = unit.object("pools", web.id)
            assert not isinstance(repaired, str)
            assert {row["state"] for row in repaired["basic"]["nodes_table"]} == {"active"}

    told = {entry["object"]: entry["fields"] for entry in logs if entry["event"] == "vtm_drift"}
    assert told[f"pools/{NAMES.name(web.id)}"] == ("basic.nodes_table",)
    assert told[f"virtual_servers/{NAMES.name('listener-80')}"] == "gone"
    assert told[f"rules/{NAMES.name('listener-80')}"] == ("text",)


async def test_fields_that_are_not_ours_may_be_set_by_hand(unit: Stage) -> None:
    """An operator tunes what onehop says nothing about; that is no drift, and stays."""
    web = pool("web")
    async with unit.driver(resync_s=0.05) as driver:
        await start(driver, *shop())
        unit.first.put(
            ("pools", NAMES.name(web.id)), "6.0", {"basic": {"node_close_with_rst": True}}
        )
        calls = driver._hand.rest.calls.made
        await until(lambda: driver._hand.rest.calls.made > calls + 40, "it has compared")
        driver.set_endpoints(members(web, 9))
        await until(lambda: unit.nodes(web) == ["10.244.0.9:8080"], "written")

        tuned = unit.object("pools", web.id)
        assert not isinstance(tuned, str)
        assert tuned["basic"]["node_close_with_rst"] is True
        assert driver.describe()["drifted"] == "0"


async def test_two_processes_of_one_owner_agree(unit: Stage) -> None:
    """Both want the same, so the second finds everything done, and neither undoes the other."""
    async with unit.driver(resync_s=0.05) as one, unit.driver(resync_s=0.05) as two:
        await start(one, *shop())
        before = len(unit.cluster.writes)
        await start(two, *shop())

        assert len(unit.cluster.writes) - before <= 5  # it read the unit before the first wrote
        settled = len(unit.cluster.writes)
        calls = two._hand.rest.calls.made
        await until(lambda: two._hand.rest.calls.made > calls + 60, "both have compared")
        assert len(unit.cluster.writes) == settled


async def test_two_owners_share_a_unit(unit: Stage) -> None:
    """Even where one name begins with the other, nobody touches the other's objects."""
    eager = {"resync_s": 0.05, "orphan_grace_s": 0.0}
    async with unit.driver(owner="a", **eager) as one, unit.driver(owner="a-b", **eager) as two:
        await start(one, *shop())
        await start(two, *shop())
        calls = one._hand.rest.calls.made, two._hand.rest.calls.made
        await until(lambda: one._hand.rest.calls.made > calls[0] + 60, "one has compared")
        await until(lambda: two._hand.rest.calls.made > calls[1] + 60, "two has compared")

        names = [name for kind, name in unit.first.objects if kind == "virtual_servers"]
        assert len(names) == 2


async def test_an_old_unit_is_not_sent_what_it_does_not_know() -> None:
    """REST 6.0 has no TLS 1.3: the field is left out, and the rest served."""
    for tells in (True, False):
        old = msgspec.structs.replace(ONE_WAY, versions=("5.2", "6.0"), tells_metadata=tells)
        async with stage(old) as unit, unit.driver() as driver:
            www = certificate("www")
            usual = listener(443, ForwardHttp(router=HTTPS, tls=True))
            modern = listener(444, ForwardHttp(router=HTTPS, tls=True, tls_policy=TlsPolicy.MODERN))
            receipt = await start(driver, www, usual, modern, server_name("*", www))

            assert [refusal.key.id for refusal in receipt.refused] == [modern.id]
            assert driver.describe()["rest_version"] == "6.0"


@pytest.mark.parametrize("version", ["6.0", "6.1", "6.2", "7.0", "7.1", "8.0", "8.1", "8.2", "8.3"])
@pytest.mark.parametrize("tells_metadata", [True, False])
async def test_every_version_that_we_speak_is_spoken(version: str, *, tells_metadata: bool) -> None:
    """All is taken by a unit that speaks no other, and a second start writes nothing."""
    only = msgspec.structs.replace(ONE_WAY, versions=(version,), tells_metadata=tells_metadata)
    kept = pool("kept", persistence=CookiePersistence(name="onehop"), health_check=HealthCheck())
    www = certificate("www")
    rows = (
        *shop(),
        *(kept, members(kept, 4), www, server_name("*", www)),
        listener(443, ForwardHttp(router=HTTPS, tls=True)),
        host("k.example", route(forward(kept)), router=HTTPS),
    )
    async with stage(only) as unit:
        async with unit.driver() as driver:
            assert (await start(driver, *rows)).refused == ()
            assert driver.describe()["rest_version"] == version
        unit.cluster.writes.clear()
        async with unit.driver() as driver:
            assert (await start(driver, *rows)).refused == ()
        assert unit.cluster.writes == []


async def test_an_object_that_is_too_large_is_refused_alone() -> None:
    """413, by whoever is in front of the unit: the next try would be no smaller."""
    small = msgspec.structs.replace(ONE_WAY, largest_body=20_000)
    huge = pool("huge")
    crowd = PoolEndpoints(
        huge.id,
        tuple(
            Endpoint(address=IpAddr(f"10.244.{number >> 8}.{number & 255}"), port=8080)
            for number in range(1000)
        ),
    )
    async with stage(small) as unit, unit.driver(timeout_s=10.0) as driver:
        receipt = await start(driver, *shop(), huge, crowd)

        assert [refusal.key.id for refusal in receipt.refused] == [huge.id]
        assert "413" in receipt.refused[0].reason
        assert unit.has("virtual_servers", "listener-80")


async def test_nodes_by_ipv6_mean_the_same_however_they_are_spelled(unit: Stage) -> None:
    """A unit that writes an address out in full is not written to again."""
    six = pool("six")
    node = Endpoint(address=IpAddr("2001:db8::1"), port=8080)
    async with unit.driver() as driver:
        await start(driver, six, PoolEndpoints(six.id, (node,)))
        unit.cluster.writes.clear()
    async with unit.driver() as driver:
        await start(driver, six, PoolEndpoints(six.id, (node,)))
    assert unit.cluster.writes == []


async def test_a_unit_too_old_or_too_new_is_refused() -> None:
    """Fields had other names before 6.0, and may have others after 8."""
    strange = msgspec.structs.replace(ONE_WAY, versions=("3.10", "5.2", "9.0"))
    async with stage(strange) as unit:
        with pytest.raises(DriverUnavailable, match=r"6\.0 to 8\.x is needed"):
            async with unit.driver():
                pass


async def test_replicas_that_lag_do_not_undo_endpoints() -> None:
    """The other member's copy is old; what it is written there is the newest all the same."""
    async with stage(Behaviour(replication_s=0.3)) as unit, unit.driver() as driver:
        web = pool("web")
        await start(driver, *shop())
        driver.set_endpoints(members(web, 7, endpoint(8, weight=3)))
        await until(lambda: len(unit.nodes(web)) == 2, "at the first")
        unit.first.faults.is_down = True
        driver.set_endpoints(members(web, 9))
        second = unit.cluster.members[1]

        def is_newest() -> bool:
            second.settle()
            content = second.objects.get(("pools", NAMES.name(web.id)))
            if content is None or isinstance(content, str):
                return False
            return [row["node"] for row in content["basic"]["nodes_table"]] == ["10.244.0.9:8080"]

        await until(is_newest, "the newest is at the second")


async def test_endpoints_wait_for_a_unit_that_is_away() -> None:
    """They arrive when it is back, the newest only."""
    async with stage() as unit, unit.driver() as driver:
        await start(driver, *shop())
        for member in unit.cluster.members:
            member.faults.is_down = True
        with structlog.testing.capture_logs() as logs:
            driver.set_endpoints(members(pool("web"), 4))
            await until(lambda: any(e["event"] == "vtm_endpoints_late" for e in logs), "it is told")
        driver.set_endpoints(members(pool("web"), 5))
        for member in unit.cluster.members:
            member.faults.is_down = False

        await until(lambda: _is_there(unit), "they are there")


async def test_a_member_is_believed_by_its_certificate_only(tmp_path: Path) -> None:
    """Without its CA the driver does not send the password; with it, it connects."""
    key, chain = self_signed("127.0.0.1")
    for name, text in (("key.pem", key), ("ca.pem", chain)):
        (tmp_path / name).write_bytes(text)
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    cluster = VtmCluster(members=("tm-1",))
    (tmp_path / "password").write_text(cluster.password)
    options = VtmOptions(urls=(), owner="test", password_file=tmp_path / "password")
    async with serve_vtm(cluster, trust=served) as urls:
        stranger = VtmDriver(msgspec.structs.replace(options, urls=urls))
        with pytest.raises(DriverUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            async with stranger.running():
                pass
        known = msgspec.structs.replace(options, urls=urls, ca_file=tmp_path / "ca.pem")
        async with VtmDriver(known).running():
            pass
        unreadable = msgspec.structs.replace(options, urls=urls, ca_file=tmp_path / "gone.pem")
        with pytest.raises(ConfigError, match=r"gone\.pem"):
            async with VtmDriver(unreadable).running():
                pass


async def test_only_the_one_that_may_writes(unit: Stage) -> None:
    """The other is told the same, writes nothing, and takes over with what is newest then."""
    web, api = pool("web"), pool("api")
    leads = {"one": True}
    async with unit.driver() as one, unit.driver() as two:
        assert isinstance(two, SharedDriver)
        one.may_write, two.may_write = (lambda: leads["one"]), (lambda: not leads["one"])
        await start(two, *shop(), api, members(api, 3))
        two.set_endpoints(members(api, 4))
        await until(lambda: two._lane.is_idle, "nothing is left to write")
        assert unit.cluster.writes == []
        assert two.describe()["writes_it"] == "no, another host does"
        assert await two.read_back() == model_of((*shop(), api, members(api, 4)))

        await start(one, *shop())
        one.set_endpoints(members(web, 9))
        await until(lambda: unit.nodes(web) == ["10.244.0.9:8080"], "the leader has written")
        leads["one"] = False

        await until(lambda: unit.has("pools", api.id), "the other takes over")
        assert unit.nodes(api) == ["10.244.0.4:8080"]
        await until(lambda: unit.nodes(web) == ["10.244.0.1:8080", "10.244.0.2:8080"], "its view")
        one.set_endpoints(members(web, 8))
        await until(lambda: one._lane.is_idle, "nothing is written by the old one")
        assert unit.nodes(web) == ["10.244.0.1:8080", "10.244.0.2:8080"]


def test_a_row_that_is_served_in_part_is_a_warning_and_served() -> None:
    """Its owner is told what is missing; its listener counts as there."""
    refusals = Refusals()
    owner = ObjectRef("Service", "shop", "web")
    row = listener(80, owner=owner)
    change = Change((row,))
    part = Refusal(key_of(row), "served without PROXY headers of version 2", is_partial=True)

    assert refusals.note(change, Receipt(refused=(part,))) == {owner}
    (problem,) = refusals.problems_of(owner)
    assert problem.severity is Severity.WARNING
    assert problem.message.startswith("the data plane serves listener listener-80 in part: ")
    assert key_of(row) not in refusals
    assert refusals.rows() == ()

    refusals.note(change, Receipt(refused=(Refusal(key_of(row), "no"),)))
    assert key_of(row) in refusals
    assert refusals.problems()[0].severity is Severity.ERROR
