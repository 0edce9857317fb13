"""What goes wrong outside of an apply: somebody is told, in the log, as a metric, and in status."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import structlog

from onehop.control.refusals import Refusals
from onehop.driver import Receipt
from onehop.driver.driver import drifts_of
from onehop.driver.remote import Advancing, Remote, Reporting
from onehop.driver.vtm import VtmDriver, VtmOptions
from onehop.lab.vtm import VtmCluster, serve_vtm
from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY, Fault
from onehop.model.ident import ObjectRef
from onehop.model.model import Change, Row, RowKey, Table, key_of
from onehop.model.problem import Problem, Reason, Severity
from onehop.plan import make_plan
from tests.driver_vtm.stage import (
    HASTY_S,
    NAMES,
    Stage,
    bring_to,
    members,
    pool,
    self_signed,
    shop,
    stage,
    start,
    until,
)

WEB = pool("web")
WEB_POOL = f"pools/{NAMES.name(WEB.id)}"
ROWS = {key_of(row): row for row in shop()}


@pytest.fixture(params=[ONE_WAY, THE_OTHER_WAY], ids=["one-way", "the-other-way"])
async def unit(request: pytest.FixtureRequest) -> AsyncGenerator[Stage]:
    async with stage(request.param) as made:
        yield made


def _reasons(driver: VtmDriver) -> list[Reason]:
    return [problem.reason for problem in driver.problems()]


async def test_a_driver_says_what_only_it_can(unit: Stage) -> None:
    """The program asks for each of these faces, and takes what is there."""
    async with unit.driver() as driver:
        assert isinstance(driver, Advancing)
        assert isinstance(driver, Remote)
        assert isinstance(driver, Reporting)


async def test_endpoints_that_are_refused_are_told_to_their_service(unit: Stage) -> None:
    """In the unit's words, at once; it is told, too, when they are taken at last."""
    refusals = Refusals()
    told: list[frozenset[ObjectRef]] = []
    async with unit.driver(resync_s=0.1) as driver:
        await start(driver, *shop())
        driver.on_news = lambda: told.append(refusals.note_late(driver.refused_since(), ROWS.get))
        unit.first.faults.refuse.add(WEB_POOL)

        driver.set_endpoints(members(WEB, 5))

        await until(lambda: bool(told), "somebody is told")
        (problem,) = refusals.problems_of(WEB.service)
        assert problem.reason is Reason.DATA_PLANE_REFUSED
        assert "resource.validation_error" in problem.message
        assert problem in refusals.problems()
        assert refusals.rows() == ()  # the pool is served, with the endpoints that it had
        assert driver.remote_counts().refused == 1
        unit.first.faults.refuse.clear()
        await until(lambda: refusals.problems() == (), "the next comparison mends it")
        assert told[-1] == {WEB.service}
        assert unit.nodes(WEB) == ["10.244.0.5:8080"]
        assert driver.remote_counts().refused == 0


async def test_what_is_refused_to_a_host_that_takes_over_is_told(unit: Stage) -> None:
    """While another host wrote, an apply was told nothing; the repair afterwards is."""
    may = {"write": False}
    async with unit.driver() as driver:
        driver.may_write = lambda: may["write"]
        assert (await start(driver, *shop())).refused == ()
        unit.first.faults.refuse.add(WEB_POOL)
        may["write"] = True

        await until(lambda: bool(driver.refused_since()), "it has tried")

        assert driver.refused_since()[0].key == RowKey(Table.POOL, WEB.id)


async def test_a_host_that_no_longer_writes_has_nothing_to_tell(unit: Stage) -> None:
    """What the unit refuses then is for the one that writes to tell, and may be mended by it."""
    may = {"write": True}
    async with unit.driver() as driver:
        driver.may_write = lambda: may["write"]
        await start(driver, *shop())
        unit.first.faults.refuse.add(WEB_POOL)
        driver.set_endpoints(members(WEB, 5))
        await until(lambda: bool(driver.refused_since()), "it is refused")

        may["write"] = False

        await until(lambda: driver.refused_since() == (), "the other one tells")
        assert driver.remote_counts().refused == 0


async def test_what_an_apply_takes_back_is_not_told_twice(unit: Stage) -> None:
    """The Receipt has it, and its row keeps what it had: nothing is amiss on the unit."""
    unit.first.faults.refuse.add(WEB_POOL)
    async with unit.driver() as driver:
        receipt = await start(driver, *shop())

        assert [refusal.key.id for refusal in receipt.refused] == [WEB.id]
        assert driver.refused_since() == ()


