"""From a vTM (an imitated one) to a data plane of this host: the order of things, and the ways out.

The link is imitated, too: the unit answers for what it has raised, unless it is dark.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import yaml

from onehop.base.errors import ConfigError, DriverUnavailable, TransientError
from onehop.control import fromunit, tounit
from onehop.control.binding import Binding
from onehop.control.config import Config
from onehop.control.configfile import parse_config
from onehop.control.fromunit import FromUnit
from onehop.control.tounit import ToUnit
from onehop.driver.driver import EndpointCount
from onehop.driver.memory import MemoryDriver
from onehop.driver.moving import MoveRefused
from onehop.driver.moving.exchange import Exchange
from onehop.driver.vtm import VtmDriver
from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY, Behaviour
from onehop.lab.vtm.cluster import Write
from onehop.model.address import IpAddr
from onehop.model.ident import PoolId
from onehop.model.model import Row
from onehop.model.pool import HealthCheck
from onehop.net import NoBinder
from tests.driver_vtm.stage import VIP, Stage, bring_to, members, pool, shop, stage, until

BOTH_WAYS = pytest.mark.parametrize("behaviour", [ONE_WAY, THE_OTHER_WAY], ids=["one", "other"])
GROUPS = "traffic_ip_groups"


class Link:
    """An interface and its link: an `AddressBinder`."""

    def __init__(self, unit: Stage) -> None:
        self.here: set[IpAddr] = set()
        self.told: list[str] = []
        self.is_dark = False
        """Whether the unit is off, with its data plane."""
        self.is_down = False
        self._unit = unit

    async def bind(self, address: IpAddr) -> None:
        await self.hold(address)

    async def unbind(self, address: IpAddr) -> None:
        self.here.discard(address)
        self.told.append("released")

    async def bound(self) -> frozenset[IpAddr]:
        return frozenset(self.here)

    async def keep_bound(self) -> None:
        await asyncio.Event().wait()

    async def hold(self, address: IpAddr) -> None:
        if self.is_down:
            raise TransientError("eth0 is down")
        self.here.add(address)
        self.told.append("held")

    async def announce(self, addresses: frozenset[IpAddr]) -> None:
        assert addresses <= self.here
        self.told.append("announced")

    async def claimed(self, addresses: frozenset[IpAddr]) -> frozenset[IpAddr]:
        return frozenset() if self.is_dark else addresses & self.raised()

    def raised(self) -> set[IpAddr]:
        members = self._unit.cluster.members
        for member in members:
            member.settle()
        told = (each for member in members for each in member.traffic_ips().items())
        return {IpAddr(address) for address, state in told if state == "raised"}

    def wrote(self, write: Write) -> None:
        if write.collection == GROUPS:
            content: Any = self._unit.first.objects[GROUPS, write.name]
            self.told.append("raised" if content["basic"]["enabled"] else "lowered")


class Scene(msgspec.Struct):
    """A unit that serves a shop, and the way to this host."""

    unit: Stage
    exchange: Exchange
    binding: Binding
    link: Link
    rows: tuple[Row, ...]
    tasks: asyncio.TaskGroup
    way: FromUnit

    def file(self, driver: str, **more: Any) -> Config:
        vtm = {"urls": list(self.unit.urls), "passwordFile": str(self.unit.options.password_file)}
        bind = {"none": True} if driver == "vtm" else {"interface": "eth0"}
        said = {
            "cluster": {"name": "prod"},
            "addresses": {"shared": VIP, "bind": bind},
            "path": "pod",
            "dataPlane": {"driver": driver, "vtm": vtm | {"owner": self.unit.options.owner}},
        }
        return parse_config(yaml.safe_dump(said | more), name="test")

    async def go(self, to: MemoryDriver | None = None, *, force: bool = False) -> MemoryDriver:
        new = to or MemoryDriver()
        await self.way.go(new, self.link, force=force)
        return new

    def silence(self, *, is_silent: bool = True) -> None:
        for member in self.unit.cluster.members:
            member.faults.is_down = is_silent

    async def still_serves(self) -> None:
        """Look whether nothing is different for clients, and edits are still made."""
        assert (self.exchange.name, self.exchange.under_way) == ("vtm", "")
        assert (self.link.raised(), self.link.here) == ({VIP}, set())
        assert "announced" not in self.link.told
        await bring_to(self.exchange, *self.rows, members(pool("web"), 5))
        assert self.unit.nodes(pool("web")) == ["10.244.0.5:8080"]

    def serves_here(self, new: MemoryDriver) -> bool:
        return self.exchange.serving is new and self.link.here == {VIP}


@asynccontextmanager
async def scene(behaviour: Behaviour = ONE_WAY, *more: Row) -> AsyncGenerator[Scene]:
    async with stage(behaviour) as unit:
        exchange, binding = Exchange(VtmDriver(unit.options)), Binding(NoBinder())
        link, rows = Link(unit), (*shop(), *more)
        way = FromUnit(exchange, lambda: rows, binding)
        async with exchange.running(), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(binding.run())
            binding.want({VIP: ()})
            await until(lambda: binding.is_bound(VIP), "the addresses are taken note of")
            await bring_to(exchange, *rows)
            assert link.raised() == {VIP}
            unit.cluster.on_write = link.wrote
            yield Scene(unit, exchange, binding, link, rows, tasks, way)
            running.cancel()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to be waited for here."""
    monkeypatch.setattr(fromunit, "LOWER_S", 3.0)
    monkeypatch.setattr(fromunit, "SETTLE_S", 0.0)
    monkeypatch.setattr(tounit, "ASKED_S", 0.0)
    monkeypatch.setattr(tounit, "RAISE_S", 3.0)


