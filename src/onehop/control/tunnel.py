"""Our end of the cluster's overlay.

A module of its own, because it brings the whole of pyroute2, which few hosts need.
"""

import asyncio
from typing import Final

import structlog

from onehop.base.errors import TransientError
from onehop.base.latest import Latest
from onehop.model.ident import ObjectRef
from onehop.model.network import Network, Tunnel
from onehop.model.problem import Problem, Reason, Severity
from onehop.net.vxlan.device import remove_devices
from onehop.net.vxlan.entries import TunnelFault
from onehop.net.vxlan.overlay import Overlay
from onehop.net.vxlan.vtep import Vtep, end_of, own_ends

OWN_END_S: Final = 10.0
"""How often our Node object is looked for while there is none."""

log = structlog.get_logger(__name__)


class TunnelPart:
    """Is one more end of the cluster's overlay, as long as a Node object says which one.

    Without that object no node knows the way back to us: what we made goes with it, so that no
    route is left that would prove a way on which nobody answers.
    """

    def __init__(self) -> None:
        self._tunnels = Latest[tuple[Tunnel, ...]]()
        self._overlays: dict[Vtep, Overlay] = {}
        self._tasks: dict[Vtep, asyncio.Task[None]] = {}
        self._is_swept = False
        self._has_no_end = False

    def want(self, network: Network) -> None:
        """Lead to these ends; our own is among them."""
        self._tunnels.put(network.tunnels)

    def problems(self) -> tuple[Problem, ...]:
        """Return which nodes cannot be reached through the overlay, and why."""
        faults = (fault for one in self._overlays.values() for fault in one.faults.peek() or ())
        return (*(_NO_END if self._has_no_end else ()), *map(_tunnel_problem, faults))

    async def run(self) -> None:
        """Find our ends, and keep an overlay at each, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            seen, retry_s = 0, None
            while True:
                try:
                    async with asyncio.timeout(retry_s):
                        seen, tunnels = await self._tunnels.newer(seen)
                except TimeoutError:
                    tunnels = self._tunnels.peek() or ()
                is_sure = await self._settle(tasks, tunnels)
                for overlay in self._overlays.values():
                    overlay.want(tunnels)
                self._has_no_end = not self._overlays
                retry_s = None if is_sure and self._overlays else OWN_END_S

    async def _settle(self, tasks: asyncio.TaskGroup, tunnels: tuple[Tunnel, ...]) -> bool:
        """Keep an overlay at each end of ours, and nothing else; return whether that is so."""
        try:
            ends = await own_ends(tunnels)
            await self._leave(tunnels, ends)
        except TransientError as err:
            log.warning("overlay_end_not_found", error=str(err), retry_in_s=OWN_END_S)
            return False
        for vtep in ends:
            if vtep not in self._overlays:
                self._overlays[vtep] = Overlay(vtep)
                self._tasks[vtep] = tasks.create_task(self._overlays[vtep].run())
                log.info("overlay_joined", device=vtep.device, inner=vtep.inner)
        return True

    async def _leave(self, tunnels: tuple[Tunnel, ...], ends: tuple[Vtep, ...]) -> None:
        """Leave the overlays of which no Node object says any more that we are in them.

        An address of ours that is away for a moment is no reason: the objects count.
        """
        told = {end_of(tunnel) for tunnel in tunnels}
        for vtep in self._overlays.keys() - told:
            log.info("overlay_left", device=vtep.device, inner=vtep.inner)
            del self._overlays[vtep]
            task = self._tasks.pop(vtep)
            task.cancel()
            await asyncio.wait({task})
            self._is_swept = False
        if not self._is_swept:
            await remove_devices(keep={vtep.device for vtep in (*self._overlays, *ends)})
            self._is_swept = True


_NO_END: Final = (
    Problem(
        subject=ObjectRef("Config", "", "reach.tunnel"),
        reason=Reason.TUNNEL_NOT_KEPT,
        message="no Node object has an address of this host as its end of the overlay; create one,"
        " so that the nodes send answers here (see the guide, Without BGP)",
    ),
)


def _tunnel_problem(fault: TunnelFault) -> Problem:
    return Problem(
        subject=ObjectRef("Node", "", fault.node),
        reason=Reason.TUNNEL_NOT_KEPT,
        message=f"no tunnel ({fault.reason}): {fault.detail}",
        severity=Severity.WARNING,
    )
