"""Our routing table: that it is looked up, stays so, and that only ours is taken away."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from onehop.net.table import PRIORITY, PROTOCOL, TABLE, RoutingTable
from tests.net.namespaces import Machine, machines, running, until

pytestmark = pytest.mark.root

KEEP_RULES = """
import asyncio
from onehop.net.table import RoutingTable
asyncio.run(RoutingTable().keep())
"""
MAKE_DEVICE = """
import asyncio
from onehop.net.vxlan.device import ensure_device
from onehop.net.vxlan.vtep import Vtep
mac = "02:00:00:00:00:01"
vtep = Vtep(vni=1, port=8472, local="192.0.2.1", inner="10.244.9.0", mac=mac)
asyncio.run(ensure_device(vtep))
"""
FAMILIES = ("-4", "-6")


@pytest.fixture
def host() -> Iterator[Machine]:
    with machines("table") as (machine,):
        yield machine


def rules(host: Machine, family: str) -> list[dict[str, Any]]:
    return [rule for rule in host.show(family, "rule") if rule.get("priority") == PRIORITY]


def test_our_table_is_looked_up_before_the_main_one(host: Machine) -> None:
    """Both families have one rule of ours, marked by its protocol; a second run adds none."""
    for _ in range(2):
        host.run(RoutingTable().put)

    for family in FAMILIES:
        (rule,) = rules(host, family)
        assert (rule["table"], rule["protocol"]) == (str(TABLE), str(PROTOCOL))


def test_a_rule_removed_by_hand_comes_back(host: Machine) -> None:
    """An operator's slip, or another program's clean-up, does not cut the way to the Pods."""

    async def main() -> None:
        async with running(RoutingTable().keep()):
            await until(lambda: all(rules(host, family) for family in FAMILIES))
            for family in FAMILIES:
                host.ip(family, "rule", "del", "priority", str(PRIORITY))
            await until(lambda: all(rules(host, family) for family in FAMILIES))

    host.run(main)

    assert all(rules(host, family) for family in FAMILIES)  # and stopping leaves them


def test_withdrawing_takes_what_is_ours_and_nothing_else(host: Machine) -> None:
    """Rules and routes of others stay, in our table too."""
    host.run(RoutingTable().put)
    host.ip("rule", "add", "priority", "31000", "lookup", str(TABLE))
    host.ip("route", "add", "10.1.0.0/24", "via", "192.0.2.9", "table", "111", "proto", "111")
    host.ip("route", "add", "10.2.0.0/24", "via", "192.0.2.9", "table", "111", "proto", "bird")
    host.ip("route", "add", "10.3.0.0/24", "via", "192.0.2.9", "proto", "111")
    host.ip("-6", "route", "add", "fd00::/64", "via", "2001:db8::9", "table", "111", "proto", "111")

    assert host.run(RoutingTable().withdraw) == 2

    assert [rules(host, family) for family in FAMILIES] == [[], []]
    assert [rule["priority"] for rule in host.show("rule") if rule.get("table") == "111"] == [31000]
    assert [route["dst"] for route in host.show("route", "show", "table", "111")] == ["10.2.0.0/24"]
    assert host.show("route", "show", "10.3.0.0/24")
    assert host.run(RoutingTable().withdraw) == 0


@pytest.mark.parametrize("work", [KEEP_RULES, MAKE_DEVICE], ids=["rules", "device"])
def test_a_missing_right_is_named(host: Machine, work: str) -> None:
    """The operator reads what to grant, or what to switch off."""
    powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    done = subprocess.run(
        ["ip", "netns", "exec", host.name, *powerless, sys.executable, "-c", work],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert "ConfigError" in done.stderr
    assert "needs CAP_NET_ADMIN" in done.stderr
