"""To a vTM (an imitated one) while this host serves: the order of things, and what stops it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import yaml

from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.control import tounit
from onehop.control.config import Config
from onehop.control.configfile import parse_config
from onehop.control.tounit import ToUnit
from onehop.driver.memory import MemoryDriver
from onehop.driver.moving import MoveRefused
from onehop.driver.moving.exchange import Exchange
from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY, Behaviour
from onehop.lab.vtm.cluster import Write
from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef
from onehop.model.model import Row
from onehop.model.pool import BackendProtocol
from onehop.model.problem import Problem, Reason
from tests.driver_vtm.stage import VIP, Stage, bring_to, members, pool, shop, stage, until

BOTH_WAYS = pytest.mark.parametrize("behaviour", [ONE_WAY, THE_OTHER_WAY], ids=["one", "other"])


class Host:
    """The addresses here, and what happened in which order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.amiss: tuple[Problem, ...] = ()

    def problems(self) -> tuple[Problem, ...]:
        return self.amiss

    async def release(self) -> tuple[IpAddr, ...]:
        self.told.append("released")
        return ()

    def wrote(self, write: Write) -> None:
        self.told.append(write.collection)


class Scene(msgspec.Struct):
    """A data plane that serves a shop, a unit, and the way to it."""

    unit: Stage
    old: MemoryDriver
    exchange: Exchange
    host: Host
    rows: tuple[Row, ...]

    def file(self, driver: str, **more: Any) -> Config:
        vtm = {"urls": list(self.unit.urls), "passwordFile": str(self.unit.options.password_file)}
        bind = {"none": True} if driver == "vtm" else {"interface": "eth0"}
        said = {
            "cluster": {"name": "prod"},
            "addresses": {"shared": VIP, "bind": bind},
            "path": "pod",
            "dataPlane": {"driver": driver, "vtm": vtm},
        }
        return parse_config(yaml.safe_dump(said | more), name="test")

    async def go(self, have: Config | None = None, *, force: bool = False) -> None:
        way = ToUnit(self.exchange, lambda: self.rows, self.host)
        await way.go(have or self.file("envoy"), self.file("vtm"), force=force)

    def raised(self) -> set[str]:
        for member in self.unit.cluster.members:
            member.settle()
        told = (member.traffic_ips().items() for member in self.unit.cluster.members)
        return {address for each in told for address, state in each if state == "raised"}

    async def still_serves(self) -> bool:
        """Tell whether nothing is different for clients, and edits are still made."""
        assert (self.exchange.name, self.exchange.under_way) == ("memory", "")
        assert (self.raised(), "released" in self.host.told) == (set(), False)
        await bring_to(self.exchange, *shop())
        return not self.old.is_leaving


