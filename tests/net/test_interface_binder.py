"""VIPs on a real interface: three hosts on one bridge, each a network namespace of its own."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pyroute2 import AsyncIPRoute, netns

from onehop.base.errors import ConfigError, TransientError
from onehop.model.address import IpAddr
from onehop.net import AddressInUse
from onehop.net.interface import METRIC, PROTOCOL, InterfaceBinder
from onehop.net.link import Patience

pytestmark = pytest.mark.root

T = TypeVar("T")

VIP = {4: IpAddr("192.0.2.100"), 6: IpAddr("2001:db8::100")}
QUICK = Patience(probes=2, probe_s=0.15, announcements=2, announce_s=0.01)
DEADLINE_S = 30.0


class Host:
    """A network namespace with `eth0` on the common bridge."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ip(self, *arguments: str) -> Any:
        """Run `ip -json` in the namespace and return what it says."""
        command = ["ip", "-n", self.name, "-json", *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout or "[]")

    def address(self, address: IpAddr) -> dict[str, Any] | None:
        """Return what the kernel knows of an address on eth0."""
        (link,) = self.ip("address", "show", "dev", "eth0")
        found = [entry for entry in link["addr_info"] if entry["local"] == address]
        return found[0] if found else None

    @property
    def mac(self) -> str:
        (link,) = self.ip("link", "show", "dev", "eth0")
        return str(link["address"])

    def neighbour(self, address: IpAddr) -> str | None:
        """Return the MAC that this host believes to have the address."""
        entries = self.ip("neighbour", "show", "to", address, "dev", "eth0")
        return next((entry.get("lladdr") for entry in entries), None)

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine as a process of this host would: on a thread inside its namespace."""

        async def whole() -> T:
            return await main()

        def inside() -> T:
            netns.setns(self.name)
            return asyncio.run(whole())

        with ThreadPoolExecutor(1) as pool:  # a thread of its own, which takes the namespace along
            return pool.submit(inside).result()


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host, Host]]:
    """Make two load balancers and a client on one bridge."""
    made = [f"oh{os.getpid()}{role}" for role in ("a", "b", "c")]
    switch = f"oh{os.getpid()}s"
    names = [switch, *made]
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        _ip("-n", switch, "link", "set", "br0", "up")
        for number, name in enumerate(made, start=1):
            port = f"p{number}"
            _ip(
                *("-n", switch, "link", "add", port, "type", "veth"),
                *("peer", "name", "eth0", "netns", name),
            )
            _ip("-n", switch, "link", "set", port, "master", "br0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "address", "add", f"192.0.2.{number}/24", "dev", "eth0")
            _ip("-n", name, "address", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad")
        first, second, client = (Host(name) for name in made)
        yield first, second, client
    finally:
        for name in names:
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def reach(client: Host, address: IpAddr) -> None:
    """Have the client find the address and the host behind it, which listens on no port."""

    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S):
            with contextlib.suppress(ConnectionRefusedError):
                await asyncio.open_connection(address, 9)

    client.run(main)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110  the kernel sets no Event
            await asyncio.sleep(0.02)


async def ip(*arguments: str) -> None:
    await asyncio.to_thread(_ip, *arguments)


def bind(host: Host, *addresses: IpAddr) -> None:
    async def main() -> None:
        binder = InterfaceBinder("eth0", patience=QUICK)
        for address in addresses:
            await binder.bind(address)

    host.run(main)


def test_a_host_with_many_interfaces_is_one_of_ours(hosts: tuple[Host, Host, Host]) -> None:
    """The kernel tells of them in several messages; ours is in the first, and all are read."""
    host, _, _ = hosts
    for number in range(30):
        _ip("-n", host.name, "link", "add", f"br{number}", "type", "bridge")

    host.run(lambda: InterfaceBinder("lo").bind(VIP[4]))

    assert host.run(InterfaceBinder("lo").bound) == {VIP[4]}


@pytest.mark.parametrize("family", [4, 6])
def test_a_bound_address_is_a_host_route_with_our_marks(
    hosts: tuple[Host, Host, Host], family: int
) -> None:
    """It answers, it brings no prefix route, it is nobody's source, and it is known as ours."""
    host, _, client = hosts
    vip = VIP[family]

    bind(host, vip, vip)
    reach(client, vip)

    entry = host.address(vip)
    assert entry is not None
    assert entry["prefixlen"] == (32 if family == 4 else 128)
    assert entry["noprefixroute"] is True
    if family == 4:
        assert entry["label"] == "eth0:oh"
    else:
        assert (entry["metric"], entry["preferred_life_time"]) == (METRIC, 0)
        assert "tentative" not in entry
    assert client.neighbour(vip) == host.mac


