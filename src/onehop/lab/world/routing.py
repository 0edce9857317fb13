"""Faults of routing: of BGP sessions, of what is announced in them, of the kernel's routes."""

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from onehop.base.errors import ConfigError
from onehop.lab.world.bird import balancer_sessions, birdc
from onehop.lab.world.command import ip
from onehop.lab.world.packet import drop

if TYPE_CHECKING:
    from onehop.lab.world.world import World

_MARK: Final = "proto 250"
"""Of the routes of faults: by this they are found again."""
_TABLE: Final = "111"
"""Where onehop and its BIRD keep the ways to Pods."""


async def end_sessions(world: "World", node: str) -> None:
    """End a node's BGP sessions with the load balancers, in good order."""
    for name in await balancer_sessions(world, node):
        await birdc(world, node, f'disable "{name}"')


async def begin_sessions(world: "World", node: str) -> None:
    """Take them up again."""
    for name in await balancer_sessions(world, node):
        await birdc(world, node, f'enable "{name}"')


async def silence_bgp(world: "World", node: str) -> None:
    """Lose every BGP packet between a node and the load balancers."""
    lbs = [address for host in world.plan.lbs for address in host.addresses]
    rules = [
        f"{'ip6' if ':' in address else 'ip'} {side} {address} tcp {port} 179 drop"
        for address in lbs
        for side in ("saddr", "daddr")
        for port in ("sport", "dport")
    ]
    await drop(world, node, "bgp", rules)


async def withdraw(world: "World", node: str) -> None:
    """Withdraw a node's blocks."""
    await birdc(world, node, 'disable "static*"')


async def announce(world: "World", node: str) -> None:
    """Announce them again."""
    await birdc(world, node, 'enable "static*"')


async def hijack(world: "World", node: str) -> None:
    """Announce a part of the next node's block, and drop what comes."""
    lines = [f"route replace blackhole {prefix} {_MARK}" for prefix in _stolen(world, node)]
    await ip(lines, namespace=world.plan.namespace(node))


async def stop_hijack(world: "World", node: str) -> None:
    """Withdraw that."""
    for prefix in _stolen(world, node):
        await world.exec(node, "ip", "route", "del", "blackhole", prefix, *_MARK.split())


async def forget_routes(world: "World", node: str) -> None:
    """Delete the kernel's routes to a node's Pods on every load balancer, as a hand would."""
    blocks = {*world.plan.node(node).blocks, *world.plan.node(node).pod_cidrs}
    for host in world.plan.lbs:
        for family in ("-4", "-6"):
            done = await world.exec(host.name, "ip", family, "route", "show", "table", _TABLE)
            for line in done.out.splitlines():
                if line.split()[0] in blocks:
                    argv = ("ip", family, "route", "del", *_match(line), "table", _TABLE)
                    await world.exec(host.name, *argv)


async def end_upstream(world: "World", lb: str) -> None:
    """End the router's BGP sessions with a load balancer."""
    await birdc(world, "router", f'disable "{lb}_*"')


async def begin_upstream(world: "World", lb: str) -> None:
    """Take them up again."""
    await birdc(world, "router", f'enable "{lb}_*"')


def _stolen(world: "World", node: str) -> tuple[str, ...]:
    """Return what a node claims of the next node: the lower half of each of its blocks.

    A part, because the whole block has a better route in the BIRD of the thief, by the mesh.
    """
    nodes = [each.name for each in world.plan.nodes]
    if len(nodes) == 1:
        raise ConfigError("hijack: takes two nodes")
    victim = world.plan.node(nodes[(nodes.index(node) + 1) % len(nodes)])
    halves = (next(ipaddress.ip_network(block).subnets()) for block in victim.blocks)
    return tuple(str(half) for half in halves)


def _match(line: str) -> Iterator[str]:
    """Yield the words of a route that `ip route del` needs to find it."""
    words = line.split()
    yield words[0]
    for word in ("metric", "proto"):
        if word in words:
            yield from (word, words[words.index(word) + 1])
