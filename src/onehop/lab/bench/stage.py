"""The place of the comparison: a lab of its own, set up so that all ways lead to the same Pods."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Final

import msgspec

from onehop.base.errors import ConfigError
from onehop.driver.envoy.binary import find_envoy
from onehop.lab.bench.cpu import Actors, Seats, pin, softirq_threads
from onehop.lab.bench.handover import carriers, hand_over, not_carried
from onehop.lab.bench.load import Seen, ask
from onehop.lab.bench.objects import EDGE_LABELS, bench_objects
from onehop.lab.bench.plane import ENVOY, Plane
from onehop.lab.bench.proxy import Json, edge, responder
from onehop.lab.bench.way import WAYS, Load, Target, Way, target_of
from onehop.lab.world import Spec, World, down
from onehop.lab.world.build import wire
from onehop.lab.world.command import ip
from onehop.lab.world.link import Wiring
from onehop.lab.world.machine import check_machine
from onehop.lab.world.objects import NAMESPACE
from onehop.lab.world.plan import Plan, Pod, pod_space
from onehop.lab.world.process import Process
from onehop.lab.world.program import Program
from onehop.lab.world.state import State
from onehop.lab.world.waiting import nothing_missing
from onehop.lab.world.world import Say

NODES: Final = 3
_READY_S: Final = 60.0
_LOOK_S: Final = 0.2
_ASKED: Final = 12


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What is there to be measured.

    Attributes:
        pods: that answer; one on each node.
        actors: whose processor time is read.
        plane: what carries the traffic at the load balancer now.
    """

    world: World
    pods: tuple[Pod, ...]
    actors: Actors
    seats: Seats
    plane: Plane

    def target(self, way: Way, load: Load) -> Target:
        """Return where the client sends a load."""
        shared = self.world.plan.shared[0]
        return target_of(way, load, shared=shared, pod=self.pods[0].addresses[0])


@contextlib.asynccontextmanager
async def set_up(name: str, seating: Seats, *, say: Say) -> AsyncGenerator[Stage]:
    """Bring the lab up, and take it down again whatever happens.

    Raises:
        ConfigError: the machine lacks something, or there is a lab of that name.
        TransientError: something does not come up; the message says what.
    """
    check_machine()
    if State(name).exists():
        raise ConfigError(f"there is a lab {name!r}; onehop lab down --name {name} ends it")
    try:
        world = await World.up(Spec(name=name, nodes=NODES, pods=NODES + 1), say=say)
        say("the comparison's proxies, Services and Ingresses")
        *pods, last = world.plan.pods
        servers = [await _start(world, pod, responder(pod.name, pod.addresses[0])) for pod in pods]
        second_tier = await _start(
            world, last, edge(last.addresses[0], [pod.addresses[0] for pod in pods])
        )
        await _apply(world, last)
        await _route_to_pods(world.plan)
        await _reuse_ports(world.plan)
        stage = Stage(
            world=world,
            pods=tuple(pods),
            actors=Actors(
                balancer=(),
                edge=second_tier.pid,
                pods=tuple(server.pid for server in servers),
                kernel=softirq_threads({seating.client, seating.proxies, seating.pods}),
            ),
            seats=seating,
            plane=ENVOY,  # a lab's own
        )
        say("waiting until every way leads to Pods")
        yield await _ready(stage)
    finally:
        await down(name)


async def carried_by(stage: Stage, plane: Plane) -> Stage:
    """Let another data plane carry the traffic, and return once all ways lead to Pods by it.

    Raises:
        TransientError: one does not; the message says which.
    """
    if stage.plane == plane:
        return stage
    await hand_over(stage.world, plane)
    return await _ready(msgspec.structs.replace(stage, plane=plane))


def sources(plan: Plan) -> Mapping[str, frozenset[str]]:
    """Return whom a Pod may see as the source of a connection, by the name of the way."""
    balancer = frozenset(plan.lbs[0].addresses)
    nodes = frozenset(address for node in plan.nodes for address in node.host.addresses)
    return {
        "two-tiers": frozenset(plan.pods[-1].addresses),
        "node": nodes,
        "local": balancer,
        "direct": balancer,
        "none": frozenset(plan.client.addresses),
    }


async def _start(world: World, pod: Pod, config: Json) -> Process:
    who = f"bench-{pod.name}"
    file = world.state.home(who) / "envoy.json"
    file.write_bytes(msgspec.json.encode(config))
    argv = (str(find_envoy()), "--config-path", str(file), "--concurrency", "1")
    quiet = ("--log-level", "error", "--disable-hot-restart")
    return await world.start(Program(who=who, where=pod_space(pod.name), argv=(*argv, *quiet)))


async def _apply(world: World, edge_pod: Pod) -> None:
    labels = {"metadata": {"labels": EDGE_LABELS}}
    async with world.cluster() as cluster:
        await cluster.patch(f"/api/v1/namespaces/{NAMESPACE}/pods/{edge_pod.name}", labels)
        for collection, obj in bench_objects():
            await cluster.create(collection, obj)


async def _route_to_pods(plan: Plan) -> None:
    """Let the client's router know the way to Pods: the floor is a network without anything."""
    lines = [
        f"route add {block} via {node.host.addresses[0]}"
        for node in plan.nodes
        for block in node.blocks
    ]
    await ip(lines, namespace=plan.namespace("router"))


async def _reuse_ports(plan: Plan) -> None:
    """Let those who open connections take a port again a second after its connection has ended.

    Else a few rounds of new connections use up all of them, and what is measured is the search for
    a free one (the kernel's Documentation/networking/ip-sysctl.rst, tcp_tw_reuse).
    """
    openers = (plan.client.name, plan.lbs[0].name, pod_space(plan.pods[-1].name))
    await wire(plan, [Wiring(who, ("net/ipv4/tcp_tw_reuse=1",), ()) for who in openers])


async def _ready(stage: Stage) -> Stage:
    """Wait until all ways lead to Pods, and seat everybody."""
    await nothing_missing(lambda: _missing(stage), timeout_s=_READY_S, pause_s=_LOOK_S)
    balancer = carriers(stage.world, stage.plane)
    actors = msgspec.structs.replace(stage.actors, balancer=balancer)
    _seat(actors, stage.seats)
    return msgspec.structs.replace(stage, actors=actors)


async def _missing(stage: Stage) -> str:
    """Say which way does not lead to Pods yet as it shall; "" if all do."""
    allowed = sources(stage.world.plan)
    if fault := await not_carried(stage.world, stage.plane):
        return fault
    for way in WAYS:
        for load in stage.plane.loads:
            said = await ask(stage.world, stage.target(way, load), times=_ASKED)
            if fault := _fault(said, allowed[way.name]):
                return f"{way.title}, {load.title}: {fault}"
    return ""


def _fault(said: tuple[Seen, ...], allowed: frozenset[str]) -> str:
    if len(said) < _ASKED:
        return f"{_ASKED - len(said)} of {_ASKED} requests were not answered by a Pod"
    wrong = sorted({each.saw for each in said} - allowed)
    return f"Pods saw {', '.join(wrong)}" if wrong else ""


def _seat(actors: Actors, places: Seats) -> None:
    for pid in (*actors.balancer, actors.edge):
        pin(pid, places.proxies)
    for pid in actors.pods:
        pin(pid, places.pods)
