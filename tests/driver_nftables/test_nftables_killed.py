"""onehop is killed after each single thing that it does to the kernel, and started anew."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from functools import partial

import pytest

from onehop.driver.nftables import sweep
from onehop.driver.nftables.element import Elements, Lookup
from onehop.driver.nftables.netlink import Netlink
from onehop.driver.nftables.render import elements_of
from onehop.driver.nftables.ruleset import Draw, Sticky, fixed_chains, fixed_maps
from onehop.model.listener import Transport
from onehop.model.model import Row, model_of
from onehop.model.pool import SourceIpPersistence
from tests.driver_nftables.world import (
    at,
    client,
    listener,
    members,
    nftables,
    once,
    pod,
    pool,
    serve,
)
from tests.net.crossroads import CLIENTS, Crossroads

pytestmark = pytest.mark.root
_MOST_STEPS = 40


def before() -> tuple[Row, ...]:
    """Return what an earlier run has served."""
    web, old = pool(), pool(name="old")
    sticky = pool(name="sticky", persistence=SourceIpPersistence(timeout_s=600))
    return (
        *(web, members(web, at(8001)), listener(web)),
        *(old, members(old, at(8001)), listener(old, port=81)),
        *(sticky, members(sticky, at(8001)), listener(sticky, port=82)),
    )


def after() -> tuple[Row, ...]:
    """Return what is wanted now: of each kind something that comes, changes and goes."""
    web, dns = pool(), pool(Transport.UDP, name="dns")
    sticky = pool(name="sticky", persistence=SourceIpPersistence(timeout_s=600))
    other = pool(name="other", persistence=SourceIpPersistence(timeout_s=60))
    return (
        *(web, members(web, at(8001), at(8002)), listener(web, sources=(CLIENTS[4],))),
        *(dns, members(dns, at(8001)), listener(dns)),
        *(sticky, members(sticky, at(8001), at(8002)), listener(sticky, port=82)),
        *(other, members(other, at(8002)), listener(other, port=83)),
    )


MORTAL = """
import asyncio, os, signal, sys
from onehop.driver.nftables import table
from onehop.driver.nftables.netlink import Netlink
from tests.driver_nftables.test_nftables_killed import after, before
from tests.driver_nftables.world import nftables, serve

left = int(sys.argv[1])

def done():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

real_nft, real_change = table.run_nft, Netlink.change

async def run_nft(script, **named):
    await real_nft(script, **named)
    done()

def change(self, change):
    real_change(self, change)
    done()

table.run_nft, Netlink.change = run_nft, change

async def main():
    async with nftables(leftover_grace_s=0.0) as driver:
        await serve(driver, *after())
        await serve(driver, *before())

asyncio.run(main())
"""


def die_after(roads: Crossroads, steps: int) -> bool:
    """Run a onehop that is killed after some steps; return whether it came so far."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = (sys.executable, "-c", MORTAL, str(steps))
    ended = roads.balancer.do(lambda: subprocess.run(command, env=environment, check=False))
    assert ended.returncode in {0, -signal.SIGKILL}
    return ended.returncode != 0


def test_wherever_it_dies_clients_are_served_and_the_next_run_converges(roads: Crossroads) -> None:
    """Open connections go on; afterwards there is what is wanted, and nothing else."""

    async def start(*rows: Row) -> None:
        async with nftables(leftover_grace_s=0.0) as driver:
            await serve(driver, *rows)
            async with asyncio.timeout(20):
                while await kernel() != wanted(rows):  # noqa: ASYNC110  of the kernel
                    await asyncio.sleep(0.02)  # leftovers go a moment later
            assert driver.drifts == {}

    async def one(steps: int) -> bool:
        async with pod(roads, 8001, 8002):
            await start(*before())
            async with client(roads) as open_one:
                assert (await open_one.ask())[0] == 8001
                is_killed = die_after(roads, steps)
                assert (await open_one.ask())[0] == 8001
                assert (await once(roads))[0] in {8001, 8002}
                assert (await once(roads, port=82))[0] in {8001, 8002}
                await start(*after())
                assert (await open_one.ask())[0] == 8001
            assert (await once(roads))[0] in {8001, 8002}
            assert (await once(roads, Transport.UDP))[0] == 8001
        return is_killed

    steps = 1
    while roads.balancer.run(partial(one, steps)):
        steps += 1
        assert steps < _MOST_STEPS
    assert steps > 5
    roads.balancer.run(sweep)
    assert roads.nft("list", "ruleset") == ""


USUAL = {Draw(version, slots).chain for version in (4, 6) for slots in range(1, 33)}


State = tuple[Elements, list[bytes], frozenset[str], frozenset[str]]


async def kernel() -> State:
    """Return the elements, chains and maps of our table."""
    found: Elements = {}
    with Netlink() as netlink:
        for lookup in Lookup:
            for version in (4, 6):
                found |= await netlink.elements(lookup, version)
        return *comparable(found), await netlink.chains(), await netlink.sets()


def wanted(rows: Iterable[Row]) -> State:
    """Return the same of a table that is made from nothing."""
    elements, needed = elements_of(model_of(rows))
    chains = fixed_chains() | USUAL | {each.chain for each in needed}
    maps = fixed_maps() | {each.clients for each in needed if isinstance(each, Sticky)}
    return *comparable(elements), chains, maps


def comparable(elements: Elements) -> tuple[Elements, list[bytes]]:
    """Return elements, and who has slots: which slot it is depends on what was before."""
    rest = {place: value for place, value in elements.items() if place.lookup is not Lookup.DRAW}
    slots = sorted(
        place.key[:-4] + value for place, value in elements.items() if place.lookup is Lookup.DRAW
    )
    return rest, slots
