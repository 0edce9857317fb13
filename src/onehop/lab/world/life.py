"""Programs of a lab that are killed, ended and started again."""

import signal
from typing import TYPE_CHECKING, Final

from onehop.base.errors import ConfigError, TransientError
from onehop.lab.node import process_mark
from onehop.lab.world.objects import NAMESPACE
from onehop.lab.world.plan import pod_space
from onehop.lab.world.process import Process, children_of, end, gone, send
from onehop.lab.world.program import (
    Program,
    api_program,
    door_program,
    later_programs,
    pod_program,
)

if TYPE_CHECKING:
    from onehop.lab.world.world import World

PARTS: Final = ("bird", "envoy")
"""Programs that others start: a node's or a load balancer's BIRD, a load balancer's Envoy."""
_PROCESS: Final = "lab.onehop.dev/process"


async def kill(world: "World", who: str, part: str = "") -> tuple[Process, ...]:
    """Kill a program without a word (signal 9), and return what that was.

    Args:
        world: the lab.
        who: `lb1`, `node2`, `api`, `controller`, `router`, or a Pod's name.
        part: `bird` or `envoy`: that child of it, not itself.

    Raises:
        ConfigError: there is no such program.
        TransientError: it does not run.
    """
    program = program_of(world, who)
    process = world.state.process(program.who)
    if process is None or not process.is_alive():
        raise TransientError(f"{who} does not run; start it with: onehop lab start {who}")
    victims: tuple[Process, ...] = (process,)
    if part:
        victims = tuple(child for child in children_of(process) if child.who == part)
        if not victims:
            raise TransientError(f"{who} has no {part} that runs")
    for victim in victims:
        send(victim, signal.SIGKILL)
    await gone(victims)
    return victims


async def start(world: "World", who: str) -> None:
    """Start a program that has ended.

    Raises:
        ConfigError: there is no such program, or it runs.
    """
    program = program_of(world, who)
    process = world.state.process(program.who)
    if process is not None and process.is_alive():
        raise ConfigError(f"{who} runs already")
    if program.who == "api":
        world.write_manifests()  # it begins with them; what kubectl had changed is lost
    started = await world.start(program)
    if program.who.startswith("pod-"):
        await _mark(world, program.who.removeprefix("pod-"), started)


async def stop(world: "World", who: str) -> None:
    """End a program in good order; a load balancer withdraws its VIPs first.

    Raises:
        ConfigError: there is no such program.
    """
    process = world.state.process(program_of(world, who).who)
    if process is not None:
        await end(process)


async def restart(world: "World", who: str) -> None:
    """End a program in good order, and start it again."""
    await stop(world, who)
    await start(world, who)


def program_of(world: "World", who: str) -> Program:
    """Return the program of a name; a Pod may be called by its own.

    Raises:
        ConfigError: there is none.
    """
    plan = world.plan
    programs = {program.who: program for program in later_programs(plan, world.state)}
    programs |= {pod_space(pod.name): pod_program(pod) for pod in plan.pods}
    for program in (api_program(plan, world.state), door_program(plan)):
        programs[program.who] = program
    found = programs.get(who) or programs.get(pod_space(who))
    if found is None:
        raise ConfigError(f"{who}: no such program; there are {', '.join(sorted(programs))}")
    return found


async def _mark(world: "World", pod: str, process: Process) -> None:
    """Tell the node by which process the Pod lives now."""
    marks = {"annotations": {_PROCESS: process_mark(process.pid)}}
    async with world.cluster() as cluster:
        await cluster.patch(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}", {"metadata": marks})
