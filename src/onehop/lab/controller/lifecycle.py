"""Nodes that give no sign of life any more: they and their Pods are called not ready.

The node lifecycle controller (kubernetes `pkg/controller/nodelifecycle`): a node whose Lease stands
still for the grace period gets the condition Ready=Unknown, and its Pods Ready=False, so that they
leave the EndpointSlices' ready ones. Taints, and the deletion of the Pods five minutes later, are
missing. A node that never had a Lease is left alone.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from onehop.base.errors import OnehopError
from onehop.kube import Change, Client, Collection, Selection
from onehop.lab.controller.object import NODES, PODS
from onehop.lab.mirror import Mirror

GRACE_S: Final = 40.0
"""`--node-monitor-grace-period` of kube-controller-manager; 50 s since Kubernetes 1.32."""
LOOK_S: Final = 1.0
LEASES: Final = Collection(
    kind="Lease", api_version="coordination.k8s.io/v1", plural="leases", struct=dict[str, Any]
)
_NAMESPACE: Final = "kube-node-lease"

log = structlog.get_logger()


class Watchman:
    """Notes when each node's Lease last moved, by its own clock: nodes' clocks may be wrong."""

    def __init__(
        self,
        client: Client,
        *,
        grace_s: float = GRACE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._grace_s = grace_s
        self._clock = clock
        self._moved: dict[str, tuple[str, float]] = {}
        self._lost: set[str] = set()
        self._leases = Mirror(client, LEASES, self._note, Selection(namespace=_NAMESPACE))
        self._pods = Mirror(client, PODS, _nothing)

    @property
    def known(self) -> frozenset[str]:
        """The nodes that have a Lease."""
        return frozenset(self._moved)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._leases.follow())
            tasks.create_task(self._pods.follow())
            while True:
                await asyncio.sleep(LOOK_S)
                for name in self._silent():
                    try:
                        await self._give_up(name)
                    except OnehopError as fault:
                        log.warning("lab_controller_retries", why=str(fault))

    def _note(self) -> None:
        leases = self._leases.objects
        for (_, name), lease in leases.items():
            renewed = str(lease.get("spec", {}).get("renewTime", ""))
            if self._moved.get(name, ("", 0.0))[0] != renewed:
                self._moved[name] = (renewed, self._clock())
                self._lost.discard(name)
        gone = self._moved.keys() - {name for _, name in leases}
        for name in gone:
            del self._moved[name]

    def _silent(self) -> list[str]:
        before = self._clock() - self._grace_s
        return sorted(
            name for name, (_, at) in self._moved.items() if at <= before and name not in self._lost
        )

    async def _give_up(self, name: str) -> None:
        lost = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
        await self._client.merge_patch(NODES, "", name, _conditions([lost]))
        for (namespace, pod), found in list(self._pods.objects.items()):
            if found.spec.node_name == name and found.is_ready:
                unready = [{"type": each, "status": "False"} for each in _READY]
                await self._client.merge_patch(PODS, namespace, pod, _conditions(unready))
        self._lost.add(name)
        log.info("lab_node_lost", node=name, silent_s=self._grace_s)


_READY: Final = ("Ready", "ContainersReady")


def _conditions(conditions: list[dict[str, str]]) -> Change:
    return Change(patch={"status": {"conditions": conditions}}, subresource="status")


def _nothing() -> None:
    """Pods wake nobody."""
