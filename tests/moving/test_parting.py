"""What is ours on a unit (an imitated one) that serves no more: lowered, stopped, deleted."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from onehop.control import parting
from onehop.control.config import Config, VtmConfig
from onehop.control.configfile import parse_config
from onehop.control.parting import Parting
from onehop.control.vtmconfig import unit_options
from onehop.driver.vtm import VtmOptions
from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY, Behaviour
from onehop.lab.vtm.cluster import Write
from onehop.lab.vtm.store import Place, Stored
from onehop.model.model import Row
from onehop.model.problem import Reason
from tests.driver_vtm.stage import (
    NAMES,
    OWNER,
    VIP,
    Stage,
    listener,
    members,
    pool,
    shop,
    stage,
    start,
    until,
)

BOTH_WAYS = pytest.mark.parametrize("behaviour", [ONE_WAY, THE_OTHER_WAY], ids=["one", "other"])


class Scene(msgspec.Struct):
    """A unit that served a shop and is to be left, and another owner's objects on it."""

    unit: Stage
    state: Path
    foreign: dict[Place, Stored]
    is_leader: bool = True

    def file(self, driver: str = "envoy") -> Config:
        vtm = {
            "urls": list(self.unit.urls),
            "passwordFile": str(self.unit.options.password_file),
            "owner": OWNER,
        }
        said = {"cluster": {"name": "prod"}, "dataPlane": {"driver": driver, "vtm": vtm}}
        return parse_config(yaml.safe_dump(said | {"path": "pod"}), name="test")

    @asynccontextmanager
    async def parting(self, *rows: Row, driver: str = "envoy") -> AsyncGenerator[Parting]:
        """Run it as a start does."""
        made = Parting(self.state, lambda: self.is_leader, lambda: rows or tuple(shop()))
        served = asyncio.Event()
        served.set()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(made.run(self.file(driver), served))
            try:
                yield made
            finally:
                running.cancel()

    def ours(self) -> set[Place]:
        return self.unit.first.objects.keys() - self.foreign.keys()

    def is_left(self) -> bool:
        """Tell whether nothing of ours is there, nor noted, and all else is as it was."""
        is_same = all(self.unit.first.objects.get(at) == each for at, each in self.foreign.items())
        return is_same and not self.ours() and not (self.state / "unit").exists()

    def silence(self, *, is_silent: bool = True) -> None:
        for member in self.unit.cluster.members:
            member.faults.is_down = is_silent

    def is_raised(self) -> bool:
        content: Any = self.unit.object("traffic_ip_groups", VIP)
        return bool(content["basic"]["enabled"])


