"""The world of these tests: a network, a cluster with two Pods in it, and onehop before it."""

import contextlib
import os
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from onehop.lab.pod import serve_http
from tests.e2e.client import SHARED, is_served
from tests.e2e.cluster import Cluster, cluster_in
from tests.e2e.network import private_network
from tests.e2e.objects import Json, endpoints, ingress, service
from tests.e2e.program import Onehop, running
from tests.e2e.waiting import until

WEB_PODS = {"web-1": "10.244.1.1", "web-2": "10.244.1.2"}


@pytest.fixture
def network() -> Iterator[None]:
    """A network of this test's own."""
    with private_network():
        yield


@pytest.fixture
def quiet() -> Iterator[None]:
    """Keep to a network of our own where we may: other programs may have the demo's ports."""
    if os.geteuid() != 0:
        yield
        return
    with private_network():
        yield


@pytest.fixture
async def pods(network: None) -> AsyncGenerator[None]:
    """Two Pods of the application `web`."""
    assert network is None  # entered already: whatever listens from here on is inside
    async with contextlib.AsyncExitStack() as stack:
        for name, address in WEB_PODS.items():
            await stack.enter_async_context(serve_http("web", name, address, 8080))
        yield


@pytest.fixture
async def cluster(pods: None, tmp_path: Path) -> AsyncGenerator[Cluster]:
    """A cluster with a Service `web`, of which the first of two Pods is ready."""
    assert pods is None
    async with cluster_in(tmp_path) as one:
        one.put(service(), endpoints("web", WEB_PODS["web-1"]))
        yield one


@pytest.fixture
def config(tmp_path: Path) -> Json:
    """What onehop is told in these tests."""
    return {
        "cluster": {"kubeconfig": str(tmp_path / "kubeconfig")},
        "addresses": {
            "shared": SHARED,
            "pools": [{"name": "public", "cidrs": ["192.0.2.20-192.0.2.29"]}],
            "bind": {"none": True},
        },
        "dataPlane": {"envoy": {"concurrency": 1}},
    }


@pytest.fixture
async def onehop(cluster: Cluster, config: Json, tmp_path: Path) -> AsyncGenerator[Onehop]:
    """A running onehop, ready."""
    assert cluster.kubeconfig.exists()
    async with running(tmp_path / "a", config) as program:
        yield program


@pytest.fixture
async def shop(cluster: Cluster, onehop: Onehop) -> Onehop:
    """A running onehop that serves shop.example.com."""
    cluster.put(ingress())
    await until(is_served, "the shop is served")
    return onehop
