"""Joining a VXLAN overlay: two nodes with flannel's device, made by hand as flanneld makes it."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import yaml

from onehop.base.errors import ConfigError, TransientError
from onehop.model.address import Cidr, IpAddr
from onehop.model.network import Tunnel, vtep_mac
from onehop.net.rtnetlink.kernel import LINKS, NEIGHBORS, ROUTES
from onehop.net.table import TABLE, RoutingTable
from onehop.net.vxlan.device import ensure_device, remove_devices
from onehop.net.vxlan.entries import TunnelFaultReason
from onehop.net.vxlan.manifest import OverlayKind, node_manifest
from onehop.net.vxlan.overlay import Overlay
from onehop.net.vxlan.vtep import Vtep, own_ends
from tests.net.heard import heard
from tests.net.namespaces import Machine, machines, running, soon, source_seen, until

pytestmark = pytest.mark.root

VNI = 1
PORT = 8472
NODES = 2


class Family:
    """The addresses of one family: of machine n on the link, and in the overlay."""

    def __init__(self, *, ipv6: bool) -> None:
        self.ip = "-6" if ipv6 else "-4"
        self.bits = "128" if ipv6 else "32"
        self.nodad = ("nodad",) if ipv6 else ()
        self._outer = "2001:db8::{}" if ipv6 else "192.0.2.{}"
        self._cidr = "fd00:10:{}::/64" if ipv6 else "10.244.{}.0/24"
        self._inner = "fd00:10:{}::" if ipv6 else "10.244.{}.0"

    def outer(self, number: int) -> IpAddr:
        return IpAddr(self._outer.format(number))

    def cidr(self, number: int) -> Cidr:
        return Cidr(self._cidr.format(number))

    def inner(self, number: int) -> IpAddr:
        return IpAddr(self._inner.format(number))


class World:
    """The load balancer is machine 1, and nodes are machines 2 and 3."""

    def __init__(self, host: Machine, nodes: list[Machine], family: Family) -> None:
        self.host = host
        self.nodes = dict(enumerate(nodes, start=2))
        self.family = family
        self.vtep = Vtep(
            vni=VNI,
            port=PORT,
            local=family.outer(1),
            inner=family.inner(1),
            mac=vtep_mac("lb"),
        )
        host.run(RoutingTable().put)
        for number in self.nodes:
            self._make_flannel(number)

    def pod(self, number: int) -> str:
        address = self.family.inner(number)
        return f"{address}2" if ":" in address else f"{address[:-1]}2"

    def mac(self, number: int) -> str:
        return vtep_mac(f"node{number}")

    def tunnel(self, number: int) -> Tunnel:
        family = self.family
        return Tunnel(
            node=f"node{number}",
            vni=VNI,
            port=PORT,
            outer=family.outer(number),
            inner=family.inner(number),
            mac=self.mac(number),
            prefixes=(family.cidr(number),),
        )

    def lead_to_us(self) -> None:
        """Do on every node what flanneld does when our Node object appears."""
        text = node_manifest(
            "lb", [self.vtep], kind=OverlayKind.FLANNEL, pod_cidrs=[self.family.cidr(1)]
        )
        node = yaml.safe_load(text)
        notes = {
            key.removeprefix("flannel.alpha.coreos.com/"): value
            for key, value in node["metadata"]["annotations"].items()
        }
        is_ipv6 = "public-ipv6" in notes
        data = msgspec.json.decode(notes["backend-v6-data" if is_ipv6 else "backend-data"])
        outer, mac = notes["public-ipv6" if is_ipv6 else "public-ip"], data["VtepMAC"]
        cidr = node["spec"]["podCIDR"]
        inner = cidr.partition("/")[0]
        for machine in self.nodes.values():
            machine.ip("neigh", "replace", inner, "lladdr", mac, "dev", "flannel.1")
            machine.bridge("fdb", "append", mac, "dev", "flannel.1", "dst", outer)
            machine.ip("route", "replace", cidr, "via", inner, "dev", "flannel.1", "onlink")

    def _make_flannel(self, number: int) -> None:
        machine, family = self.nodes[number], self.family
        machine.ip(
            *("link", "add", "flannel.1", "address", self.mac(number), "mtu", "1430"),
            *("type", "vxlan", "id", str(VNI), "dstport", str(PORT), "nolearning"),
            *("local", family.outer(number)),
        )
        inner = f"{family.inner(number)}/{family.bits}"
        machine.ip("address", "add", inner, "dev", "flannel.1", *family.nodad)
        machine.ip("link", "set", "flannel.1", "up")
        pod = f"{self.pod(number)}/{family.bits}"
        machine.ip("address", "add", pod, "dev", "lo", *family.nodad)

    def routes(self) -> dict[str, dict[str, Any]]:
        shown = self.host.show(self.family.ip, "route", "show", "table", str(TABLE))
        return {route["dst"]: route for route in shown}

    def devices(self) -> list[str]:
        return [link["ifname"] for link in self.host.show("link", "show", "type", "vxlan")]

    def join(self, *numbers: int) -> None:
        """Run until the nodes are reached, and stop."""

        async def main() -> None:
            overlay = Overlay(self.vtep)
            overlay.want([self.tunnel(number) for number in numbers])
            async with running(overlay.run()):
                _, faults = await soon(overlay.faults.newer(0))
            assert faults == ()

        self.host.run(main)

    def reaches(self, number: int) -> bool:
        """Whether a Pod of the node answers; the source it sees is our inner address."""
        try:
            seen = source_seen(self.nodes[number], self.pod(number), self.host)
        except OSError:
            return False
        assert seen == self.vtep.inner
        return True


@pytest.fixture(params=["IPv4", "IPv6"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with machines("vx-lb", "vx-node2", "vx-node3") as (host, *nodes):
        yield World(host, nodes, Family(ipv6=request.param == "IPv6"))


def test_pods_are_reached_through_the_tunnel_and_answer_through_it(world: World) -> None:
    """TCP goes there and back; the Pod sees our inner address, which its node knows the way to."""
    world.lead_to_us()

    world.join(2, 3)

    assert world.reaches(2)
    assert world.reaches(3)


def test_the_device_is_made_as_flannel_makes_its_own(world: World) -> None:
    """It learns nothing, fits the link, and says whose it is."""
    world.join(2)

    (link,) = world.host.show("link", "show", "type", "vxlan")
    data = link["linkinfo"]["info_data"]
    assert (link["ifname"], link["ifalias"]) == (world.vtep.device, "onehop")
    assert (data["id"], data["port"], data["learning"]) == (VNI, PORT, False)
    assert link["address"] == world.vtep.mac
    assert link["mtu"] == 1500 - (70 if world.family.ip == "-6" else 50)


def test_a_host_with_many_links_and_addresses_joins(world: World) -> None:
    """The kernel tells of them in several messages, and begins no other list before the end."""
    for number in range(40):
        world.host.ip("link", "add", f"br{number}", "type", "bridge")
        world.host.ip("address", "add", f"198.51.100.{number}/32", "dev", "eth0")
        world.host.ip("address", "add", f"2001:db8:1::{number}/128", "dev", "eth0", "nodad")
    world.lead_to_us()

    world.join(2)

    assert world.reaches(2)


def test_a_restart_finds_everything_and_writes_nothing(world: World) -> None:
    """The Pods are reached all the while: no link, entry or route changes."""
    world.join(2, 3)

    async def main() -> list[int]:
        overlay = Overlay(world.vtep)
        overlay.want([world.tunnel(2), world.tunnel(3)])
        with heard(LINKS | NEIGHBORS | ROUTES) as said:
            async with running(overlay.run()):
                await soon(overlay.faults.newer(0))
        return said

    assert world.host.run(main) == []


def test_a_node_that_goes_takes_only_its_own_along(world: World) -> None:
    """Its route, neighbour and forwarding entry go; the other node's stay."""
    world.lead_to_us()

    async def main() -> None:
        overlay = Overlay(world.vtep)
        overlay.want([world.tunnel(2), world.tunnel(3)])
        async with running(overlay.run()):
            await soon(overlay.faults.newer(0))
            overlay.want([world.tunnel(3)])
            await until(lambda: world.routes().keys() == {world.family.cidr(3)})
            await until(lambda: world.mac(2) not in _entries(world))

    world.host.run(main)

    assert world.mac(3) in _entries(world)
    assert world.reaches(3)


