"""The work of `onehop lab ...`: each function finds the lab by its name, and does one thing."""

import asyncio
import os
import sys
from typing import Final

import msgspec
from rich import box
from rich.console import Console
from rich.table import Column, Table

from onehop.base.errors import ConfigError
from onehop.lab.world import Spec, World, fault, growth, life
from onehop.lab.world import down as take_down
from onehop.lab.world.overview import Overview, look

_SHELL: Final = "/bin/bash"
_ROUND_S: Final = 1.0


async def up(spec: Spec) -> bool:
    """Bring a lab up, and say how to use it."""
    console = _console()
    world = await World.up(spec, say=lambda text: console.print(f"[dim]{text}[/dim]"))
    name = "" if spec.name == Spec().name else f" --name {spec.name}"
    console.print(
        f"\nThe lab [bold]{spec.name}[/bold] is up. It is a cluster to try things with:\n"
        f"  export KUBECONFIG={world.state.kubeconfig}\n"
        f"  kubectl get pods,services,ingresses -o wide\n"
        f"  onehop lab curl{name} http://{world.plan.shared[0]}/   asks the Ingress, as a client\n"
        f"  onehop lab status{name}\n"
        f"  onehop lab faults{name}             what can be broken\n"
        f"  onehop lab down{name}\n"
    )
    return True


async def down(name: str) -> bool:
    """Take a lab down."""
    there = await take_down(name)
    _console().print(f"the lab {name!r} is gone" if there else f"there is no lab {name!r}")
    return True


async def status(name: str, *, as_json: bool) -> bool:
    """Print who there is and how they are; return whether all is well."""
    overview = await look(World.open(name))
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(overview)).decode() + "\n")
    else:
        _print(overview)
    return overview.is_well


async def faults() -> bool:
    """Print what can be broken."""
    table = Table("fault", "where", Column("what happens", overflow="fold"), box=box.SIMPLE_HEAD)
    for trouble in fault.TROUBLES:
        table.add_row(trouble.what, trouble.place or "-", trouble.says)
    _console().print(table)
    return True


async def break_(name: str, what: str, where: str) -> bool:
    """Make a fault."""
    world = World.open(name)
    with world.state.locked():
        await fault.break_(world, what, where)
    _console().print(f"broken: {f'{what} {where}'.strip()}: {fault.trouble_of(what).says}")
    return True


async def mend(name: str, what: str, where: str) -> bool:
    """Mend a fault, or all of them."""
    world = World.open(name)
    with world.state.locked():
        if what != "all":
            await fault.mend(world, what, where)
            _console().print(f"mended: {what} {where}".strip())
            return True
        for each in await fault.mend_all(world):
            _console().print(f"mended: {each.what} {each.where}".strip())
    return True


async def flap(name: str, what: str, where: str, times: int) -> bool:
    """Break and mend, several times over."""
    world = World.open(name)
    with world.state.locked():
        for _ in range(times):
            await fault.break_(world, what, where)
            await asyncio.sleep(_ROUND_S)
            await fault.mend(world, what, where)
            await asyncio.sleep(_ROUND_S)
    _console().print(f"flapped {times} times: {what} {where}".strip())
    return True


async def kill(name: str, who: str, part: str) -> bool:
    """Kill a program without a word."""
    world = World.open(name)
    with world.state.locked():
        killed = await life.kill(world, who, part)
    for process in killed:
        _console().print(f"killed: {who} (process {process.pid}, {process.who})")
    return True


async def start(name: str, who: str) -> bool:
    """Start a program that has ended."""
    world = World.open(name)
    with world.state.locked():
        await life.start(world, who)
    _console().print(f"started: {who}")
    return True


async def restart(name: str, who: str) -> bool:
    """End a program in good order, and start it again."""
    world = World.open(name)
    with world.state.locked():
        await life.restart(world, who)
    _console().print(f"restarted: {who}")
    return True


async def drain(name: str, who: str) -> bool:
    """Empty a node of its Pods, or let a load balancer go in good order."""
    world = World.open(name)
    with world.state.locked():
        if who in {host.name for host in world.plan.lbs}:
            await life.stop(world, who)
            _console().print(f"{who} has withdrawn its addresses and ended")
        else:
            await growth.drain(world, who)
            _console().print(f"{who} has no Pods any more, and takes no traffic")
    return True


async def undrain(name: str, who: str) -> bool:
    """Let a node or a load balancer take part again."""
    world = World.open(name)
    with world.state.locked():
        if who in {host.name for host in world.plan.lbs}:
            await life.start(world, who)
        else:
            await growth.undrain(world, who)
    _console().print(f"{who} takes part again")
    return True


async def add(name: str, what: str, node: str | None) -> bool:
    """Add a node or a Pod."""
    world = World.open(name)
    with world.state.locked():
        if what == "node":
            _console().print(f"{await growth.add_node(world)} has joined the cluster")
        else:
            pod = await growth.add_pod(world, node)
            _console().print(f"{pod.name} runs on {pod.node} at {', '.join(pod.addresses)}")
    return True


async def remove(name: str, who: str) -> bool:
    """Remove a node or a Pod."""
    world = World.open(name)
    with world.state.locked():
        if who in {pod.name for pod in world.plan.pods}:
            await growth.remove_pod(world, who)
        else:
            await growth.remove_node(world, who)
    _console().print(f"{who} is gone")
    return True


async def scale(name: str, pods: int) -> bool:
    """Have so many Pods."""
    world = World.open(name)
    with world.state.locked():
        await growth.scale(world, pods)
    _console().print(f"{len(world.plan.pods)} Pods")
    return True


def enter(name: str, who: str, *argv: str) -> None:
    """Become a command, or a shell, in the network of a host or a Pod.

    Raises:
        ConfigError: there is nobody of that name.
    """
    world = World.open(name)
    command = world.inside(who, *(argv or (os.environ.get("SHELL", _SHELL),)))
    environment = {**os.environ, "KUBECONFIG": str(world.state.inner_kubeconfig)}
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606  the user's own command, no shell
    except OSError as err:
        raise ConfigError(f"{command[0]}: {err}") from err


def _print(overview: Overview) -> None:
    console = _console()
    table = Table("", "who", Column("addresses", overflow="fold"), "state", box=box.SIMPLE_HEAD)
    for line in overview.lines:
        sign = "[green]✓[/green]" if line.is_well else "[red]✗[/red]"
        table.add_row(sign, line.who, "\n".join(line.addresses), line.says)
    console.print(table)
    for each in overview.faults:
        console.print(f"[red]broken:[/red] {each.what} {each.where}".rstrip())
    console.print(f"KUBECONFIG={overview.kubeconfig}", soft_wrap=True)
    console.print(f"Ingresses: http://{overview.shared[0]}/", soft_wrap=True)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)