async def test_edits_by_hand_are_a_problem_until_nothing_is_edited(unit: Stage) -> None:
    """Which objects and fields, that they were put back; a counter stays."""
    async with unit.driver(resync_s=3600.0) as driver:
        await start(driver, *shop())
        told: list[tuple[Problem, ...]] = []
        driver.on_news = lambda: told.append(driver.problems())
        edit = {"basic": {"nodes_table": [{"node": "10.244.0.66:8080"}]}}
        unit.first.put(("pools", NAMES.name(WEB.id)), "6.0", edit)
        del unit.first.objects["rules", NAMES.name("listener-80")]

        await driver._hand.verify()

        (problem,) = told[0]
        assert problem.reason is Reason.DATA_PLANE_EDITED
        assert problem.severity is Severity.WARNING
        assert f"{WEB_POOL} (basic.nodes_table)" in problem.message
        assert f"rules/{NAMES.name('listener-80')} (deleted)" in problem.message
        await driver._hand.verify()
        assert driver.problems() == ()
        assert unit.nodes(WEB) == ["10.244.0.1:8080", "10.244.0.2:8080"]
        assert unit.has("rules", "listener-80")
        assert drifts_of(driver) == {"vtm": {"pools": 1, "rules": 1}}


async def test_many_edits_are_one_problem(unit: Stage) -> None:
    """The log names them all, the problem a few."""
    pools = [pool(f"p{number}") for number in range(12)]
    async with unit.driver(resync_s=3600.0) as driver:
        await start(driver, *pools)
        told: list[tuple[Problem, ...]] = []
        driver.on_news = lambda: told.append(driver.problems())
        with structlog.testing.capture_logs() as logs:
            for each in pools:
                del unit.first.objects["pools", NAMES.name(each.id)]
            await driver._hand.verify()

    assert told[0][0].message.startswith("somebody changed 12 of our objects")
    assert told[0][0].message.endswith("and 7 more")
    assert len([each for each in logs if each["event"] == "vtm_drift"]) == 12


async def test_leftovers_that_are_withheld_are_a_problem(unit: Stage) -> None:
    """Nothing is deleted unseen; who looks is told how many, and which."""
    async with unit.driver() as driver:
        await start(driver, *(pool(f"p{number}") for number in range(30)))
    async with unit.driver(orphan_grace_s=0.0, resync_s=0.1) as driver:
        await start(driver, pool("p0"))
        await until(lambda: _reasons(driver) == [Reason.DATA_PLANE_LEFTOVERS], "it is told")
        assert "29 objects of an earlier onehop" in driver.problems()[0].message
        assert driver.remote_counts().withheld == 29
        for number in range(1, 30):
            del unit.first.objects["pools", NAMES.name(pool(f"p{number}").id)]
        await until(lambda: driver.problems() == (), "somebody has looked")


async def test_leftovers_that_are_confirmed_are_deleted(unit: Stage) -> None:
    """`onehop confirm` says how many; what is wanted stays."""
    async with unit.driver() as driver:
        await start(driver, *shop(), *(pool(f"p{number}") for number in range(30)))
    async with unit.driver(orphan_grace_s=0.0, resync_s=0.1) as driver:
        await start(driver, *shop())
        assert driver.confirm() == 0
        await until(lambda: driver.remote_counts().withheld == 30, "they are withheld")

        assert driver.confirm() == 30

        await until(lambda: len(unit.first.objects) == 4, "all others are deleted")
        assert unit.has("virtual_servers", "listener-80")
        await until(lambda: driver.problems() == (), "the last answer is there")
        assert driver.confirm() == 0


@pytest.mark.parametrize("fault", [f for f in Fault if f not in {Fault.NONE, Fault.HALF}])
async def test_a_comparison_that_goes_wrong_changes_nothing(unit: Stage, fault: Fault) -> None:
    """A list that was cut is not one without our objects: none is deleted, none written again."""
    hasty = {"resync_s": 0.1, "orphan_grace_s": 0.0, "timeout_s": HASTY_S}
    async with unit.driver(**hasty) as driver:
        await start(driver, *shop())
        unit.cluster.writes.clear()
        calls = driver.steps
        for member in unit.cluster.members:
            member.faults.methods = frozenset(("GET",))
            member.faults.next = [fault] * 3
        await until(lambda: driver.steps > calls + 3, "it has met the fault")
        for member in unit.cluster.members:
            member.faults.next, member.faults.is_down = [], False
        mended = driver.steps
        await until(
            lambda: driver.steps > mended + 40 and driver.problems() == (), "it has compared"
        )

        assert unit.cluster.writes == []
        assert driver.describe()["drifted"] == "0"


