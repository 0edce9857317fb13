"""Every way of reaching Pods that onehop offers, in a lab of its kind: it works, follows, is left.

One lab for each kind, because most of the time goes into making it; what is asked of one is asked
of all.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import pytest
import yaml

from onehop.base.errors import ConfigError
from onehop.lab.pod import Answer
from onehop.lab.world import Spec, Underlay, World, fault, growth, life
from onehop.lab.world.overlay import overlay_end
from onehop.lab.world.program import CONFIG, Program
from onehop.lab.world.ready import balancer_state
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy, pytest.mark.slow]

_MOVE_S: Final = 90.0
_URLS: Final = ("http://203.0.113.10/", "http://[2001:db8:113::a]/", "http://203.0.113.11/")
_NODES: Final = "/api/v1/nodes"
_WRITES: Final = ("static_routes_put", "overlay_changed", "tunnel_device_made", "routing_rule_put")

Act = Callable[[World], Awaitable[None]]


class Kind(msgspec.Struct, frozen=True):
    """A way of reaching Pods.

    Attributes:
        spoil: takes the direct way to the Pods of node2 away from lb1, and no other.
        restore: gives it back.
    """

    network: Underlay
    lbs: int
    spoil: Act
    restore: Act


async def end_bgp(world: World) -> None:
    await fault.break_(world, "bgp", "node2")


async def begin_bgp(world: World) -> None:
    await fault.mend(world, "bgp", "node2")


async def block_routes(world: World) -> None:
    """Do what an administrator may: a route of somebody else's that goes before ours."""
    for prefix in world.plan.node("node2").pod_cidrs:
        words = ("blackhole", prefix, "table", "111", "metric", "5")
        await _do(world, "lb1", "ip", "route", "add", *words)


async def unblock_routes(world: World) -> None:
    for prefix in world.plan.node("node2").pod_cidrs:
        words = ("blackhole", prefix, "table", "111", "metric", "5")
        await _do(world, "lb1", "ip", "route", "del", *words)


async def delete_own_node(world: World) -> None:
    """Nobody knows the way back to lb1 any more."""
    async with world.cluster() as cluster:
        await cluster.delete(f"{_NODES}/onehop-lb1")


async def create_own_node(world: World) -> None:
    async with world.cluster() as cluster:
        await cluster.create(_NODES, overlay_end(world.plan, world.plan.lbs[0]))


KINDS: Final = (
    Kind(Underlay.CALICO, 1, end_bgp, begin_bgp),
    Kind(Underlay.STATIC, 1, block_routes, unblock_routes),
    Kind(Underlay.VXLAN, 2, delete_own_node, create_own_node),
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.network))
async def test_pods_are_reached_directly_whatever_happens(name: str, kind: Kind) -> None:
    """Two families; the ladder acts; nodes come and go; a restart writes nothing; leaving does."""
    spec = Spec(name=name, nodes=2, pods=2, lbs=kind.lbs, network=kind.network, ipv6=True)
    world = await World.up(spec)

    await until_direct(world)
    assert await sources(world) <= allowed_sources(world)
    if kind.network is not Underlay.CALICO:
        with pytest.raises(ConfigError, match="speak no BGP"):
            await fault.break_(world, "route", "node1")

    await kind.spoil(world)
    await until(
        functools.partial(rungs_are, world, "lb1", {"node"}), "by NodePort", timeout_s=_MOVE_S
    )
    await sources(world)
    await kind.restore(world)
    await until_direct(world)

    added = await growth.add_node(world)
    await growth.add_pod(world, added)
    await growth.remove_node(world, "node1")
    for host in world.plan.lbs:
        look = functools.partial(follows_nodes, world, host.name)
        await until(look, f"routes of {host.name} follow", timeout_s=_MOVE_S)
    await until_direct(world)
    await until_content(world)
    assert await sources(world) <= allowed_sources(world)

    await restarts_without_a_write(world)
    await leaves_nothing(world)


async def until_direct(world: World) -> None:
    """Wait until every load balancer reaches every Pod directly."""
    for host in world.plan.lbs:
        look = functools.partial(rungs_are, world, host.name, {"pod"})
        await until(look, f"{host.name} reaches Pods directly", timeout_s=_MOVE_S)


