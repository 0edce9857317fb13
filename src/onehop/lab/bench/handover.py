"""Handing the traffic of the lab's load balancer from one data plane to another, between rounds."""

from typing import Final

import yaml

from onehop.driver.nftables.ruleset import TABLE
from onehop.lab.bench.plane import Plane
from onehop.lab.world import World
from onehop.lab.world.life import stop
from onehop.lab.world.plan import Plan
from onehop.lab.world.process import children_of
from onehop.lab.world.program import CONFIG, balancer_program

_TABLES: Final = ("nft", "list", "tables")


async def hand_over(world: World, plane: Plane) -> None:
    """Start onehop again with another data plane; it need not serve yet."""
    host = world.plan.lbs[0]
    await stop(world, host.name)
    program = balancer_program(world.plan, host, world.state)  # writes the usual configuration
    file = world.state.home(host.name) / CONFIG
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    config["dataPlane"] = dict(plane.config)
    file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    await world.start(program)


def carriers(world: World, plane: Plane) -> tuple[int, ...]:
    """Return the processes that carry traffic at the load balancer."""
    process = world.state.process(_host(world.plan))
    children = children_of(process) if process is not None else ()
    return tuple(child.pid for child in children if plane.program and child.who == plane.program)


async def not_carried(world: World, plane: Plane) -> str:
    """Say why it is not this data plane alone that carries the traffic; "" if it is."""
    if len(found := carriers(world, plane)) != plane.processes:
        return f"{plane.title}: {len(found)} processes, not {plane.processes}"
    tables = (await world.exec(_host(world.plan), *_TABLES)).out
    if (f" {TABLE}\n" in tables) != plane.is_kernel:
        return f"the kernel carries {'nothing' if plane.is_kernel else 'something'}"
    return ""


def _host(plan: Plan) -> str:
    return plan.lbs[0].name