@BOTH_WAYS
async def test_there_and_back_somebody_has_the_address(behaviour: Behaviour) -> None:
    """Held here before the unit lowers it, announced after; raised there before it leaves here."""
    async with scene(behaviour) as at:
        new = await at.go()

        assert at.link.told == ["held", "lowered", "announced"]
        assert at.serves_here(new)
        assert at.way.warnings == ()
        assert at.link.raised() == set()
        assert set((await new.read_back()).rows()) == set(at.rows)
        assert at.binding.is_bound(VIP)
        await bring_to(at.exchange, *at.rows, members(pool("web"), 7))
        assert members(pool("web"), 7) in (await new.read_back()).rows()

        there = ToUnit(at.exchange, lambda: at.rows, at.binding)
        await there.go(at.file("envoy"), at.file("vtm"), force=False)

        assert at.link.told[-2:] == ["raised", "released"]
        assert (at.exchange.name, at.link.raised(), at.link.here) == ("vtm", {VIP}, set())


async def test_a_data_plane_that_does_not_come_up_changes_nothing() -> None:
    """Nor does one that refuses what the unit serves, unless it is forced."""
    async with scene() as at:
        dead = MemoryDriver()
        dead.is_reachable = False
        with pytest.raises(DriverUnavailable, match="unreachable"):
            await at.go(dead)
        web = pool("web")
        with pytest.raises(MoveRefused, match="too small"):
            await at.go(MemoryDriver(refuses=lambda row: "too small" if row == web else None))
        assert at.link.told == []
        await at.still_serves()

        poor = MemoryDriver(refuses=lambda row: "too small" if row == web else None)
        assert at.serves_here(await at.go(poor, force=True))


async def test_an_interface_that_cannot_have_the_address_changes_nothing() -> None:
    """It is found out before the unit is told anything."""
    async with scene() as at:
        at.link.is_down = True
        with pytest.raises(TransientError, match="eth0 is down"):
            await at.go()
        assert "lowered" not in at.link.told
        at.link.is_down = False
        await at.still_serves()


async def test_a_unit_that_refuses_to_lower_has_them_on() -> None:
    """The reason is told, the address leaves this host again, and the next try works."""
    async with scene() as at:
        name = next(name for kind, name in at.unit.first.objects if kind == GROUPS)
        for member in at.unit.cluster.members:
            member.faults.refuse.add(f"{GROUPS}/{name}")
        with pytest.raises(DriverUnavailable, match=name):
            await at.go()
        assert at.link.told == ["held", "released"]
        for member in at.unit.cluster.members:
            member.faults.refuse.clear()
        await at.still_serves()

        assert at.serves_here(await at.go())


@BOTH_WAYS
async def test_a_unit_that_does_not_lower_in_time_is_told_to_raise_again(
    behaviour: Behaviour,
) -> None:
    """It has taken the write, and has the address still: two would answer for it."""
    async with scene(behaviour) as at:
        for member in at.unit.cluster.members:
            member.faults.keeps_raised = True
        with pytest.raises(DriverUnavailable, match=f"still that it has raised {VIP}"):
            await at.go()
        for member in at.unit.cluster.members:
            member.faults.keeps_raised = False
        await at.still_serves()