@pytest.mark.parametrize("family", [4, 6])
def test_an_address_that_another_machine_has_is_refused(
    hosts: tuple[Host, Host, Host], family: int
) -> None:
    """The refusal names who answered, and nothing is bound."""
    first, second, _ = hosts
    vip = VIP[family]
    bind(first, vip)

    with pytest.raises(AddressInUse) as caught:
        bind(second, vip)

    assert caught.value.mac == first.mac
    assert first.mac in str(caught.value)
    assert second.address(vip) is None
    assert first.address(vip) is not None


@pytest.mark.parametrize("family", [4, 6])
def test_a_failover_moves_the_address_in_the_caches_of_its_clients(
    hosts: tuple[Host, Host, Host], family: int
) -> None:
    """The announcement alone does it; the client asks nobody."""
    first, second, client = hosts
    vip = VIP[family]
    bind(first, vip)
    reach(client, vip)
    assert client.neighbour(vip) == first.mac

    first.ip("link", "set", "eth0", "down")  # it died with the address on it
    bind(second, vip)

    asyncio.run(until(lambda: client.neighbour(vip) == second.mac))
    reach(client, vip)


def test_a_restart_adopts_its_own_addresses_and_no_others(
    hosts: tuple[Host, Host, Host],
) -> None:
    """What carries our marks is ours again, also to be unbound; the operator's own stay."""
    host, _, _ = hosts
    foreign = IpAddr("192.0.2.1")
    bind(host, *VIP.values())

    async def restarted() -> frozenset[IpAddr]:
        binder = InterfaceBinder("eth0", patience=QUICK)
        found = await binder.bound()
        for address in (*VIP.values(), foreign):
            await binder.bind(address)
            await binder.unbind(address)
            await binder.unbind(address)
        assert await binder.bound() == frozenset()
        return found

    assert host.run(restarted) == set(VIP.values())
    assert host.address(foreign) is not None
    assert all(host.address(vip) is None for vip in VIP.values())


def test_what_is_taken_off_comes_back(hosts: tuple[Host, Host, Host]) -> None:
    """By hand or by a flap of the link, which drops every IPv6 address; unbound ones stay away."""
    host, _, _ = hosts

    async def main() -> None:
        binder = InterfaceBinder("eth0", patience=QUICK)
        async with asyncio.TaskGroup() as tasks:
            guard = tasks.create_task(binder.keep_bound())
            for vip in VIP.values():
                await binder.bind(vip)
            await ip("-n", host.name, "address", "del", f"{VIP[4]}/32", "dev", "eth0")
            await until(lambda: host.address(VIP[4]) is not None)

            await ip("-n", host.name, "link", "set", "eth0", "down")
            await ip("-n", host.name, "link", "set", "eth0", "up")
            await until(lambda: host.address(VIP[6]) is not None)

            await binder.unbind(VIP[4])
            await ip("-n", host.name, "address", "del", f"{VIP[6]}/128", "dev", "eth0")
            await until(lambda: host.address(VIP[6]) is not None)
            await until(lambda: host.address(VIP[4]) is None)
            guard.cancel()

    host.run(main)


@pytest.mark.parametrize("family", [4, 6])
def test_an_address_that_is_let_go_elsewhere_is_held_silently(
    hosts: tuple[Host, Host, Host], family: int
) -> None:
    """Who has it is still asked for, and nobody is told, until it is announced."""
    first, second, client = hosts
    vip = VIP[family]
    bind(first, vip)
    reach(client, vip)
    assert client.neighbour(vip) == first.mac

    async def main() -> None:
        binder = InterfaceBinder("eth0", patience=QUICK)
        free = IpAddr("192.0.2.99")
        assert await binder.claimed(frozenset((vip, free))) == {vip}
        await binder.hold(vip)
        await binder.hold(vip)
        assert await binder.bound() == {vip}
        assert client.neighbour(vip) == first.mac
        await asyncio.to_thread(first.run, lambda: InterfaceBinder("eth0").unbind(vip))
        assert await binder.claimed(frozenset((vip,))) == frozenset()
        assert client.neighbour(vip) == first.mac
        await binder.announce(frozenset((vip,)))
        await until(lambda: client.neighbour(vip) == second.mac)

    second.run(main)
    reach(client, vip)