@asynccontextmanager
async def scene(behaviour: Behaviour = ONE_WAY, *more: Row) -> AsyncGenerator[Scene]:
    old, host, rows = MemoryDriver(), Host(), (*shop(), *more)
    async with stage(behaviour) as unit:
        unit.cluster.on_write = host.wrote
        exchange = Exchange(old)
        async with exchange.running():
            await bring_to(exchange, *rows)
            yield Scene(unit, old, exchange, host, rows)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to be waited for here."""
    monkeypatch.setattr(tounit, "ASKED_S", 0.0)
    monkeypatch.setattr(tounit, "RAISE_S", 3.0)


@BOTH_WAYS
async def test_the_address_goes_when_the_unit_has_it_with_all_that_it_serves(
    behaviour: Behaviour,
) -> None:
    """Written lowered, compared, raised, and only then let go here; edits reach the unit then."""
    async with scene(behaviour) as at:
        monitored = at.host.release

        async def release() -> tuple[IpAddr, ...]:
            assert at.raised() == {VIP}
            return await monitored()

        at.host.release = release  # type: ignore[method-assign]  # looks at the same moment
        await at.go()

        assert at.host.told[-2:] == ["traffic_ip_groups", "released"]
        assert at.host.told.count("traffic_ip_groups") == 2
        assert "virtual_servers" in at.host.told
        assert (at.exchange.name, at.old.is_leaving) == ("vtm", True)
        web = pool("web")
        at.exchange.set_endpoints(members(web, 9))
        name = next(name for kind, name in at.unit.first.objects if kind == "pools")

        def nodes() -> list[str]:
            content: Any = at.unit.first.objects["pools", name]
            return [row["node"] for row in content["basic"]["nodes_table"]]

        await until(lambda: nodes() == ["10.244.0.9:8080"], "endpoints come by the fast lane")


@BOTH_WAYS
async def test_a_unit_that_does_not_raise_the_address_gets_none(behaviour: Behaviour) -> None:
    """Its group is lowered again, clients are no longer asked to go, and the next try works."""
    async with scene(behaviour) as at:
        for member in at.unit.cluster.members:
            member.faults.keeps_lowered = True
        with pytest.raises(DriverUnavailable, match=VIP):
            await at.go()
        for member in at.unit.cluster.members:
            member.faults.keeps_lowered = False
        assert await at.still_serves()

        await at.go()

        assert (at.exchange.name, at.raised()) == ("vtm", {VIP})


async def test_a_unit_that_is_not_there_changes_nothing() -> None:
    """No member answers: told with the reason."""
    async with scene() as at:
        for member in at.unit.cluster.members:
            member.faults.is_down = True
        with pytest.raises(DriverUnavailable):
            await at.go()
        assert await at.still_serves()


@pytest.mark.parametrize("write", range(1, 6))
async def test_a_unit_that_dies_in_the_middle_changes_nothing(write: int) -> None:
    """With whichever write, the raising one included; its group stays as it was written last."""
    async with scene() as at:
        left = write

        def dies(_: Write) -> None:
            nonlocal left
            left -= 1
            if not left:
                for member in at.unit.cluster.members:
                    member.faults.is_down = True

        at.unit.cluster.on_write = dies
        with pytest.raises(DriverUnavailable):
            await at.go()
        assert at.exchange.name == "memory"
        assert not at.old.is_leaving
        assert at.host.told == []


async def test_what_the_unit_would_not_serve_stops_it_unless_forced() -> None:
    """A pool by HTTP/2, which a vTM has not."""
    grpc = pool("grpc", protocol=BackendProtocol.H2)
    async with scene(ONE_WAY, grpc, members(grpc, 3)) as at:
        with pytest.raises(MoveRefused, match=r"shop/grpc"):
            await at.go()
        assert await at.still_serves()

        await at.go(force=True)

        assert at.exchange.name == "vtm"


async def test_another_host_that_writes_the_unit_goes_first() -> None:
    """Only the holder of the Lease may; told before anything is read or written."""
    async with scene() as at:
        at.exchange.may_write = lambda: False
        with pytest.raises(DriverUnavailable, match="run onehop switch there"):
            await at.go()
        assert await at.still_serves()
        assert at.host.told == []


@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("path: auto", {"path": "auto"}),
        ("addresses.bind", {"addresses": {"shared": VIP, "bind": {"none": True}}}),
        ("dataPlane.layer4", {"dataPlane": {"driver": "envoy", "layer4": "kernel"}}),
        ("bgp.upstream", {"bgp": {"asn": 1, "upstream": [{"address": "192.0.2.1", "asn": 2}]}}),
    ],
)
async def test_what_runs_and_does_not_go_with_a_unit_is_named(key: str, more: Any) -> None:
    """These keys wait for a restart, whatever the file says by now."""
    async with scene() as at:
        with pytest.raises(ConfigError, match=key):
            await at.go(at.file("envoy", **more))
        assert at.host.told == []


async def test_an_address_that_somebody_else_has_is_not_given_away() -> None:
    """It is not ours: the unit would fight for it."""
    async with scene() as at:
        who = ObjectRef("Service", "shop", "web")
        at.host.amiss = (Problem(subject=who, reason=Reason.ADDRESS_IN_USE, message="taken"),)
        with pytest.raises(ConfigError, match="taken"):
            await at.go()
        assert await at.still_serves()


async def test_an_edit_meanwhile_is_made_at_the_unit() -> None:
    """It waits for the exchange, and then goes to whoever serves."""
    async with scene() as at:
        web = pool("web")
        edited = [row for row in shop() if row != members(web, 1, 2)]
        async with asyncio.TaskGroup() as tasks:
            begun = asyncio.Event()
            at.unit.cluster.on_write = lambda _write: begun.set()
            going = tasks.create_task(at.go())
            async with asyncio.timeout(20):
                await begun.wait()
            assert at.exchange.under_way == "to vtm: loading"
            plans = len(at.old.plans)
            edit = tasks.create_task(bring_to(at.exchange, *edited, members(web, 7)))
        assert going.done()
        assert edit.done()
        assert len(at.old.plans) == plans
        assert members(web, 7) in (await at.exchange.read_back()).rows()
