"""What is kept in the kernel follows what the cluster says of us."""

from functools import partial
from typing import Any

import msgspec
import pytest

from onehop.control.tunnel import TunnelPart
from onehop.model.address import Cidr, IpAddr
from onehop.model.network import Network, Tunnel
from tests.net.namespaces import Machine, machines, running, until

pytestmark = pytest.mark.root

OURS = Tunnel(
    node="onehop-lb1",
    vni=1,
    port=8472,
    outer=IpAddr("192.0.2.1"),
    inner=IpAddr("10.244.201.0"),
    mac="02:00:00:00:04:01",
    prefixes=(Cidr("10.244.201.0/24"),),
)
NODE = Tunnel(
    node="node2",
    vni=1,
    port=8472,
    outer=IpAddr("192.0.2.2"),
    inner=IpAddr("10.244.2.0"),
    mac="02:00:00:00:04:02",
    prefixes=(Cidr("10.244.2.0/24"),),
)


def device(host: Machine) -> dict[str, Any]:
    """Return our tunnel device: its MAC and its addresses; nothing if there is none."""
    shown = host.show("address", "show", "type", "vxlan")
    return {"mac": shown[0]["address"], "inner": _addresses(shown[0])} if shown else {}


def source(host: Machine) -> str:
    """Return which address packets to the node's Pods leave from; "" without a route."""
    shown = host.show("route", "show", "table", "111")
    return "".join(route["prefsrc"] for route in shown if route["dst"] == NODE.prefixes[0])


def is_at(host: Machine, ours: Tunnel) -> bool:
    """Tell whether our device is that end, and the way to the node's Pods begins there."""
    wanted = {"mac": ours.mac, "inner": [ours.inner]}
    return device(host) == wanted and source(host) == ours.inner


def test_a_node_object_made_anew_moves_our_end_and_one_deleted_takes_it_away() -> None:
    """Pods would answer to an address that no node knows any more."""
    moved = msgspec.structs.replace(
        OURS, inner=IpAddr("10.244.202.0"), prefixes=(Cidr("10.244.202.0/24"),)
    )
    renewed = msgspec.structs.replace(moved, mac="02:00:00:00:04:99")

    async def main() -> None:
        part = TunnelPart()
        async with running(part.run()):
            for ours in (OURS, moved, renewed):
                part.want(Network(tunnels=(NODE, ours)))
                await until(partial(is_at, host, ours))
            part.want(Network(tunnels=(NODE,)))
            await until(lambda: not device(host))
            await until(lambda: bool(part.problems()))
            part.want(Network(tunnels=(NODE, OURS)))
            await until(partial(is_at, host, OURS))
            assert part.problems() == ()

    with machines("parts") as (host,):
        host.run(main)


def _addresses(shown: dict[str, Any]) -> list[str]:
    return [entry["local"] for entry in shown["addr_info"] if entry["scope"] == "global"]
