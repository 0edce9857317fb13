"""What an earlier run has left in the kernel, and nobody wants any more.

Stopping leaves routes, tunnels and rules in place, so that a restart loses nothing. A restart with
another configuration takes away what it no longer keeps. Only what carries our marks is touched.
"""

import socket
from collections.abc import Collection

from onehop.net.bird.leftover import remove_leftover_routes
from onehop.net.rtnetlink.kernel import transact
from onehop.net.rtnetlink.listing import routes_in
from onehop.net.rtnetlink.route import remove_route
from onehop.net.table import PROTOCOL, STATIC_METRIC, TABLE, TUNNEL_METRIC, RoutingTable
from onehop.net.vxlan.vtep import DEVICE_NAMES


async def sweep(*, keeps_static: bool, keeps_tunnel: bool, keeps_bgp: bool) -> tuple[str, ...]:
    """Take away what is not kept; return what was taken away, for the log.

    Raises:
        ConfigError: this process may not change the network.
        TransientError: the kernel did not answer.
    """
    swept: list[str] = []
    if not keeps_bgp and (count := await remove_leftover_routes(TABLE)):
        swept.append(f"{count} routes of BIRD")
    unwanted = {STATIC_METRIC} if not keeps_static else set()
    unwanted |= {TUNNEL_METRIC} if not keeps_tunnel else set()
    if unwanted and (count := await _remove_routes(unwanted)):
        swept.append(f"{count} routes")
    if not keeps_tunnel and _may_have_devices():
        from onehop.net.vxlan.device import remove_devices  # noqa: PLC0415  see `onehop.net.vxlan`

        swept += await remove_devices()
    if not (keeps_static or keeps_tunnel or keeps_bgp):
        await RoutingTable().withdraw()
    return tuple(swept)


async def _remove_routes(metrics: Collection[int]) -> int:
    ours = [
        route
        for route in await routes_in(TABLE)
        if route.protocol == PROTOCOL and route.metric in metrics
    ]
    await transact([remove_route(route) for route in ours])
    return len(ours)


def _may_have_devices() -> bool:
    """Tell whether there are devices with names such as ours; `remove_devices` looks closer."""
    return any(name.startswith(DEVICE_NAMES) for _, name in socket.if_nameindex())
