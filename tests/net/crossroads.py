"""A client and a Pod with the load balancer between them, each a network namespace.

client 198.51.100.10 --- 198.51.100.1 balancer 10.244.9.1 --- 10.244.9.2 Pod
   |                                                           |
   '--------------------- a short cut, 10.99.0.0/24 -----------'

IPv6 alike: 2001:db8:1::/64, 2001:db8:9::/64, 2001:db8:99::/64. The Pod answers through the balancer
until `bypass` leads its answers over the short cut.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final, NamedTuple

from onehop.model.address import Cidr, IpAddr
from tests.net.namespaces import Machine

CLIENTS: Final = {4: Cidr("198.51.100.0/24"), 6: Cidr("2001:db8:1::/64")}
CLIENT: Final = {4: IpAddr("198.51.100.10"), 6: IpAddr("2001:db8:1::10")}
POD: Final = {4: IpAddr("10.244.9.2"), 6: IpAddr("2001:db8:9::2")}
VIP: Final = {4: IpAddr("203.0.113.10"), 6: IpAddr("2001:db8:f::10")}

_NETWORKS: Final = {
    # Prefix and the last part of either end's address.
    "client": (("198.51.100.", 24, "1", "10"), ("2001:db8:1::", 64, "1", "10")),
    "pod": (("10.244.9.", 24, "1", "2"), ("2001:db8:9::", 64, "1", "2")),
    "short": (("10.99.0.", 24, "10", "2"), ("2001:db8:99::", 64, "10", "2")),
}

_NO_DAD: Final = Path("/proc/sys/net/ipv6/conf/default/accept_dad")
_SETTLED_S: Final = 30.0


class Crossroads(NamedTuple):
    """The three machines."""

    client: Machine
    balancer: Machine
    pod: Machine

    def bypass(self) -> None:
        """Lead the Pod's answers to the clients past the balancer."""
        self.pod.ip("route", "replace", CLIENTS[4], "via", "10.99.0.10")
        self.pod.ip("-6", "route", "replace", CLIENTS[6], "via", "2001:db8:99::10")

    def nft(self, *arguments: str) -> str:
        """Run `nft` on the balancer, and return what it says."""
        return self.balancer.do(lambda: _run("nft", *arguments))

    def routing(self) -> tuple[str, ...]:
        """Return everything that a packet's way through the balancer depends on."""
        said = [self.nft("list", "ruleset")]
        for family in ("-4", "-6"):
            said += [
                str(self.balancer.show(family, "rule", "show")),
                str(self.balancer.show(family, "route", "show", "table", "all")),
            ]
        return tuple(said)


@contextlib.contextmanager
def crossroads() -> Generator[Crossroads]:
    """Make the machines; the VIPs are on the balancer."""
    prefix = f"oh-cross-{os.getpid()}"
    roads = Crossroads(*(Machine(f"{prefix}-{role}") for role in Crossroads._fields))
    try:
        for machine in roads:
            _run("ip", "netns", "add", machine.name)
            machine.do(lambda: _NO_DAD.write_text("0"))  # nobody else is here, so nobody is asked
            machine.ip("link", "set", "lo", "up")
        _connect(roads.balancer, roads.client, "client")
        _connect(roads.balancer, roads.pod, "pod")
        _connect(roads.client, roads.pod, "short")
        for machine in (roads.client, roads.pod):
            gateways = _NETWORKS["client" if machine is roads.client else "pod"]
            for prefix, _, gateway, _ in gateways:
                machine.ip("route", "add", "default", "via", f"{prefix}{gateway}")
        for vip in VIP.values():
            roads.balancer.ip("address", "add", vip, "dev", "lo")
        yield roads
    finally:
        for machine in roads:
            with contextlib.suppress(subprocess.CalledProcessError):
                _run("ip", "netns", "del", machine.name)


def _connect(one: Machine, other: Machine, name: str) -> None:
    one.ip("link", "add", name, "type", "veth", "peer", "name", name, "netns", other.name)
    for prefix, length, near, far in _NETWORKS[name]:
        flags = ("nodad",) if ":" in prefix else ()
        one.ip("address", "add", f"{prefix}{near}/{length}", "dev", name, *flags)
        other.ip("address", "add", f"{prefix}{far}/{length}", "dev", name, *flags)
    for machine in (one, other):
        machine.ip("link", "set", name, "up")
    for machine in (one, other):
        _await_link_local(machine, name)


def _await_link_local(machine: Machine, device: str) -> None:
    """Wait for the address that comes by itself, lest it come while somebody compares routes."""
    deadline = time.monotonic() + _SETTLED_S
    while True:
        said = machine.show("-6", "address", "show", "dev", device, "scope", "link")
        found = [address for link in said for address in link.get("addr_info", ())]
        if found and not any(address.get("tentative") for address in found):
            return
        assert time.monotonic() < deadline, said
        time.sleep(0.01)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
