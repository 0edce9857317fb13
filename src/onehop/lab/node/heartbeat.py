"""The node's sign of life: a Lease that is renewed, as kubelet does it.

https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats: every ten seconds, in the
namespace `kube-node-lease`. The controller calls a node whose Lease stands still not ready.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from onehop.base.errors import KubeConflict, KubeNotFound, OnehopError
from onehop.kube import Change, Client, Collection
from onehop.lab.node.object import NODES

NAMESPACE: Final = "kube-node-lease"
EVERY_S: Final = 10.0
AGAIN_S: Final = 1.0
DURATION_S: Final = 40
"""`nodeLeaseDurationSeconds` of kubelet, its default; it renews four times in it."""
LEASES: Final = Collection(
    kind="Lease", api_version="coordination.k8s.io/v1", plural="leases", struct=dict[str, Any]
)
NAMESPACES: Final = Collection(
    kind="Namespace",
    api_version="v1",
    plural="namespaces",
    struct=dict[str, Any],
    namespaced=False,
)

log = structlog.get_logger()


class Heartbeat:
    """The Lease of one node."""

    def __init__(
        self,
        client: Client,
        node: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._node = node
        self._now = now

    async def run(self) -> None:
        """Renew it until cancelled, and say that the node is ready: it may have been doubted."""
        while True:
            pause_s = EVERY_S
            try:
                await self._renew()
                await self._say_ready()
            except OnehopError as fault:
                log.warning("lab_heartbeat_failed", why=str(fault))
                pause_s = AGAIN_S
            await asyncio.sleep(pause_s)

    async def _renew(self) -> None:
        moment = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {
            "holderIdentity": self._node,
            "leaseDurationSeconds": DURATION_S,
            "renewTime": moment,
        }
        try:
            await self._client.merge_patch(
                LEASES, NAMESPACE, self._node, Change(patch={"spec": spec})
            )
        except KubeNotFound:
            with contextlib.suppress(KubeConflict):
                await self._client.create(NAMESPACES, "", _named("v1", "Namespace", NAMESPACE))
            body = _named("coordination.k8s.io/v1", "Lease", self._node) | {"spec": spec}
            await self._client.create(LEASES, NAMESPACE, body)

    async def _say_ready(self) -> None:
        condition = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        change = Change(patch={"status": {"conditions": [condition]}}, subresource="status")
        with contextlib.suppress(KubeNotFound):
            await self._client.merge_patch(NODES, "", self._node, change)


def _named(api_version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}
