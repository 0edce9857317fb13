"""Fixtures of the tests of keeping certificates."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onehop.kube import Client
from tests.issuing.stage import Cluster, ClusterPlace, FolderPlace, Place, cluster_in


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster with the namespaces `onehop-system` and `shop`."""
    async with cluster_in(tmp_path) as made:
        yield made


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    """A connection to it."""
    async with cluster.client() as connected:
        yield connected


@pytest.fixture(params=["cluster", "folder"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Each place where Secrets may be."""
    if request.param == "folder":
        yield FolderPlace(tmp_path / "secrets")
        return
    async with cluster_in(tmp_path) as cluster, cluster.client() as client:
        yield ClusterPlace(cluster, client)
