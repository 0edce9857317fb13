"""Whether a lab does what it shall: asked when it comes up, and by `onehop lab status`."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec

from onehop.base.errors import TransientError
from onehop.control.overview import Snapshot
from onehop.lab.world.bird import announcers
from onehop.lab.world.objects import NAMESPACE
from onehop.lab.world.process import last_words
from onehop.lab.world.waiting import nothing_missing

if TYPE_CHECKING:
    from onehop.lab.world.world import World

_NODE_PORT: Final = 30080
"""Of the sample's Service `web`."""
_READY_S: Final = 60.0
_LOOK_S: Final = 0.05
_ASK: Final = aiohttp.ClientTimeout(total=3)
_SERVICES: Final = f"/api/v1/namespaces/{NAMESPACE}/services"
_SLICES: Final = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"


async def wait_ready(world: "World", *, timeout_s: float = _READY_S) -> None:
    """Wait until every Pod is a ready endpoint, and every load balancer serves.

    Raises:
        TransientError: it takes too long; the message says what is missing.
    """
    await nothing_missing(lambda: _missing(world), timeout_s=timeout_s, pause_s=_LOOK_S)


async def balancer_state(home: Path) -> Snapshot | None:
    """Return what an onehop says of itself, by the directory that it was given; None if nothing."""
    connector = aiohttp.UnixConnector(str(home / "state" / "control.sock"))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=_ASK) as session,
            session.get("http://onehop/status") as response,
        ):
            return msgspec.json.decode(await response.read(), type=Snapshot)
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
        return None


async def ready_pods(world: "World", service: str = "web") -> frozenset[str]:
    """Return the names of the Pods that are ready endpoints of a Service of the sample."""
    async with world.cluster() as cluster:
        slices = await cluster.items(_SLICES)
    return frozenset(
        endpoint["targetRef"]["name"]
        for item in slices
        if item["metadata"].get("labels", {}).get("kubernetes.io/service-name") == service
        for endpoint in item.get("endpoints") or ()
        if endpoint["conditions"].get("ready") is not False and "targetRef" in endpoint
    )


async def _missing(world: "World") -> str:
    """Say what is not there yet; "" if all is."""
    ended = [each for each in world.state.processes() if not each.is_alive()]
    if ended:
        who = ended[0].who
        log = world.state.log(who)
        raise TransientError(f"{who} has ended: {last_words(log)}; all of it is in {log}")
    return (
        await _pods_missing(world)
        or await _node_ports_missing(world)
        or await _balancers_missing(world)
        or await _addresses_missing(world)
    )


async def _pods_missing(world: "World") -> str:
    waiting = {pod.name for pod in world.plan.pods} - await ready_pods(world)
    return f"not ready: {', '.join(sorted(waiting))}" if waiting else ""


async def _node_ports_missing(world: "World") -> str:
    plan = world.plan
    for node in plan.nodes if plan.pods else ():
        url = f"http://{node.host.addresses[0]}:{_NODE_PORT}/"
        if (await world.exec("client", "curl", "-sf", "-o", "/dev/null", "-m", "1", url)).code:
            return f"no answer from {url}: {last_words(world.state.log(node.name))}"
    return ""


async def _balancers_missing(world: "World") -> str:
    plan = world.plan
    for host in plan.lbs:
        snapshot = await balancer_state(world.state.home(host.name))
        if snapshot is None or not snapshot.is_ready:
            return f"{host.name} does not serve: {last_words(world.state.log(host.name))}"
        # Without Pods there is nothing behind the address, and it is rightly not announced.
        if plan.pods and host.name not in await announcers(world, plan.shared[0]):
            return f"{host.name} has not announced {plan.shared[0]} to the router"
    return ""


async def _addresses_missing(world: "World") -> str:
    async with world.cluster() as cluster:
        services = await cluster.items(_SERVICES)
    for service in services:
        is_balanced = service["spec"]["type"] == "LoadBalancer"
        if is_balanced and not service["status"]["loadBalancer"].get("ingress"):
            return f"Service {service['metadata']['name']} has no address"
    return ""
