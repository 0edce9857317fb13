"""Keeping our end of an overlay in step with the nodes that come and go.

Level-triggered: whatever happens to the device, its entries or our routes, all of it is read and
compared. An overlay has one entry, one neighbour and a route or two a node, so a look is cheap.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Iterable
from typing import Final

import structlog

from onehop.base.errors import TransientError
from onehop.base.latest import Latest
from onehop.base.nlmsg import Message
from onehop.model.address import is_ipv6
from onehop.model.network import Tunnel
from onehop.net.own_routes import OwnRoutes, RouteChanges, diff_routes
from onehop.net.rtnetlink.kernel import (
    ADDRESSES,
    LINKS,
    NEIGHBORS,
    ROUTES,
    Events,
    list_all,
    transact,
)
from onehop.net.rtnetlink.link import link_of
from onehop.net.rtnetlink.neighbor import (
    Entry,
    device_of,
    is_about_entry,
    list_entries,
    put_entry,
    read_entry,
    remove_entry,
)
from onehop.net.rtnetlink.route import put_route, remove_route
from onehop.net.table import TUNNEL_METRIC
from onehop.net.vxlan.device import ensure_device
from onehop.net.vxlan.entries import (
    EntryChanges,
    TunnelFault,
    TunnelFaultReason,
    Wanted,
    diff_entries,
    key_of,
    want_tunnels,
)
from onehop.net.vxlan.vtep import Vtep

_RETRY_S: Final = 10.0
_PAUSE_S: Final = 0.05
"""Between two looks after events, so that a war with another program stays a small one."""

_log = structlog.get_logger(__name__)


class Overlay:
    """Joins one overlay and stays in it.

    The device is there once `run` has begun; its entries and routes, once `want` was called.
    Stopping leaves all of it, and the nodes' Pods stay reachable; `device.remove_devices` removes
    it, and with a device goes all that we put on it.

    Attributes:
        faults: sorted; put whenever they change.
    """

    def __init__(self, vtep: Vtep) -> None:
        self.faults: Latest[tuple[TunnelFault, ...]] = Latest()
        self._vtep = vtep
        self._tunnels: tuple[Tunnel, ...] | None = None
        self._device = 0
        self._is_device_sure = False
        self._family = socket.AF_INET6 if is_ipv6(vtep.inner) else socket.AF_INET
        # The overlay of the other family keeps its routes at the same metric.
        self._mirror = OwnRoutes(TUNNEL_METRIC, (self._family,))
        self._is_refused = False
        self._wake = asyncio.Event()

    def want(self, tunnels: Iterable[Tunnel]) -> None:
        """Say which nodes are in the overlay; the latest word counts, and may come at any rate.

        Tunnels of other overlays, and to ourselves, may be among them.
        """
        self._tunnels = tuple(tunnels)
        self._wake.set()

    async def run(self) -> None:
        """Keep the device, its entries and routes as wanted, until cancelled.

        Raises:
            ConfigError: this host is a node of the overlay already, or this process may not
                change the network.
        """
        groups = LINKS | ADDRESSES | NEIGHBORS | ROUTES
        with Events(groups, hear=self._hear, lose=self._lose):
            self._lose()
            while True:
                await self._something_happened()
                tunnels = self._tunnels
                try:
                    await self._look(tunnels)
                except TransientError as err:
                    self._is_refused, self._is_device_sure = True, False
                    _log.warning("overlay_failed", error=str(err), retry_in_s=_RETRY_S)
                if tunnels is self._tunnels:
                    await asyncio.sleep(_PAUSE_S)

    async def _something_happened(self) -> None:
        try:
            async with asyncio.timeout(_RETRY_S if self._is_refused else None):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _look(self, tunnels: tuple[Tunnel, ...] | None) -> None:
        """Bring the kernel to what is wanted."""
        if not self._is_device_sure:
            self._is_device_sure = True
            self._device = await ensure_device(self._vtep)
        if tunnels is None:
            return
        wanted = want_tunnels(tunnels, self._vtep, self._device)
        entries = diff_entries(await self._entries(), wanted.entries)
        await self._mirror.read()
        taken = self._mirror.taken
        routes = diff_routes(self._mirror.present, wanted.routes, taken=taken)
        refused = await self._change(entries, routes)
        self._is_refused = bool(refused)
        self._report(wanted, taken & wanted.routes.keys(), refused)
        if entries.put or entries.remove or routes.put or routes.remove:
            _log.info(
                "overlay_changed",
                device=self._vtep.device,
                put=len(entries.put) + len(routes.put),
                removed=len(entries.remove) + len(routes.remove),
                nodes=len(tunnels),
            )

    async def _entries(self) -> list[Entry]:
        found = [
            read_entry(payload)
            for family in (socket.AF_BRIDGE, self._family)
            for payload in await list_all(list_entries(family, self._device))
        ]
        return [entry for entry in found if entry is not None]

    async def _change(self, entries: EntryChanges, routes: RouteChanges) -> dict[str, str]:
        """Make before break, bottom up, and break top down; return what was refused, by key."""
        device = self._device
        keyed = [
            *((key_of(entry), put_entry(entry, device)) for entry in entries.put),
            *((route.prefix, put_route(route)) for route in routes.put),
            *((route.prefix, remove_route(route)) for route in routes.remove),
            *((key_of(entry), remove_entry(entry, device)) for entry in entries.remove),
        ]
        refused = await transact([request for _, request in keyed])
        gone = {errno.ESRCH, errno.ENOENT}  # a removal that found nothing has what it wanted
        return {
            keyed[index][0]: os.strerror(code)
            for index, code in refused.items()
            if code not in gone
        }

    def _hear(self, message: Message) -> None:
        link = link_of(message)
        if link is not None and (link == self._device or not self._is_device_sure):
            self._lose()  # it changed, or what it was waiting for may have come
        elif self._mirror.hear(message) or (
            is_about_entry(message) and device_of(message.payload) == self._device
        ):
            self._wake.set()

    def _lose(self) -> None:
        self._is_device_sure = False
        self._wake.set()

    def _report(self, wanted: Wanted, taken: Iterable[str], refused: dict[str, str]) -> None:
        nodes = wanted.nodes
        faults = [
            *wanted.faults,
            *(
                TunnelFault(nodes[key], TunnelFaultReason.TAKEN, f"{key} has a foreign route")
                for key in taken
            ),
            *(
                TunnelFault(nodes.get(key, ""), TunnelFaultReason.REFUSED, f"{key}: {why}")
                for key, why in refused.items()
            ),
        ]
        found = tuple(sorted(faults))
        if found != self.faults.peek():
            self.faults.put(found)
