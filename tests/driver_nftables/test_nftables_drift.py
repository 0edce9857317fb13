"""What others do to our table: noticed at once, told with the name of who did it, and repaired."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import pytest
import structlog

from onehop.base.errors import DriverUnavailable
from onehop.driver.nftables.channel import Refused
from onehop.driver.nftables.drift import Drift
from onehop.driver.nftables.driver import NftablesDriver
from onehop.driver.nftables.element import Elements, Lookup
from onehop.driver.nftables.forwarding import conntrack_share
from onehop.driver.nftables.monitor import Meddling, What
from onehop.driver.nftables.netlink import Netlink
from onehop.model.address import Cidr
from onehop.model.listener import Transport
from onehop.model.model import Row
from onehop.model.pool import SourceIpPersistence
from tests.driver_nftables.world import (
    Client,
    at,
    client,
    listener,
    load,
    members,
    nftables,
    once,
    pod,
    pool,
    serve,
    spread,
)
from tests.net.crossroads import CLIENTS, VIP, Crossroads
from tests.net.namespaces import until

TABLE = ("inet", "onehop_l4")
ENTRANCE = f"{VIP[4]} . tcp . 80"


def rows() -> tuple[Row, ...]:
    """Return a listener of each kind: plain, UDP, remembered, and for some clients only."""
    web, dns = pool(), pool(Transport.UDP, name="dns")
    sticky = pool(name="sticky", persistence=SourceIpPersistence(timeout_s=600))
    return (
        *(web, members(web, at(8001)), listener(web)),
        *(dns, members(dns, at(8001)), listener(dns)),
        *(sticky, members(sticky, at(8001)), listener(sticky, port=81, sources=(CLIENTS[4],))),
    )


async def state(roads: Crossroads) -> tuple[str, Elements]:
    """Return everything that is in our table, but for what is counted and remembered."""
    found: Elements = {}
    with Netlink() as netlink:
        for lookup in Lookup:
            for version in (4, 6):
                found |= await netlink.elements(lookup, version)
    rules = await asyncio.to_thread(roads.nft, "-s", "-t", "list", "table", *TABLE)
    return "\n".join(sorted(rules.splitlines())), found


async def comes_back(roads: Crossroads, before: tuple[str, Elements]) -> None:
    """Wait until the table is as it was."""
    found = None
    async with asyncio.timeout(20):
        while found != before:
            with contextlib.suppress(Refused, subprocess.CalledProcessError):  # it is not there
                found = await state(roads)
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def talking(asked: Client) -> AsyncGenerator[None]:
    """Have a client ask over one connection, again and again, and get an answer each time."""
    is_over = asyncio.Event()

    async def talk() -> None:
        while not is_over.is_set():
            assert (await asked.ask())[0] == 8001

    async with asyncio.TaskGroup() as group:
        group.create_task(talk())
        try:
            yield
        finally:
            is_over.set()


ADDED_CHAIN = """
add chain inet onehop_l4 more { type filter hook prerouting priority -200; policy accept; }
add rule inet onehop_l4 more tcp dport 80 ct state new drop
"""
MEDDLING: Mapping[str, tuple[str, What]] = {
    "a flush of everything": ("flush ruleset", What.TABLE),
    "the table is deleted": ("delete table inet onehop_l4", What.TABLE),
    "the table is switched off": ("add table inet onehop_l4 { flags dormant; }", What.TABLE),
    "chains are not found": ("flush map inet onehop_l4 pick4", What.ELEMENT),
    "a map is emptied": ("flush map inet onehop_l4 member4", What.ELEMENT),
    "an element is deleted": (
        f"delete element inet onehop_l4 service4 {{ {ENTRANCE} }}",
        What.ELEMENT,
    ),
    "an element is added": (
        "add element inet onehop_l4 source4 { 203.0.113.10 . tcp . 81 . 0.0.0.0-9.9.9.9 }",
        What.ELEMENT,
    ),
    "somebody else is served": (
        "add element inet onehop_l4 refused4 { 203.0.113.10 . tcp . 99 }",
        What.ELEMENT,
    ),
    "an element for all": (
        "add element inet onehop_l4 service4 { * : 1:1 }",
        What.ELEMENT,
    ),
    "rules are emptied": ("flush chain inet onehop_l4 nat-prerouting", What.RULE),
    "a rule is added": (
        "insert rule inet onehop_l4 filter-prerouting tcp dport 80 drop",
        What.RULE,
    ),
    "a chain is added": (ADDED_CHAIN, What.CHAIN),
    "a set is added": ("add set inet onehop_l4 more { type ipv4_addr; }", What.MAP),
    "a policy is changed": (
        "add chain inet onehop_l4 filter-prerouting { policy drop; }",
        What.CHAIN,
    ),
}


@pytest.mark.root
@pytest.mark.parametrize("meddling", MEDDLING)
def test_whatever_others_change_is_put_back(roads: Crossroads, meddling: str) -> None:
    """At once, without a change of ours; an open connection goes on, answer for answer."""
    script, what = MEDDLING[meddling]

    async def main() -> None:
        async with nftables(leftover_grace_s=0.0) as driver, pod(roads, 8001):
            await serve(driver, *rows())
            before = await state(roads)
            async with client(roads) as open_one, talking(open_one):
                with structlog.testing.capture_logs() as logs:
                    await asyncio.to_thread(load, roads, script)
                    await until(lambda: driver.describe()["repairs"] != "0")
                    await comes_back(roads, before)
                await reached(roads)
            assert what in driver.drifts
            told = [each for each in logs if each["event"] == "nftables_drift"]
            assert told[0]["by"] == "nft"
            assert "by nft" in driver.describe()["last_drift"]

    roads.balancer.run(main)


async def reached(roads: Crossroads) -> None:
    """Make sure that all three listeners serve."""
    assert (await once(roads))[0] == 8001
    assert (await once(roads, Transport.UDP))[0] == 8001
    assert (await once(roads, port=81))[0] == 8001


@pytest.mark.root
def test_an_old_copy_in_place_of_ours_is_brought_up_to_date(roads: Crossroads) -> None:
    """As `systemctl reload nftables` does, where somebody has saved the ruleset with ours in it."""

    async def main() -> None:
        async with nftables(leftover_grace_s=0.0) as driver, pod(roads, 8001, 8002):
            old, sticky = pool(name="old"), pool(persistence=SourceIpPersistence(timeout_s=600))
            await serve(driver, old, members(old, at(8001)), listener(old, port=81))
            saved = await asyncio.to_thread(roads.nft, "list", "ruleset")
            await serve(driver, sticky, members(sticky, at(8002)), listener(sticky))
            before = await state(roads)
            ours = saved[saved.index("table inet onehop_l4 {") :]
            script = "flush ruleset\n" + ours[: ours.index("\n}") + 2]
            await asyncio.to_thread(load, roads, script)
            await comes_back(roads, before)
            assert set(await spread(roads, 5)) == {8002}

    roads.balancer.run(main)


@pytest.mark.root
def test_what_we_do_ourselves_is_no_drift(roads: Crossroads) -> None:
    """Neither elements nor chains, nor what others do elsewhere, nor clients that are forgotten."""

    async def main() -> None:
        async with nftables(leftover_grace_s=0.0) as driver, pod(roads, 8001, 8002):
            for port in (8001, 8002):
                sticky = pool(persistence=SourceIpPersistence(timeout_s=600))
                limited = listener(sticky, sources=(Cidr("198.51.100.0/24"),))
                await serve(driver, *rows()[:6], sticky, members(sticky, at(port)), limited)
                assert (await once(roads))[0] == port
                table = await asyncio.to_thread(roads.nft, "list", "table", *TABLE)
                (clients,) = {word for word in table.split() if word.startswith("clients4-")}
                await asyncio.to_thread(roads.nft, "flush", "map", *TABLE, clients)
            await asyncio.to_thread(roads.nft, "add", "table", "inet", "theirs")
            await serve(driver)
            await driver.settled()
            assert driver.drifts == {}
            assert driver.describe()["repairs"] == "0"

    roads.balancer.run(main)


@pytest.mark.root
def test_one_process_at_a_time_serves(roads: Crossroads) -> None:
    """A second one says who is there already, and touches nothing; the next may."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001):
            await serve(driver, *rows())
            with pytest.raises(DriverUnavailable, match="another process serves layer 4"):
                async with NftablesDriver().running():
                    raise AssertionError
            assert (await once(roads))[0] == 8001
            assert driver.drifts == {}
        async with nftables() as after:
            assert after.describe()["entrances"] == "0"
        assert "onehop_l4_hold" not in roads.nft("list", "ruleset")

    roads.balancer.run(main)