def test_a_node_that_gets_another_mac_or_address_is_followed(world: World) -> None:
    """A node that was set up anew keeps its podCIDR; its route is not even touched."""
    old = world.tunnel(2)
    new = msgspec.structs.replace(old, mac="02:00:00:00:00:99", outer=world.family.outer(99))

    async def main() -> list[int]:
        overlay = Overlay(world.vtep)
        overlay.want([old])
        async with running(overlay.run()):
            await soon(overlay.faults.newer(0))
            with heard() as said:
                overlay.want([new])
                await until(lambda: old.mac not in _entries(world))
        return said

    said = world.host.run(main)

    assert f"{new.mac} dst {new.outer}" in _entries(world)
    (neighbour,) = world.host.show(world.family.ip, "neigh", "show", old.inner)
    assert (neighbour["lladdr"], neighbour["state"]) == (new.mac, ["PERMANENT"])
    assert said == []


def remove_device(world: World) -> None:
    world.host.ip("link", "del", world.vtep.device)


def take_down(world: World) -> None:
    world.host.ip("link", "set", world.vtep.device, "down")


def remove_address(world: World) -> None:
    """The kernel drops the routes that have it as their source, and tells nobody."""
    address = f"{world.vtep.inner}/{world.family.bits}"
    world.host.ip("address", "del", address, "dev", world.vtep.device)