async def test_a_unit_that_does_not_answer_is_a_problem_until_it_does() -> None:
    """With what the last call met; status says that nobody is connected."""
    async with stage() as unit, unit.driver(resync_s=0.1) as driver:
        await start(driver, *shop())
        for member in unit.cluster.members:
            member.faults.is_down = True
        await until(lambda: Reason.DATA_PLANE_UNAVAILABLE in _reasons(driver), "it is told")
        assert driver.describe()["connected"] == "no"
        assert driver.remote_counts().is_connected is False
        assert driver.remote_counts().calls["unreached"] >= 2
        for member in unit.cluster.members:
            member.faults.is_down = False

        await until(lambda: driver.problems() == (), "it answers again")
        assert driver.describe()["connected"] == "yes"


async def test_a_password_that_is_changed_is_read_again_and_not_said_too_often() -> None:
    """Accounts are locked for too many attempts; a new file is taken without a restart."""
    async with stage() as unit, unit.driver(resync_s=0.1, again_s=2.0) as driver:
        await start(driver, *shop())
        unit.cluster.password = "another"
        for last in range(20):
            driver.set_endpoints(members(WEB, last + 3))
        await until(lambda: Reason.DATA_PLANE_UNAVAILABLE in _reasons(driver), "it is told")
        await until(lambda: driver.remote_counts().calls.get("denied", 0) >= 2, "both members")
        assert "401" in driver.problems()[0].message
        assert driver.remote_counts().calls["denied"] <= 6  # of twenty changes and comparisons

        unit.options.password_file.write_text("another")

        await until(lambda: unit.nodes(WEB) == ["10.244.0.22:8080"], "the newest is there")
        await until(lambda: driver.problems() == (), "and nothing is amiss")


async def test_a_password_file_that_is_gone_for_a_moment_ends_nothing() -> None:
    """Whoever replaces it may remove it first; the program runs on, and says what it lacks."""
    async with stage() as unit, unit.driver(resync_s=0.1) as driver:
        await start(driver, *shop())
        unit.cluster.password = "another"
        unit.options.password_file.unlink()
        await until(
            lambda: any("cannot be read" in each.message for each in driver.problems()), "told"
        )

        unit.options.password_file.write_text("another")

        await until(lambda: driver.problems() == (), "it is read again")


async def test_a_unit_with_another_certificate_is_believed_once_the_operator_does(
    tmp_path: Path,
) -> None:
    """The password is not sent to a stranger; a new CA file is taken without a restart."""
    for name in ("old", "new"):
        key, chain = self_signed("127.0.0.1")
        (tmp_path / f"{name}.key").write_bytes(key)
        (tmp_path / f"{name}.pem").write_bytes(chain)
    ca = tmp_path / "ca.pem"
    ca.write_bytes((tmp_path / "old.pem").read_bytes())
    cluster = VtmCluster(members=("tm-1",))
    (tmp_path / "password").write_text(cluster.password)

    def trust(name: str) -> ssl.SSLContext:
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        made.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        return made

    async with serve_vtm(cluster, trust=trust("old")) as urls:
        port = int(urls[0].rpartition(":")[2])
        options = VtmOptions(
            urls=urls,
            owner="test",
            password_file=tmp_path / "password",
            ca_file=ca,
            resync_s=0.1,
            again_s=0.1,
        )
        driver = VtmDriver(options)
        running = driver.running()
        await running.__aenter__()
    try:
        await until(lambda: bool(driver.problems()), "nobody is there")
        async with serve_vtm(cluster, port, trust=trust("new")):
            await until(
                lambda: any("CERTIFICATE_VERIFY_FAILED" in p.message for p in driver.problems()),
                "it is told",
            )
            ca.write_bytes((tmp_path / "new.pem").read_bytes())
            await until(lambda: driver.problems() == (), "it is believed")
            assert (await bring_to(driver, *shop())).refused == ()
    finally:
        await running.__aexit__(None, None, None)