@pytest.mark.parametrize("has_them", [True, False], ids=["raised", "lowered"])
async def test_of_a_unit_that_dies_while_it_lowers_the_link_is_asked(*, has_them: bool) -> None:
    """If somebody answers for the address, it is the unit; otherwise nobody would, but us."""
    async with scene() as at:

        def dies(write: Write) -> None:
            if write.collection == GROUPS:
                at.silence()

        for member in at.unit.cluster.members:
            member.faults.keeps_raised = has_them
        at.unit.cluster.on_write = dies
        new = MemoryDriver()
        if has_them:
            with pytest.raises(DriverUnavailable, match="on the link, the unit has the addresses"):
                await at.go(new)
            assert at.link.told == ["held", "released"]
            assert at.exchange.name == "vtm"
            at.silence(is_silent=False)
            at.unit.cluster.on_write = at.link.wrote
            for member in at.unit.cluster.members:
                member.faults.keeps_raised = False
            await until(lambda: at.link.raised() == {VIP}, "it is told to have it, when it answers")
        else:
            await at.go(new)
            assert at.link.told == ["held", "announced"]
            assert at.serves_here(new)
            assert "fell silent" in at.way.warnings[0]


async def test_a_unit_that_does_not_answer_is_left_only_by_force_and_if_it_is_off() -> None:
    """Without it the way out is said; with it the link is asked before anything is taken."""
    async with scene() as at:
        at.silence()
        with pytest.raises(DriverUnavailable, match="onehop switch --force takes its addresses"):
            await at.go()
        with pytest.raises(DriverUnavailable, match=f"answers for {VIP}: the unit carries traffic"):
            await at.go(force=True)
        assert at.link.told == []
        assert at.exchange.name == "vtm"

        at.link.is_dark = True
        new = await at.go(force=True)

        assert at.link.told == ["held", "announced"]
        assert at.serves_here(new)
        assert "should it come back" in at.way.warnings[0]


async def test_one_that_answers_after_all_is_named() -> None:
    """A unit that says lowered, and answers on the link: the operator hears of it."""
    async with scene() as at:
        everything = frozenset((VIP,))

        async def claimed(addresses: frozenset[IpAddr]) -> frozenset[IpAddr]:
            return addresses & everything

        at.link.claimed = claimed  # type: ignore[method-assign]  # whatever the unit says
        new = await at.go()

        assert at.serves_here(new)
        assert at.way.warnings[0].startswith(f"another machine on the link answers for {VIP}")


class Sick(MemoryDriver):
    """A data plane that finds nobody healthy."""

    async def count(self, pools: Iterable[PoolId]) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
        counted = await super().count(pools)
        return {
            pool: tuple(msgspec.structs.replace(each, health="down") for each in counts)
            for pool, counts in counted.items()
        }


async def test_pods_that_only_the_unit_reaches_keep_it() -> None:
    """This host may have no way to them: found out by its health checks, before anything moves."""
    checked = pool("db", health_check=HealthCheck())
    async with scene(THE_OTHER_WAY, checked, members(checked, 4)) as at:
        with pytest.raises(DriverUnavailable, match="no Pod of Service/shop/db healthy"):
            await at.go(Sick())
        assert at.link.told == []
        await at.still_serves()

        assert at.serves_here(await at.go(Sick(), force=True))


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ("addresses.bind", {"addresses": {"shared": VIP, "bind": {"none": True}}}),
        ("bgp.upstream", {"bgp": {"asn": 1, "upstream": [{"address": "192.0.2.1", "asn": 2}]}}),
    ],
)
async def test_a_file_that_does_not_say_where_the_addresses_shall_be_is_refused(
    said: str, more: Any
) -> None:
    """By its key; and what routers upstream are told begins with a start."""
    async with scene() as at:
        with pytest.raises(ConfigError, match=said):
            at.way.demand(at.file("envoy", **more))
        at.way.demand(at.file("envoy"))


async def test_another_host_that_writes_the_unit_is_to_switch() -> None:
    """Only the holder of the Lease may tell the unit to lower anything."""
    async with scene() as at:
        at.exchange.may_write = lambda: False
        with pytest.raises(DriverUnavailable, match="run onehop switch there"):
            at.way.demand(at.file("envoy"))
