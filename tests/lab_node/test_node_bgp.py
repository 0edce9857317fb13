"""The node's BIRD at work: what Calico's would tell its neighbours, and learn from them."""

import asyncio
import subprocess
from collections.abc import Callable

import pytest

from onehop.lab.controller import bgp_peer
from onehop.lab.node import SOCKET
from tests.lab_node.world import Lab

pytestmark = [pytest.mark.root, pytest.mark.slow]

OUTSIDE = """
router id 10.111.0.100;
log stderr all;
protocol device {}
protocol direct { ipv4; }
protocol kernel { ipv4 { export all; }; }
protocol bgp node1 {
  local 10.111.0.100 as 64513; neighbor 10.111.0.11 as 64512; multihop;
  password "secret"; connect delay time 1;
  ipv4 { import all; export none; };
}
"""


def has_route(world: Lab, where: str, *words: str) -> Callable[[], bool]:
    """Return the claim that a routing table has a line with all these words."""
    family = "-6" if "::" in words[0] else "-4"

    def claim() -> bool:
        lines = world.ip(where, family, "route", "show").splitlines()
        return any(set(words) <= set(line.split()) for line in lines)

    return claim


async def test_nodes_know_each_others_blocks(world: Lab) -> None:
    """By the mesh; and a block's own node throws away what no Pod has."""
    world.node(1)
    world.node(2)
    await world.until(has_route(world, "n1", "10.244.2.0/26", "10.111.0.12", "bird"))
    await world.until(has_route(world, "n2", "10.244.1.0/26", "10.111.0.11", "bird"))
    await world.until(has_route(world, "n1", "fd00:244:2::/122", "fd00:111::12", "bird"))
    await world.until(has_route(world, "n1", "blackhole", "10.244.1.0/26"))


async def test_a_bgppeer_lets_an_outsider_in(world: Lab) -> None:
    """It hears the node's block and the address that a Pod borrowed, and nothing of other nodes."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "bgp", "namespace": "kube-system"},
        "data": {"password": "c2VjcmV0"},
    }
    peer = bgp_peer(
        "outside",
        peerIP="10.111.0.100",
        asNumber=64513,
        nodeSelector="kubernetes.io/hostname == 'node1'",
        password={"secretKeyRef": {"name": "bgp", "key": "password"}},
    )
    world.put(secret)
    config = world.folder / "outside.conf"
    config.write_text(OUTSIDE)
    control = world.folder / "outside.ctl"
    world.start("ext", "bird", "-f", "-c", str(config), "-s", str(control))
    world.node(1)
    await world.until((world.folder / "n1" / SOCKET).exists)
    world.ip("n1", "route", "add", "10.244.9.9/32", "dev", "eth0")  # as Felix would

    world.put(peer)

    await world.until(has_route(world, "ext", "10.244.1.0/26", "10.111.0.11"))
    await world.until(has_route(world, "ext", "10.244.9.9", "10.111.0.11"))
    assert "10.244.2.0/26" not in world.ip("ext", "route", "show")

    birdc = ("birdc", "-s", str(world.folder / "n1" / SOCKET))
    disable = [*birdc, "disable", "Node_10_111_0_100"]
    await asyncio.to_thread(subprocess.run, disable, check=True, capture_output=True)
    await world.until(lambda: "10.244.1.0/26" not in world.ip("ext", "route", "show"))


async def test_an_agent_that_was_killed_is_taken_over(world: Lab) -> None:
    """Routes stay in the kernel when it dies; its BIRD ends, and a new one learns them again."""
    world.node(2)
    world.node(1)
    learnt = has_route(world, "n1", "10.244.2.0/26", "10.111.0.12", "bird")
    await world.until(learnt)
    first = (world.folder / "n1" / "bird.pid").read_text()

    world.processes[-1].kill()
    await asyncio.to_thread(world.processes[-1].wait)
    assert learnt()
    world.node(1)

    pid = world.folder / "n1" / "bird.pid"
    await world.until(lambda: pid.exists() and pid.read_text() not in {"", first})
    birdc = ("birdc", "-s", str(world.folder / "n1" / SOCKET), "show", "protocols")

    def is_speaking() -> bool:
        done = subprocess.run(birdc, check=False, capture_output=True, text=True)
        return any(
            line.startswith("Mesh_10_111_0_12") and "Established" in line
            for line in done.stdout.splitlines()
        )

    await world.until(is_speaking)
    await world.until(learnt)