def test_on_a_link_that_is_down_nothing_is_held(hosts: tuple[Host, Host, Host]) -> None:
    """Nobody would come; where there is no link, nobody is asked."""
    host, _, _ = hosts
    everything = frozenset(VIP.values())
    assert host.run(lambda: InterfaceBinder("lo").claimed(everything)) == frozenset()
    host.ip("link", "set", "eth0", "down")
    with pytest.raises(TransientError, match="eth0 is down"):
        host.run(lambda: InterfaceBinder("eth0").hold(VIP[4]))
    with pytest.raises(TransientError, match="eth0"):
        host.run(lambda: InterfaceBinder("eth0").claimed(everything))


def test_loopback_has_nobody_to_ask(hosts: tuple[Host, Host, Host]) -> None:
    """An address on `lo` is bound at once, though a machine on eth0 has it."""
    first, second, _ = hosts
    bind(first, VIP[4])

    async def main() -> frozenset[IpAddr]:
        binder = InterfaceBinder("lo", patience=Patience(probes=1000, probe_s=1000.0))
        await binder.bind(VIP[4])
        await binder.bind(VIP[6])
        return await binder.bound()

    assert second.run(main) == set(VIP.values())


def test_a_link_that_is_down_or_missing_is_worth_another_try(
    hosts: tuple[Host, Host, Host],
) -> None:
    """Nobody can say then whether the address is free."""
    host, _, _ = hosts
    host.ip("link", "set", "eth0", "down")

    with pytest.raises(TransientError, match="eth0 is down"):
        bind(host, VIP[4])
    with pytest.raises(TransientError, match="no interface eth9"):
        host.run(lambda: InterfaceBinder("eth9").bind(VIP[4]))


def test_an_interface_without_ipv6_is_named(hosts: tuple[Host, Host, Host]) -> None:
    """The message names the sysctl."""
    host, _, _ = hosts

    async def main() -> None:
        setting = Path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6")
        await asyncio.to_thread(setting.write_text, "1")
        await InterfaceBinder("eth0", patience=QUICK).bind(VIP[6])

    with pytest.raises(ConfigError, match=r"net\.ipv6\.conf\.eth0\.disable_ipv6=0"):
        host.run(main)


def test_a_missing_right_is_named(hosts: tuple[Host, Host, Host]) -> None:
    """Without CAP_NET_RAW it cannot ask, without CAP_NET_ADMIN it cannot bind."""
    host, _, _ = hosts
    script = (
        "import asyncio, sys\n"
        "from onehop.net.interface import InterfaceBinder\n"
        "asyncio.run(InterfaceBinder(sys.argv[1]).bind('192.0.2.100'))\n"
    )
    for interface, capability in (("eth0", "CAP_NET_RAW"), ("lo", "CAP_NET_ADMIN")):
        powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
        done = subprocess.run(
            ["ip", "netns", "exec", host.name, *powerless, sys.executable, "-c", script, interface],
            check=False,
            capture_output=True,
            text=True,
        )
        assert f"needs {capability}" in done.stderr
    assert host.address(VIP[4]) is None


def test_the_marks_are_written_where_the_kernel_keeps_them(hosts: tuple[Host, Host, Host]) -> None:
    """Linux 5.18 and newer keep the protocol number of an address; `ip` may be too old to show."""
    host, _, _ = hosts
    bind(host, *VIP.values())

    async def main() -> set[int | None]:
        async with AsyncIPRoute() as netlink:
            entries: Any = await netlink.get_addr()
            return {
                entry.get("proto")
                async for entry in entries
                if entry.get("address") in VIP.values()
            }

    assert host.run(main) == {PROTOCOL}