@asynccontextmanager
async def scene(folder: Path, *rows: Row, behaviour: Behaviour = ONE_WAY) -> AsyncGenerator[Scene]:
    async with stage(behaviour) as unit:
        foreign = {}
        for owner in ("other", f"{OWNER}-2"):
            async with unit.driver(owner=owner) as driver:
                await start(driver, *shop())
        foreign = dict(unit.first.objects)
        async with unit.driver() as driver:
            await start(driver, *(rows or shop()))
        yield Scene(unit, folder, foreign)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests in flight and calls that fail need no time here."""

    def hasty(vtm: VtmConfig, *, owner: str) -> VtmOptions:
        short = {"grace_s": 0.2, "again_s": 0.1, "orphan_grace_s": 0.1, "resync_s": 0.2}
        return msgspec.structs.replace(unit_options(vtm, owner=owner), **short)

    monkeypatch.setattr(parting, "unit_options", hasty)
    monkeypatch.setattr(parting, "LOOK_EVERY_S", 0.05)


@BOTH_WAYS
async def test_what_is_ours_goes_in_its_order_and_nothing_else(
    behaviour: Behaviour, tmp_path: Path
) -> None:
    """The address is let go first, then the server stops, and all is deleted a grace later.

    Another owner's objects stay, also those of one whose name begins with ours.
    """
    async with scene(tmp_path, behaviour=behaviour) as at, at.parting() as left:
        at.unit.cluster.writes.clear()
        await left.note(at.file("vtm"))
        left.begin()
        await until(at.is_left, "nothing of ours is there")

        wrote = at.unit.cluster.writes
        assert all(each.name.startswith(NAMES.prefix) for each in wrote)
        assert [each.collection for each in wrote if each.method == "PUT"] == [
            "traffic_ip_groups",
            "virtual_servers",
        ]
        assert wrote[2].method == "DELETE"
        assert wrote[2].collection == "virtual_servers"
        assert left.problems() == ()
        assert left.driver is None


async def test_a_unit_that_comes_back_is_told_first_of_all_to_let_go(tmp_path: Path) -> None:
    """Meanwhile it is a Problem: nobody knows what it does; and the next start goes on with it."""
    async with scene(tmp_path) as at:
        at.silence()
        async with at.parting() as left:
            await left.note(at.file("vtm"))
            left.begin()
            await until(lambda: left.problems() != (), "it is told")
            (problem,) = left.problems()
            assert problem.reason is Reason.DATA_PLANE_UNAVAILABLE
            assert "two machines answer" in problem.message
        first: list[Write] = []
        at.unit.cluster.on_write = first.append
        assert at.is_raised()
        at.silence(is_silent=False)
        async with at.parting():
            await until(at.is_left, "the next start has ended it")
        assert first[0].collection == "traffic_ip_groups"


async def test_what_an_earlier_onehop_left_is_deleted_within_the_budget(tmp_path: Path) -> None:
    """Too much of it stays until somebody has looked: a Problem, and `onehop confirm`."""
    old = [pool(f"old-{number}") for number in range(25)]
    many: tuple[Row, ...] = (*old, *(members(each, 1) for each in old))
    async with scene(tmp_path, *shop(), *many) as at, at.parting() as left:
        await left.note(at.file("vtm"))
        left.begin()
        await until(lambda: left.problems() != (), "it is told")
        (problem,) = left.problems()
        assert problem.reason is Reason.DATA_PLANE_LEFTOVERS
        await until(lambda: not at.unit.has("pools", pool("web").id), "what is known is deleted")

        assert left.confirm() == len(old)
        await until(at.is_left, "it is confirmed")


async def test_another_host_that_writes_the_unit_is_not_disturbed(tmp_path: Path) -> None:
    """It may serve by the unit still; nothing is written before the Lease is ours."""
    async with scene(tmp_path) as at:
        at.is_leader = False
        at.unit.cluster.writes.clear()
        async with at.parting() as left:
            await left.note(at.file("vtm"))
            left.begin()
            await until(lambda: left.problems() != (), "it is told")
            assert "Lease" in left.problems()[0].message
            assert at.unit.cluster.writes == []
            at.is_leader = True
            await until(at.is_left, "it is its turn")


async def test_a_unit_that_is_to_serve_again_is_not_left(tmp_path: Path) -> None:
    """A switch back ends it at whatever point; and a start with a vTM forgets it."""
    async with scene(tmp_path) as at:
        async with at.parting() as left:
            at.unit.cluster.on_write = lambda _write: at.silence()
            await left.note(at.file("vtm"))
            left.begin()
            await until(lambda: left.problems() != (), "it has begun")
            await left.end()
            assert left.problems() == ()
            assert (tmp_path / "unit").exists()
        at.silence(is_silent=False)
        at.unit.cluster.on_write = lambda _write: None
        async with at.parting(driver="vtm"), at.unit.driver() as driver:
            await until(lambda: not (tmp_path / "unit").exists(), "it is forgotten")
            await start(driver, *shop())
            server: Any = at.unit.object("virtual_servers", listener().id)
            assert (at.is_raised(), server["basic"]["enabled"]) == (True, True)