async def until_content(world: World) -> None:
    """Wait until no load balancer finds anything wrong; they look every few seconds."""
    for host in world.plan.lbs:
        look = functools.partial(finds_nothing, world, host.name)
        await until(look, f"{host.name} finds nothing wrong")


async def rungs_are(world: World, lb: str, wanted: set[str]) -> bool:
    """Tell whether some endpoints are on these rungs, besides `pod`, and none on others."""
    snapshot = await balancer_state(world.state.home(lb))
    seen = set(snapshot.network.endpoints) if snapshot is not None else set[str]()
    if not seen:
        return False
    return seen - {"pod", "local"} == wanted - {"pod"} and ("local" in seen) <= ("node" in wanted)


async def finds_nothing(world: World, lb: str) -> bool:
    snapshot = await balancer_state(world.state.home(lb))
    return snapshot is not None and not snapshot.network.findings and not snapshot.problems


async def sources(world: World) -> set[str]:
    """Ask every address as a client does, and return whom the Pods saw; no request fails."""
    seen = set[str]()
    for url in _URLS * 4:
        done = await world.exec("client", "curl", "-sf", "--max-time", "3", url)
        assert done.code == 0, (url, done)
        seen.add(msgspec.json.decode(done.out, type=Answer).saw)
    return seen


def allowed_sources(world: World) -> set[str]:
    """Return the addresses that Pods see when nothing stands between them and a balancer."""
    plan = world.plan
    if plan.spec.network is not Underlay.VXLAN:
        return {address for host in plan.lbs for address in host.addresses}
    ranges = (cidr for host in plan.lbs for cidr in plan.end_ranges(host.name))
    return {cidr.partition("/")[0] for cidr in ranges}


async def follows_nodes(world: World, lb: str) -> bool:
    """Tell whether the routes of a load balancer are those to the nodes, and no others."""
    plan = world.plan
    is_calico = plan.spec.network is Underlay.CALICO
    wanted = {
        each for node in plan.nodes for each in (node.blocks if is_calico else node.pod_cidrs)
    }
    if plan.spec.network is Underlay.VXLAN:
        others = (host.name for host in plan.lbs if host.name != lb)
        wanted |= {each for other in others for each in plan.end_ranges(other)}
    return {route.split()[0] for route in await kernel(world, lb, "route")} == wanted


async def kernel(world: World, lb: str, what: str) -> list[str]:
    """Return what a load balancer's kernel has of ours: `route`, `rule`, `device`, `entry`."""
    commands = {
        "route": ("route show table 111", "-6 route show table 111"),
        "rule": ("rule show", "-6 rule show"),
        "device": ("-oneline link show type vxlan",),
        "entry": ("neigh show nud permanent", "-6 neigh show nud permanent"),
    }
    said = [await _do(world, lb, "ip", *words.split()) for words in commands[what]]
    lines = sorted(line.strip() for text in said for line in text.splitlines())
    return [line for line in lines if what != "rule" or "proto 111" in line]


async def everything(world: World, lb: str) -> dict[str, list[str]]:
    return {what: await kernel(world, lb, what) for what in ("route", "rule", "device", "entry")}


async def restarts_without_a_write(world: World) -> None:
    """A new onehop finds what the old one has left, and leaves it as it is."""
    before = await everything(world, "lb1")
    log = world.state.log("lb1")
    said = len(log.read_bytes())

    await life.restart(world, "lb1")

    await until_direct(world)
    assert await everything(world, "lb1") == before
    assert not [word for word in _WRITES if word in log.read_bytes()[said:].decode()]


async def leaves_nothing(world: World) -> None:
    """A configuration that asks for nothing takes away all that another one has kept."""
    process = world.state.process("lb1")
    assert process is not None
    await life.stop(world, "lb1")
    file = world.state.home("lb1") / CONFIG
    config: dict[str, Any] = yaml.safe_load(file.read_text())
    kept = {key: value for key, value in config.items() if key not in {"reach", "bgp"}}
    file.write_text(yaml.safe_dump(kept))

    await world.start(Program(who="lb1", where="lb1", argv=process.argv))

    async def is_swept() -> bool:
        return not any((await everything(world, "lb1")).values())

    await until(is_swept, "all of ours is gone", timeout_s=_MOVE_S)


async def _do(world: World, who: str, *argv: str) -> str:
    done = await world.exec(who, *argv)
    assert done.code == 0, (argv, done)
    return done.out