async def test_how_late_endpoints_are_is_counted(unit: Stage) -> None:
    """From being told until the unit has answered; one that waited for a unit waited longer."""
    async with unit.driver() as driver:
        await start(driver, *shop())
        driver.set_endpoints(members(WEB, 3))
        await until(lambda: driver.remote_counts().lag[float("inf")] == 1, "counted")
        for member in unit.cluster.members:
            member.faults.is_down = True
        driver.set_endpoints(members(WEB, 4))
        await until(lambda: bool(driver.problems()), "nobody is there")
        for member in unit.cluster.members:
            member.faults.is_down = False
        await until(lambda: driver.remote_counts().lag[float("inf")] == 2, "counted")

        counts = driver.remote_counts()
        assert counts.lag[0.05] <= 1  # the second waited for another try
        assert counts.lag_s > 0.05
        assert list(counts.lag.values()) == sorted(counts.lag.values())


async def test_a_large_removal_does_not_hold_up_an_edit(unit: Stage) -> None:
    """Objects that nobody wants go some at a time, and a plan gets its turn in between."""
    many: list[Row] = [pool(f"p{number}") for number in range(300)]
    async with unit.driver(grace_s=0.0) as driver:
        await start(driver, *shop(), *many)
        await bring_to(driver, *shop())

        async with asyncio.timeout(25):
            assert (await bring_to(driver, *shop(), pool("late"))).refused == ()

        await until(lambda: len(unit.first.objects) == 5, "all are deleted")
        assert unit.has("pools", pool("late").id)


async def test_what_the_unit_complains_of_is_told_in_its_words(unit: Stage) -> None:
    """It may take a rule that it cannot read, and say so in its state only; others' are theirs."""
    async with unit.driver(resync_s=0.1) as driver:
        await start(driver, *shop())
        ours = f"rules/{NAMES.name('listener-80')}: line 3: unexpected token"
        unit.first.faults.complaints = [ours, "pools/theirs: no nodes"]

        await until(lambda: _reasons(driver) == [Reason.DATA_PLANE_COMPLAINS], "it is told")

        assert ours in driver.problems()[0].message
        assert "theirs" not in driver.problems()[0].message
        unit.first.faults.complaints = []
        await until(lambda: driver.problems() == (), "nothing is amiss")


async def test_a_refused_row_is_taken_once_the_unit_does(unit: Stage) -> None:
    """Without another edit: a comparison tries again, with the endpoints of then, and tells."""
    api = pool("api", max_connections=5)
    theirs = {"basic": {"note": "of the web team", "nodes_table": []}}
    unit.first.put(("pools", NAMES.name(api.id)), "6.0", theirs)
    refusals = Refusals()
    async with unit.driver(resync_s=0.1) as driver:
        rows = (*shop(), api, members(api, 3))
        refusals.note(Change(rows), await start(driver, *rows))
        assert refusals.rows() == (key_of(api),)
        driver.set_endpoints(members(api, 4))
        taken: list[frozenset[ObjectRef]] = []

        def note() -> None:
            taken_rows, partly = driver.taken_since()
            taken.append(refusals.note(Change(taken_rows), Receipt(refused=partly)))

        driver.on_news = note
        del unit.first.objects["pools", NAMES.name(api.id)]

        await until(lambda: unit.has("pools", api.id), "it is made")
        await until(lambda: bool(taken), "somebody is told")
        assert refusals.rows() == ()
        (problem,) = refusals.problems_of(api.service)
        assert problem.severity is Severity.WARNING  # of what the driver cannot do, and serves
        await until(lambda: unit.nodes(api) == ["10.244.0.4:8080"], "with the newest endpoints")
        assert driver.taken_since() == ((), ())


async def test_a_row_that_is_taken_away_is_not_tried_again(unit: Stage) -> None:
    """Refused, and then removed by a plan: nobody wants it any more."""
    api = pool("api")
    refused = f"pools/{NAMES.name(api.id)}"
    unit.first.faults.refuse.add(refused)
    async with unit.driver(resync_s=0.1) as driver:
        await start(driver, *shop(), api)
        await driver.apply(make_plan(Change((), (key_of(api),))))
        unit.first.faults.refuse.clear()
        before = driver.steps
        await until(lambda: driver.steps > before + 40, "it has compared")
        assert not unit.has("pools", api.id)