def remove_entry(world: World) -> None:
    world.host.bridge("fdb", "del", world.mac(2), "dev", world.vtep.device)


def remove_neighbour(world: World) -> None:
    world.host.ip("neigh", "del", world.family.inner(2), "dev", world.vtep.device)


def remove_route(world: World) -> None:
    world.host.ip(world.family.ip, "route", "del", world.family.cidr(2), "table", str(TABLE))


@pytest.mark.parametrize(
    "spoil",
    [remove_device, take_down, remove_address, remove_entry, remove_neighbour, remove_route],
)
def test_what_somebody_spoils_is_put_right(world: World, spoil: Callable[[World], None]) -> None:
    """Whatever is missing of the way to a Pod is there again at once."""
    world.lead_to_us()

    async def main() -> None:
        overlay = Overlay(world.vtep)
        overlay.want([world.tunnel(2)])
        async with running(overlay.run()):
            await soon(overlay.faults.newer(0))
            right = _state(world)
            await asyncio.to_thread(spoil, world)
            await until(lambda: _state(world) == right)

    world.host.run(main)

    assert world.reaches(2)


def test_leaving_removes_all_of_ours_and_nothing_else(world: World) -> None:
    """Even after a crash, since a device says whose it is; and a second time is no fault."""
    world.host.ip("link", "add", "other", "type", "vxlan", "id", "77", "dstport", "4789")
    world.join(2, 3)

    assert world.host.run(remove_devices) == (world.vtep.device,)

    assert world.devices() == ["other"]
    assert world.routes() == {}
    assert world.host.run(remove_devices) == ()


def test_a_device_half_made_by_a_crash_is_finished(world: World) -> None:
    """The kernel cannot make a device and mark it at once; the name and its state tell."""
    world.host.ip(
        *("link", "add", world.vtep.device, "type", "vxlan", "id", str(VNI)),
        *("dstport", str(PORT), "local", world.vtep.local),
    )
    world.lead_to_us()

    world.join(2)

    assert world.reaches(2)


def test_a_device_of_another_configuration_is_replaced(world: World) -> None:
    """A new MAC or address in the configuration is carried out, not ignored."""
    world.join(2)
    changed = msgspec.structs.replace(world.vtep, mac="02:00:00:00:00:77")

    world.host.run(lambda: ensure_device(changed))

    (link,) = world.host.show("link", "show", "type", "vxlan")
    assert link["address"] == changed.mac


def test_a_host_that_is_a_node_itself_is_refused(world: World) -> None:
    """Its own flannel device has the VNI and port, and it reaches the Pods without us."""
    node = world.nodes[2]

    async def main() -> None:
        vtep = msgspec.structs.replace(world.vtep, local=world.family.outer(2))
        with pytest.raises(ConfigError, match=r"flannel\.1 has VNI 1 on port 8472.*a node"):
            await ensure_device(vtep)

    node.run(main)

    assert [link["ifname"] for link in node.show("link", "show", "type", "vxlan")] == ["flannel.1"]