def test_who_does_not_give_up_is_answered_ever_less_often() -> None:
    """At once at first; and after a quiet minute, at once again."""
    now = 0.0

    def clock() -> float:
        return now

    drift = Drift(clock)
    waits = []
    for _ in range(10):
        waits.append(drift.wait_s())
        now += waits[-1] + 1
    assert waits[:4] == [0.0, 0.25, 0.5, 1.0]
    assert waits[-1] == 30.0
    now += 61
    assert drift.wait_s() == 0.0


def test_drift_is_counted_by_few_words() -> None:
    """Once each time, however many elements it was."""
    drift = Drift(lambda: 0.0)
    assert drift.describe() == {}
    drift.note(Meddling())
    drift.note(Meddling({What.ELEMENT: 1000, What.RULE: 1}, ("firewalld",)))
    assert drift.counts == {"element": 1, "rule": 1}
    assert drift.describe() == {"drifts": "2", "last_drift": "element, rule by firewalld"}
    drift.note_forwarding({4: "net.ipv4.ip_forward is 0"})
    drift.note_forwarding({})
    assert drift.counts["forwarding"] == 1


def test_a_full_table_of_connections_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is beyond is dropped by the kernel; told again only after there was room."""
    monkeypatch.setattr("onehop.driver.nftables.forwarding._CONNTRACK", tmp_path)
    assert conntrack_share() == 0.0
    (tmp_path / "nf_conntrack_max").write_text("1000\n")
    drift = Drift(lambda: 0.0)
    with structlog.testing.capture_logs() as logs:
        for count in (100, 950, 1000, 850, 950, 700, 900):
            (tmp_path / "nf_conntrack_count").write_text(f"{count}\n")
            drift.note_conntrack(conntrack_share())
    assert [each["percent"] for each in logs] == [95, 90]
    assert "nf_conntrack_max" in logs[0]["advice"]
