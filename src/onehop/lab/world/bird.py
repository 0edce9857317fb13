"""Asking and telling the BIRDs of a lab, as an administrator does: with birdc."""

from pathlib import Path
from typing import TYPE_CHECKING

from onehop.base.errors import RejectedError
from onehop.lab.node import SOCKET

if TYPE_CHECKING:
    from onehop.lab.world.world import World


async def birdc(world: "World", who: str, command: str) -> str:
    """Have the BIRD of a node or of the router carry out a command, and return what it says.

    Raises:
        RejectedError: it does not run, or does not know the command.
    """
    socket: Path = world.state.home(who) / SOCKET
    done = await world.exec(who, "birdc", "-s", str(socket), command)
    if done.code != 0:
        raise RejectedError(f"birdc on {who}: {command}: {(done.err or done.out).strip()}")
    return done.out


async def announcers(world: "World", address: str) -> frozenset[str]:
    """Return the load balancers that have announced an address to the router."""
    routes = f"show route where net = {address}/{128 if ':' in address else 32}"
    said = await birdc(world, "router", routes)
    return frozenset(host.name for host in world.plan.lbs if f"[{host.name}_" in said)


async def balancer_sessions(world: "World", node: str) -> tuple[str, ...]:
    """Return the names of a node's BGP sessions with load balancers."""
    addresses = {address for host in world.plan.lbs for address in host.addresses}
    found: list[str] = []
    name = ""
    for line in (await birdc(world, node, "show protocols all")).splitlines():
        words = line.split()
        if line[:1].strip() and words[1:2] == ["BGP"]:
            name = words[0]
        if words[:2] == ["Neighbor", "address:"] and words[2] in addresses:
            found.append(name)
    return tuple(found)
