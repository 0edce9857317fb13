"""A lab that grows and shrinks: Pods and nodes that come, go, and are drained."""

from typing import TYPE_CHECKING, Any, Final

from onehop.base.errors import ConfigError
from onehop.lab.node import process_mark
from onehop.lab.world import plan as plans
from onehop.lab.world.build import make_namespaces, remove_namespaces, wire
from onehop.lab.world.cluster import Cluster
from onehop.lab.world.link import host_wirings, pod_wirings
from onehop.lab.world.objects import BLOCKS, NAMESPACE, node_objects, pod_object
from onehop.lab.world.plan import Pod, pod_space
from onehop.lab.world.program import node_program, pod_program
from onehop.lab.world.waiting import nothing_missing

if TYPE_CHECKING:
    from onehop.lab.world.world import World

_PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
_NODES: Final = "/api/v1/nodes"
_TAINT: Final = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
"""What the cluster autoscaler puts on a node before it removes it; load balancers leave it then."""
_END_S: Final = 20.0
_LOOK_S: Final = 0.05


async def scale(world: "World", pods: int) -> None:
    """Have so many Pods: new ones on the nodes with the fewest, the newest go first.

    Raises:
        ConfigError: no node takes Pods, or there is no address for so many.
    """
    async with world.cluster() as cluster:
        there = {pod["metadata"]["name"] for pod in await cluster.items(_PODS)}
    # What kubectl has deleted is a network without an inhabitant.
    await _remove_pods(world, [pod.name for pod in world.plan.pods if pod.name not in there])
    while len(world.plan.pods) > pods:
        await remove_pod(world, world.plan.pods[-1].name)
    while len(world.plan.pods) < pods:
        await add_pod(world)


async def add_pod(world: "World", node: str | None = None) -> Pod:
    """Start one Pod more, on a certain node or where there are the fewest.

    Raises:
        ConfigError: there is no such node, or no address left.
    """
    try:
        plan = plans.with_pod(world.plan, node or await _emptiest(world))
    except (ValueError, KeyError) as err:
        raise ConfigError(f"no place for a Pod: {err}") from err
    pod = plan.pods[-1]
    await make_namespaces(plan, [pod_space(pod.name)])
    world.change(plan=plan)
    for wiring in pod_wirings(plan, pod):
        await wire(plan, [wiring])
    process = await world.start(pod_program(pod))
    async with world.cluster() as cluster:
        await cluster.create(_PODS, pod_object(pod, process=process_mark(process.pid)))
    return pod


async def remove_pod(world: "World", name: str) -> None:
    """Delete a Pod as kubectl does, and wait until it is gone.

    Raises:
        ConfigError: there is none of that name.
        TransientError: its node does not let it end.
    """
    await _remove_pods(world, [name])


async def add_node(world: "World") -> str:
    """Join one node more to the cluster, without Pods; return its name."""
    old = {node.name for node in world.plan.nodes}
    plan = plans.with_node(world.plan)
    node = next(node for node in plan.nodes if node.name not in old)
    await make_namespaces(plan, [node.name])
    world.change(plan=plan)
    for wiring in host_wirings(plan, node):
        await wire(plan, [wiring])
    async with world.cluster() as cluster:
        for obj in node_objects(plan, node):
            path = _NODES if obj["kind"] == "Node" else BLOCKS
            await cluster.create(path, obj)
    await world.start(node_program(plan, node, world.state))
    return node.name


async def remove_node(world: "World", name: str) -> None:
    """Drain a node, delete it from the cluster, and switch the machine off.

    Raises:
        ConfigError: there is none of that name, or no other one.
    """
    _check_node(world, name)
    if len(world.plan.nodes) == 1:
        raise ConfigError(f"{name} is the only node")
    await drain(world, name)
    plan = world.plan
    node = plan.node(name)
    async with world.cluster() as cluster:
        await cluster.delete(f"{_NODES}/{name}")
        for obj in node_objects(plan, node):
            if obj["kind"] != "Node":
                await cluster.delete(f"{BLOCKS}/{obj['metadata']['name']}")
    await remove_namespaces([plan.namespace(name)])
    world.state.forget(name)
    world.change(plan=plans.without_node(plan, name))


async def drain(world: "World", name: str) -> None:
    """Take a node's Pods away, as before maintenance.

    It is cordoned, its Pods are deleted and end in their own time, and it is marked as about to be
    removed, so that load balancers use its NodePorts no more.

    Raises:
        ConfigError: there is no node of that name.
        TransientError: the node does not let its Pods end.
    """
    _check_node(world, name)
    async with world.cluster() as cluster:
        await cluster.patch(f"{_NODES}/{name}", {"spec": {"unschedulable": True}})
    await _remove_pods(world, [pod.name for pod in world.plan.pods if pod.node == name])
    async with world.cluster() as cluster:
        await cluster.patch(f"{_NODES}/{name}", {"spec": {"taints": [_TAINT]}})


async def undrain(world: "World", name: str) -> None:
    """Let a node take part again; its Pods do not come back by themselves.

    Raises:
        ConfigError: there is no node of that name.
    """
    _check_node(world, name)
    change: dict[str, Any] = {"unschedulable": None, "taints": None}
    async with world.cluster() as cluster:
        await cluster.patch(f"{_NODES}/{name}", {"spec": change})


async def _emptiest(world: "World") -> str:
    async with world.cluster() as cluster:
        nodes = await cluster.items(_NODES)
    closed = {n["metadata"]["name"] for n in nodes if n["spec"].get("unschedulable")}
    plan = world.plan
    open_nodes = [node.name for node in plan.nodes if node.name not in closed]
    if not open_nodes:
        raise ConfigError("no node takes Pods: all of them are drained")
    return min(open_nodes, key=lambda name: sum(pod.node == name for pod in plan.pods))


async def _remove_pods(world: "World", names: list[str]) -> None:
    known = {pod.name for pod in world.plan.pods}
    for name in names:
        if name not in known:
            raise ConfigError(f"{name}: no such Pod; there are {', '.join(sorted(known))}")
    async with world.cluster() as cluster:
        for name in names:
            await cluster.delete(f"{_PODS}/{name}")
        await nothing_missing(lambda: _left(cluster, names), timeout_s=_END_S, pause_s=_LOOK_S)
    await remove_namespaces(world.plan.namespace(pod_space(name)) for name in names)
    plan = world.plan
    for name in names:
        world.state.forget(pod_space(name))
        plan = plans.without_pod(plan, name)
    world.change(plan=plan)


async def _left(cluster: Cluster, names: list[str]) -> str:
    there = {pod["metadata"]["name"] for pod in await cluster.items(_PODS)}
    left = sorted(there.intersection(names))
    return f"Pods have not ended: {', '.join(left)}" if left else ""


def _check_node(world: "World", name: str) -> None:
    known = [node.name for node in world.plan.nodes]
    if name not in known:
        raise ConfigError(f"{name}: no such node; there are {', '.join(known)}")