def test_a_foreign_device_of_our_name_is_left(world: World) -> None:
    """It is up and has no mark of ours, so somebody uses it."""
    name = world.vtep.device
    world.host.ip("link", "add", name, "up", "type", "vxlan", "id", "9", "dstport", "4789")

    async def main() -> None:
        with pytest.raises(ConfigError, match="exists and is not ours"):
            await ensure_device(world.vtep)

    world.host.run(main)


def test_an_address_that_is_not_here_is_waited_for(world: World) -> None:
    """It may come later, so this is no fault of the configuration; and no time is lost then."""
    local = world.family.outer(77)
    vtep = msgspec.structs.replace(world.vtep, local=local)

    async def main() -> None:
        with pytest.raises(TransientError, match="an address of no interface here"):
            await ensure_device(vtep)
        async with running(Overlay(vtep).run()):
            nodad = world.family.nodad
            await asyncio.to_thread(world.host.ip, "address", "add", local, "dev", "eth0", *nodad)
            await until(lambda: world.devices() == [vtep.device])

    world.host.run(main)


def test_a_smaller_link_makes_the_tunnel_smaller(world: World) -> None:
    """While it is used: the device is not made anew for that."""
    world.join(2)
    (before,) = world.host.show("link", "show", "type", "vxlan")
    world.host.ip("link", "set", "eth0", "mtu", "1400")

    world.join(2)

    (after,) = world.host.show("link", "show", "type", "vxlan")
    assert after["mtu"] == before["mtu"] - 100
    assert after["ifindex"] == before["ifindex"]


def test_a_tunnel_of_another_overlay_is_reported(world: World) -> None:
    """And the others are joined all the same."""
    other = msgspec.structs.replace(world.tunnel(2), vni=4096)

    async def main() -> None:
        overlay = Overlay(world.vtep)
        overlay.want([other, world.tunnel(3)])
        async with running(overlay.run()):
            _, faults = await soon(overlay.faults.newer(0))
        assert [(f.node, f.reason) for f in faults] == [("node2", TunnelFaultReason.OTHER_OVERLAY)]

    world.host.run(main)

    assert world.routes().keys() == {world.family.cidr(3)}


def test_our_end_is_read_from_our_node_object(world: World) -> None:
    """It is the one with an address of this host; nothing has to be configured twice."""
    own = Tunnel(
        node="lb",
        vni=VNI,
        port=PORT,
        outer=world.vtep.local,
        inner=world.vtep.inner,
        mac=world.vtep.mac.upper(),
    )

    async def main() -> None:
        assert await own_ends([world.tunnel(2), own]) == (world.vtep,)
        assert await own_ends([world.tunnel(2), world.tunnel(3)]) == ()

    world.host.run(main)


def _entries(world: World) -> str:
    try:
        return world.host.bridge("fdb", "show", "dev", world.vtep.device)
    except subprocess.CalledProcessError:  # the device is not there
        return ""


def _state(world: World) -> tuple[object, ...]:
    """Return all that the way to Pods needs, less what changes with a device's number."""
    neighbours = world.host.show(world.family.ip, "neigh", "show", "nud", "permanent")
    return (
        [(n["dst"], n["lladdr"]) for n in neighbours],
        {line for line in _entries(world).splitlines() if "dst" in line},
        {dst: (route["gateway"], route["dev"]) for dst, route in world.routes().items()},
        world.host.show("address", "show", "to", world.vtep.inner) != [],
        world.host.show("link", "show", "up", "type", "vxlan") != [],
    )


def test_the_overlays_of_two_families_leave_each_other_alone() -> None:
    """A dual-stack cluster has both, and both keep their routes in one table."""
    with machines("vx-lb", "vx-node2") as (host, node):
        ipv4 = World(host, [], Family(ipv6=False))
        ipv6 = World(host, [node], Family(ipv6=True))
        before: dict[str, dict[str, Any]] = {}

        for world in (ipv4, ipv6):
            world.join(2)
            before |= world.routes()
        ipv4.join(2)

        assert ipv4.routes() | ipv6.routes() == before
        assert before.keys() == {ipv4.family.cidr(2), ipv6.family.cidr(2)}
