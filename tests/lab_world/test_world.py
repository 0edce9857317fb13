"""A lab with everything in it: real BIRD, nftables, Envoy and onehop, in network namespaces."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from onehop.base.errors import ConfigError
from onehop.lab.pod import Answer
from onehop.lab.world import Spec, Underlay, World, down, fault, growth, life
from onehop.lab.world.bird import announcers
from onehop.lab.world.overview import look
from onehop.lab.world.ready import ready_pods
from onehop.lab.world.state import Fault
from tests.e2e.waiting import until
from tests.lab_world.conftest import remains

pytestmark = [pytest.mark.root, pytest.mark.envoy, pytest.mark.slow]

_UP_S = 60.0
_MOVE_S = 90.0


async def ask(world: World, url: str) -> Answer | None:
    """Return what a Pod says to the client, or None if it has no good answer."""
    done = await world.exec("client", "curl", "-sf", "--max-time", "2", url)
    return msgspec.json.decode(done.out, type=Answer) if done.code == 0 else None


async def table(world: World, lb: str = "lb1") -> str:
    """Return the ways to Pods that a load balancer's kernel has."""
    return (await world.exec(lb, "ip", "route", "show", "table", "111")).out


async def test_a_client_reaches_pods_on_every_way_and_nothing_is_left(name: str) -> None:
    """By NodePort, by the Ingress, directly; then all of it goes without a trace."""
    world = await World.up(Spec(name=name, nodes=2, pods=4))
    with pytest.raises(ConfigError, match="is up already"):
        await World.up(Spec(name=name))
    lb = world.plan.lbs[0].addresses[0]
    node1 = world.plan.nodes[0].host.addresses[0]

    by_node_port = await ask(world, f"http://{node1}:30080/")
    assert by_node_port is not None
    assert by_node_port.node in {"node1", "node2"}

    async def is_direct() -> bool:
        found = [await ask(world, f"http://{world.plan.shared[0]}/") for _ in range(8)]
        return all(each is not None and each.saw == lb for each in found)

    await until(is_direct, "all requests go directly", timeout_s=_MOVE_S)
    assert (await look(world)).is_well

    assert await down(name)
    assert remains(name) == []
    assert not await down(name)


async def test_a_session_that_is_cut_takes_its_route_along_and_comes_back(name: str) -> None:
    """`break bgp`, `mend bgp`: meanwhile no request fails."""
    world = await World.up(Spec(name=name, nodes=2, pods=2))
    block = world.plan.nodes[0].blocks[0]

    async def has_route() -> bool:
        return block in await table(world)

    async def has_none() -> bool:
        return block not in await table(world)

    await until(has_route, "the route is there", timeout_s=_MOVE_S)
    await fault.break_(world, "bgp", "node1")
    await until(has_none, "the route is withdrawn", timeout_s=_MOVE_S)
    assert None not in [await ask(world, "http://203.0.113.10/") for _ in range(20)]
    assert not (await look(world)).is_well
    assert await fault.mend_all(world) == (Fault("bgp", "node1"),)
    await until(has_route, "the route is back", timeout_s=_MOVE_S)


async def test_faults_have_names_and_places(name: str) -> None:
    """A wrong one is refused with those that there are; each kind is made and mended."""
    world = await World.up(Spec(name=name, nodes=2, pods=2))

    with pytest.raises(ConfigError, match="no such fault"):
        await fault.break_(world, "nonsense")
    with pytest.raises(ConfigError, match="node1, node2"):
        await fault.break_(world, "bgp")
    for trouble in fault.TROUBLES:
        where = fault.places(world, trouble.place)[0]
        await fault.break_(world, trouble.what, where)
        if trouble.mend is not None:
            assert Fault(trouble.what, where) in world.record.faults
            await fault.mend(world, trouble.what, where)
    assert world.record.faults == ()

    async def is_well() -> bool:
        return (await look(world)).is_well

    await until(is_well, "all is well again", timeout_s=_MOVE_S)


async def test_two_load_balancers_share_clients_and_one_is_enough(name: str) -> None:
    """The router leaves one that is killed at once, and takes it back when it returns."""
    world = await World.up(Spec(name=name, nodes=1, pods=1, lbs=2))
    vip = world.plan.shared[0]
    assert await announcers(world, vip) == {"lb1", "lb2"}

    await life.kill(world, "lb1")

    async def only_the_other() -> bool:
        return set(await announcers(world, vip)) == {"lb2"}

    await until(only_the_other, "the router knows", timeout_s=_MOVE_S)
    assert await ask(world, f"http://{vip}/") is not None
    await life.start(world, "lb1")

    async def both() -> bool:
        return set(await announcers(world, vip)) == {"lb1", "lb2"}

    await until(both, "it has announced itself again", timeout_s=_MOVE_S)


async def test_a_lab_grows_shrinks_and_drains_without_bgp_too(name: str) -> None:
    """Nodes and Pods come and go; routes follow from the nodes' podCIDRs; IPv6 as well."""
    world = await World.up(Spec(name=name, nodes=2, pods=2, network=Underlay.STATIC, ipv6=True))
    node = await growth.add_node(world)
    pod = await growth.add_pod(world, node)

    async def is_ready() -> bool:
        return pod.name in await ready_pods(world)

    await until(is_ready, "the new Pod is ready", timeout_s=_MOVE_S)
    answer = await ask(world, "http://[2001:db8:113::a]/")
    assert answer is not None
    assert answer.forwarded_for == world.plan.client.addresses[1]

    await growth.drain(world, node)
    assert not await ready_pods(world) & {pod.name}
    await growth.remove_node(world, node)
    await growth.scale(world, 1)
    assert [each.name for each in world.plan.pods] == ["echo-1"]
    assert await ask(world, "http://203.0.113.10/") is not None


@pytest.mark.parametrize("after", ["lab.json", "kubeconfig", "lb1/onehop.yaml"])
async def test_what_a_killed_up_has_left_is_taken_away(name: str, after: str) -> None:
    """`down` needs no complete lab: it finds namespaces and processes by themselves."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("onehop"), "lab", "up", "--name", name, "--nodes", "1"
    )
    try:
        file = Path("/run/onehop-lab") / name / after
        await until(file.exists, f"{after} is there", timeout_s=_UP_S)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        await process.wait()
    assert remains(name)

    await down(name)

    assert remains(name) == []
