"""A cluster in which every watched kind matters: take one away and somebody is not served.

| host | needs, beside its Ingress and the IngressClass |
|---|---|
| shop.example.com | Service web, its EndpointSlice |
| node.example.com | Service node, a NodePort, a Node |
| secure.example.com | Service web, a Secret |
| one.example.com | the same as shop: there to be deleted |
"""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Final

from onehop.lab.api.faults import (
    EmptyList,
    Fault,
    Forbidden,
    Gone,
    Hang,
    ServerError,
    ShortList,
    StaleList,
    Truncated,
)
from onehop.lab.pod import serve_http
from tests.e2e.authority import Authority
from tests.e2e.client import Target
from tests.e2e.cluster import Cluster
from tests.e2e.objects import HOST, ingress, node, service

NODE: Final = ("worker-1", "172.18.0.11", 30080)

LIST_FAULTS: Final[Mapping[str, Fault]] = {
    "an empty list": EmptyList(),
    "500": ServerError(),
    "403": Forbidden(),
    "410 again and again": Gone(),
    "no answer": Hang(),
    "a page cut short": Truncated(),
    "a page without continue": ShortList(),
    "a list of long ago": StaleList(revisions=1000),
}


def verbs_of(fault: Fault) -> frozenset[str]:
    """Return what a fault shall befall: lists, and watches where lists alone would heal it."""
    both = isinstance(fault, ServerError | Forbidden | Gone | StaleList)
    return frozenset({"list", "watch"} if both else {"list"})


@contextlib.asynccontextmanager
async def everything_in(cluster: Cluster) -> AsyncGenerator[tuple[Target, ...]]:
    """Fill a cluster, run the node's Pod, and yield whom to ask."""
    authority = Authority()
    name, address, port = NODE
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": port}]
    cluster.put(
        node(name, address),
        service("node", type="NodePort", ports=ports),
        authority.secret("secure-tls", "secure.example.com"),
        ingress("shop", HOST),
        ingress("node", "node.example.com", backend="node", path="node"),
        ingress("secure", "secure.example.com", secret="secure-tls"),
        ingress("one", "one.example.com"),
    )
    async with serve_http("node", "node-1", address, port):
        yield (
            Target(HOST),
            Target("node.example.com"),
            Target("secure.example.com", tls=authority.client()),
        )
