"""What stays in the kernel when onehop goes, and what comes back when somebody meddles."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from onehop.driver.nftables import sweep
from onehop.driver.nftables.driver import NftablesDriver
from onehop.model.model import model_of
from onehop.model.pool import SourceIpPersistence
from tests.driver_nftables.world import (
    DEADLINE_S,
    at,
    client,
    known,
    listener,
    members,
    nftables,
    once,
    pod,
    pool,
    serve,
    spread,
)
from tests.net.crossroads import VIP, Crossroads
from tests.net.namespaces import until

pytestmark = pytest.mark.root


def test_a_restart_loses_no_connection(roads: Crossroads) -> None:
    """Rules stay while onehop is away; the next one takes them over without touching a thing."""

    async def main() -> None:
        web = pool()
        rows = web, members(web, at(8001), at(8002), at(8003)), listener(web)
        async with pod(roads, 8001, 8002, 8003):
            async with nftables() as first:
                await serve(first, *rows)
                before = roads.nft("list", "map", "inet", "onehop_l4", "draw4")
            async with client(roads) as open_connection:
                answered = (await open_connection.ask())[0]
                async with nftables() as second:
                    assert set(await spread(roads, 30)) == {8001, 8002, 8003}
                    await serve(second, *rows)

                    assert second.describe()["transactions"] == "0"
                    assert roads.nft("list", "map", "inet", "onehop_l4", "draw4") == before
                    assert (await open_connection.ask())[0] == answered

    roads.balancer.run(main)


def test_what_nobody_asks_for_any_more_goes(roads: Crossroads) -> None:
    """A listener that went while onehop was away is served until the grace is over."""

    async def main() -> None:
        old, new = pool(name="old"), pool(name="new")
        async with pod(roads, 8001):
            async with nftables() as first:
                await serve(first, old, members(old, at(8001)), listener(old, port=81))
            async with nftables(leftover_grace_s=0.05) as second:
                assert (await once(roads, port=81))[0] == 8001
                await serve(second, new, members(new, at(8001)), listener(new))
                await until(
                    lambda: "81" not in roads.nft("list", "map", "inet", "onehop_l4", "service4")
                )
                assert (await once(roads))[0] == 8001

    roads.balancer.run(main)


KILLED = """
import asyncio, sys
from onehop.driver.nftables import NftablesDriver
from tests.driver_nftables.world import at, listener, members, nftables, pool, serve

async def main():
    web = pool()
    async with nftables() as driver:
        await serve(driver, web, members(web, at(8001)), listener(web))
        print("served", flush=True)
        while True:
            for port in (8001, 8002):
                driver.set_endpoints(members(web, at(port)))
                await asyncio.sleep(0)

asyncio.run(main())
"""


def test_kill_9_in_the_middle_of_changes_harms_nobody(roads: Crossroads) -> None:
    """Every listener is as it was before a change or after it, and the next run goes on."""
    child = roads.balancer.do(
        lambda: subprocess.Popen(
            (sys.executable, "-c", KILLED),
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"served\n"
        child.send_signal(signal.SIGKILL)

    async def main() -> None:
        async with pod(roads, 8001, 8002, 8003):
            assert len(await spread(roads, 10)) == 1
            web = pool()
            async with nftables() as driver:
                await serve(driver, web, members(web, at(8003)), listener(web))
                assert set(await spread(roads, 10)) == {8003}

    roads.balancer.run(main)


def test_nothing_of_others_is_touched(roads: Crossroads) -> None:
    """Tables of other programs are as they were, while we serve and after the sweep."""
    roads.nft("add table inet theirs { chain c { type nat hook prerouting priority dstnat; } ; }")
    before = roads.nft("list", "ruleset")

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001):
            web = pool()
            await serve(driver, web, members(web, at(8001)), listener(web))
            assert (await once(roads))[0] == 8001
            assert before in roads.nft("list", "ruleset")
        assert await sweep()
        assert not await sweep()

    roads.balancer.run(main)
    assert roads.nft("list", "ruleset") == before


async def _connects(address: str) -> bool:
    try:
        async with asyncio.timeout(DEADLINE_S):
            _, writer = await asyncio.open_connection(address, 80)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


def test_a_listener_that_goes_is_gone(roads: Crossroads) -> None:
    """What arrives there is none of our business any more: it reaches this host's own sockets."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001):
            web = pool()
            await serve(driver, web, members(web, at(8001)), listener(web))
            assert await _connects(VIP[4])
            await serve(driver)
            assert not await _connects(VIP[4])
            assert await driver.read_back() == model_of(())
            assert driver.describe()["elements"] == "0"

    roads.balancer.run(main)


def test_a_host_that_passes_nothing_on_says_so(roads: Crossroads) -> None:
    """Where one version of IP is not forwarded, its listeners are refused by name."""

    def forward(value: str) -> None:
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text(value)

    async def main() -> None:
        async with nftables() as driver:
            web = pool()
            why = driver.misfit(listener(web, version=6), known(web))
            assert why == "net.ipv6.conf.all.forwarding is 0"
            assert driver.misfit(listener(web), known(web)) is None

    roads.balancer.do(lambda: forward("0"))
    roads.balancer.run(main)
    assert NftablesDriver().misfit(listener(pool(), version=6), known(pool())) is None


def test_who_is_remembered_is_forgotten_with_the_listener(roads: Crossroads) -> None:
    """Chains and maps that one listener alone had go when nothing leads to them any more."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, 8002):
            sticky = pool(persistence=SourceIpPersistence(timeout_s=600))
            for ends in ((at(8001),), (at(8001), at(8002))):
                await serve(driver, sticky, members(sticky, *ends), listener(sticky))
                assert len(await spread(roads, 5)) == 1
                listed = roads.nft("list", "ruleset")
                assert listed.count("map clients4-") == 1
                assert listed.count("chain sticky4-") == 1
                assert listed.count("chain draw4-") == 32

            await serve(driver)
            listed = roads.nft("list", "ruleset")
            assert "clients4-" not in listed
            assert "chain sticky4-" not in listed
            assert listed.count("chain draw4-") == 32

    roads.balancer.run(main)
