"""The API as the node agent uses it: onehop's client, and the one call that it has not."""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from onehop.base.errors import KubeNotFound
from onehop.kube import Access, Change, Client
from onehop.kube.credentials import Credentials, find_loader
from onehop.kube.transport import Request, Transport
from onehop.lab.node.object import PODS

_PATIENCE_S: Final = 10.0


class NodeApi:
    """An API server.

    Attributes:
        client: for everything but the end of a Pod.
    """

    def __init__(self, transport: Transport) -> None:
        self.client = Client(transport)
        self._transport = transport

    async def write_status(self, namespace: str, name: str, status: dict[str, object]) -> None:
        """Change a Pod's status; one that is gone needs none."""
        change = Change(patch={"status": status}, subresource="status")
        with contextlib.suppress(KubeNotFound):
            await self.client.merge_patch(PODS, namespace, name, change)

    async def remove_pod(self, namespace: str, name: str) -> None:
        """Delete a Pod for good, as a kubelet does when its containers have ended."""
        request = Request(
            doing=f"remove Pod {namespace}/{name}",
            method="DELETE",
            path=PODS.path(namespace, name),
            query={"gracePeriodSeconds": "0"},
        )
        with contextlib.suppress(KubeNotFound):
            await self._transport.call(request, timeout_s=_PATIENCE_S)


@contextlib.asynccontextmanager
async def open_api(kubeconfig: Path) -> AsyncGenerator[NodeApi]:
    """Hold a connection to the API server of a kubeconfig."""
    access = Access(kubeconfig=str(kubeconfig))
    transport = Transport(await Credentials.load(find_loader(access)))
    try:
        yield NodeApi(transport)
    finally:
        await transport.close()
