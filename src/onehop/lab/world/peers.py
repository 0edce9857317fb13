"""Making the nodes' BIRDs accept the load balancers, by the command that a user runs for it."""

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from onehop.base.errors import RejectedError
from onehop.lab.world.objects import as_yaml
from onehop.lab.world.program import CONFIG, ONEHOP
from onehop.lab.world.spec import Underlay

if TYPE_CHECKING:
    from onehop.lab.world.world import World


class _Told(msgspec.Struct, frozen=True):
    """What `onehop bgp peers` says of one object."""

    manifest: dict[str, Any]


async def introduce(world: "World") -> None:
    """Run `onehop bgp peers --apply` on every load balancer, where nodes speak BGP.

    What it created is written down as well, for an API that is started anew.

    Raises:
        RejectedError: the command failed; the message has its own words.
    """
    plan = world.plan
    if plan.spec.network is not Underlay.CALICO:
        return
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_apply(world, host.name)) for host in plan.lbs]
    objects = [told.manifest for task in asked for told in task.result()]
    (world.state.manifests / "peers.yaml").write_text(as_yaml(objects))


async def _apply(world: "World", host: str) -> list[_Told]:
    config = str(world.state.home(host) / CONFIG)
    words = ("bgp", "peers", "--apply", "--output", "json", "--config", config)
    done = await world.exec(host, *ONEHOP, *words)
    if done.code != 0:
        raise RejectedError(f"onehop bgp peers --apply on {host}: {(done.err or done.out).strip()}")
    return msgspec.json.decode(done.out, type=list[_Told])
