"""Routes to the other nodes' Pods where no BGP speaks: what flannel's `host-gw` does.

https://github.com/flannel-io/flannel/blob/master/Documentation/backends.md#host-gw: each podCIDR of
another node goes by that node's address, which must be on a link of ours.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from onehop.lab.node.choice import family_of
from onehop.lab.node.command import run
from onehop.lab.node.object import Node

PROTOCOL: Final = "113"
"""Marks our routes; a number that /etc/iproute2/rt_protos gives to nobody."""


class Route(msgspec.Struct, frozen=True, order=True):
    """A route to Pods.

    Attributes:
        onlink: options behind the gateway: `dev flannel.1 onlink` for one within an overlay.
    """

    prefix: str
    gateway: str
    onlink: str = ""


def host_routes(nodes: Iterable[Node], me: str) -> tuple[Route, ...]:
    """Return the routes of `host-gw`, sorted; pure."""
    found = set[Route]()
    for node in nodes:
        if node.metadata.name == me:
            continue
        gateways = {family_of(address): address for address in reversed(node.internal_ips)}
        found |= {
            Route(cidr, gateways[family_of(cidr)])
            for cidr in node.spec.pod_cidrs
            if family_of(cidr) in gateways
        }
    return tuple(sorted(found))


class Routes:
    """Our routes in the kernel's main table."""

    def __init__(self) -> None:
        self._had: frozenset[Route] | None = None

    async def apply(self, wanted: Iterable[Route]) -> bool:
        """Make them these; return whether there was anything to do.

        Raises:
            CommandFailed: a gateway is on no link of ours, for example.
        """
        new = frozenset(wanted)
        if new == self._had:
            return False
        if self._had is None:
            for family in ("-4", "-6"):
                await run("ip", family, "route", "flush", "proto", PROTOCOL)
        kept = {route.prefix for route in new}
        for route in sorted((self._had or frozenset()) - new):
            if route.prefix not in kept:
                await run("ip", "route", "del", route.prefix, "proto", PROTOCOL)
        for route in sorted(new):
            to = (route.prefix, "via", route.gateway, *route.onlink.split())
            await run("ip", "route", "replace", *to, "proto", PROTOCOL)
        self._had = new
        return True
