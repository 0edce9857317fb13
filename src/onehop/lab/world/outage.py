"""Faults of machines and programs: cables, firewalls, and programs that hang."""

import signal
from typing import TYPE_CHECKING

from onehop.base.errors import TransientError
from onehop.lab.world.command import ip
from onehop.lab.world.packet import drop
from onehop.lab.world.plan import API_PORT, pod_space
from onehop.lab.world.process import send

if TYPE_CHECKING:
    from onehop.lab.world.world import World


async def unplug(world: "World", host: str) -> None:
    """Pull a host's cable out."""
    await ip([f"link set {host} down"], namespace=world.plan.namespace("switch"))


async def plug_in(world: "World", host: str) -> None:
    """Put it back."""
    await ip([f"link set {host} up"], namespace=world.plan.namespace("switch"))


async def close_node_ports(world: "World", node: str) -> None:
    """Drop what comes to a node's NodePorts from outside."""
    rules = [f'iifname "eth0" {kind} dport 30000-32767 drop' for kind in ("tcp", "udp")]
    await drop(world, node, "nodeport", rules)


async def refuse_api(world: "World", _where: str) -> None:
    """Refuse connections to the API from the lab's network."""
    rule = f'iifname "eth0" tcp dport {API_PORT} reject with tcp reset'
    await drop(world, "api", "api", [rule])


async def pause_api(world: "World", _where: str) -> None:
    """Stop the API where it stands."""
    _signal(world, "api", signal.SIGSTOP)


async def continue_api(world: "World", _where: str) -> None:
    """Let it go on."""
    _signal(world, "api", signal.SIGCONT)


async def pause_pod(world: "World", pod: str) -> None:
    """Stop a Pod's program where it stands."""
    _signal(world, pod_space(pod), signal.SIGSTOP)


async def continue_pod(world: "World", pod: str) -> None:
    """Let it go on."""
    _signal(world, pod_space(pod), signal.SIGCONT)


def _signal(world: "World", who: str, number: signal.Signals) -> None:
    process = world.state.process(who)
    if process is None or not send(process, number):
        raise TransientError(f"{who} does not run; start it with: onehop lab start {who}")
