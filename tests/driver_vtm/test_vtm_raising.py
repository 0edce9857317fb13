"""A unit that is given everything first, and the addresses when they are let go elsewhere."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from onehop.base.errors import DriverUnavailable
from onehop.driver.vtm import VtmDriver
from onehop.driver.vtm.raising import raised_at
from onehop.driver.vtm.rest import Rest
from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY, Behaviour
from onehop.model.address import IpAddr
from onehop.model.listener import Vip
from tests.driver_vtm.stage import VIP, Stage, shop, stage, start

SIXTH = IpAddr("2001:db8::10")
BOTH_WAYS = pytest.mark.parametrize("behaviour", [ONE_WAY, THE_OTHER_WAY], ids=["one", "other"])


@asynccontextmanager
async def lowered(unit: Stage) -> AsyncGenerator[VtmDriver]:
    """Run a driver that raises nothing by itself."""
    driver = VtmDriver(unit.options, raises=False)
    async with driver.running():
        yield driver


async def raised(unit: Stage) -> list[tuple[str, IpAddr]]:
    """Return who has which address, as the statistics of the first member have it."""
    rest = Rest(unit.options)
    await rest.open()
    try:
        rest.version = unit.cluster.behaviour.versions[1]
        names = [member.name for member in unit.cluster.members]
        told = {name: await raised_at(rest, name) for name in names}
    finally:
        await rest.close()
    return sorted((name, address) for name, has in told.items() for address in has)


@BOTH_WAYS
async def test_addresses_are_raised_when_all_else_is_there(behaviour: Behaviour) -> None:
    """Each by one machine, with one write for each; a plan of later does not lower them."""
    async with stage(behaviour) as unit, lowered(unit) as driver:
        await start(driver, *shop(), Vip(address=SIXTH, owners=()))
        await driver.make_sure()
        assert await raised(unit) == []
        unit.cluster.writes.clear()

        await driver.take_over(20.0)

        (one, sixth), (another, fourth) = await raised(unit)
        assert (one, another) == (one, one)
        assert {sixth, fourth} == {SIXTH, VIP}
        assert [write.collection for write in unit.cluster.writes] == ["traffic_ip_groups"] * 2
        await start(driver, *shop())
        assert len(await raised(unit)) == 2


@BOTH_WAYS
async def test_what_is_not_raised_in_time_is_lowered_again(behaviour: Behaviour) -> None:
    """With the addresses in the message; the next try may do better."""
    async with stage(behaviour) as unit, lowered(unit) as driver:
        await start(driver, *shop())
        for member in unit.cluster.members:
            member.faults.keeps_lowered = True
        with pytest.raises(DriverUnavailable, match=r"raised 203\.0\.113\.10"):
            await driver.take_over(0.0)
        for member in unit.cluster.members:
            member.faults.keeps_lowered = False
        assert await raised(unit) == []

        await driver.take_over(20.0)

        assert len(await raised(unit)) == 1


async def test_a_host_that_does_not_write_raises_nothing() -> None:
    """Nor is it sure of anything: another one may be writing."""
    async with stage() as unit, lowered(unit) as driver:
        await start(driver, *shop())
        driver.may_write = lambda: False
        unit.cluster.writes.clear()
        with pytest.raises(DriverUnavailable, match="Lease"):
            await driver.make_sure()
        with pytest.raises(DriverUnavailable, match="Lease"):
            await driver.take_over(20.0)
        assert unit.cluster.writes == []


async def test_an_object_that_the_unit_does_not_take_stops_it() -> None:
    """A comparison that does not come out equal is told with the object."""
    async with stage() as unit, lowered(unit) as driver:
        await start(driver, *shop())
        (pool,) = [name for kind, name in unit.first.objects if kind == "pools"]
        content = unit.first.objects["pools", pool]
        assert not isinstance(content, str)
        content["basic"]["passive_monitoring"] = not content["basic"]["passive_monitoring"]
        for member in unit.cluster.members:
            member.faults.refuse.add(f"pools/{pool}")
        with pytest.raises(DriverUnavailable, match=pool):
            await driver.make_sure()
