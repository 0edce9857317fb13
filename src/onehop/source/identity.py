"""Whether the server that answers is still the cluster it was.

A kubeconfig that is changed, a DNS name or a VIP that moves: then another cluster's lists are
complete, fresh and wrong. The uid of the Namespace `kube-system` is by convention a cluster's
identity (OpenTelemetry semantic conventions, `k8s.cluster.uid`), and it cannot be deleted.
"""

import asyncio
from enum import Enum, auto
from typing import Final

from onehop.base.errors import KubeUnavailable, RejectedError
from onehop.cluster import Namespace
from onehop.kube import Client, collection_of

WITNESS: Final = "kube-system"


class Sameness(Enum):
    """What the witness says."""

    SAME = auto()
    OTHER = auto()
    UNKNOWN = auto()
    """We may not read it, or this server had none from the start."""


class ClusterIdentity:
    """Remembers which cluster answered first."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._namespaces = collection_of(Namespace)
        self._lock = asyncio.Lock()
        self._uid: str | None = None

    async def learn(self) -> None:
        """Ask for the identity, the first time only.

        Raises:
            KubeUnavailable: no answer.
        """
        async with self._lock:
            if self._uid is None:
                self._uid = await self._ask()

    async def compare(self) -> Sameness:
        """Ask again and compare.

        Raises:
            KubeUnavailable: no answer.
        """
        if not self._uid:
            return Sameness.UNKNOWN
        return Sameness.SAME if await self._ask() == self._uid else Sameness.OTHER

    async def has_namespace(self, name: str) -> bool:
        """Tell whether the server knows a namespace."""
        try:
            return await self._client.find(self._namespaces, "", name) is not None
        except KubeUnavailable:
            raise
        except RejectedError:
            return False

    async def _ask(self) -> str:
        try:
            namespace = await self._client.find(self._namespaces, "", WITNESS)
        except RejectedError:
            return ""
        return namespace.metadata.uid if namespace is not None else ""
