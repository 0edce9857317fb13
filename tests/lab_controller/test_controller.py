"""The controller at an API."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from onehop.kube import Access, Client, connect
from onehop.lab.api import Store, put, read, remove, serve
from onehop.lab.controller import PodPlan, block_affinity, node_object, pod_object
from onehop.lab.controller.lifecycle import Watchman
from onehop.lab.controller.run import Controller

Json = dict[str, Any]


@contextlib.asynccontextmanager
async def connected(store: Store, folder: Path) -> AsyncGenerator[Client]:
    """Give a client of an API with the objects of a store."""
    async with serve(store) as server:
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(server.kubeconfig())
        async with connect(Access(kubeconfig=str(kubeconfig))) as client:
            yield client


@contextlib.asynccontextmanager
async def controlled(store: Store, folder: Path) -> AsyncGenerator[None]:
    """Have a controller work for the objects of a store."""
    async with connected(store, folder) as client, asyncio.TaskGroup() as tasks:
        working = tasks.create_task(Controller(client).run())
        yield
        working.cancel()


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not claim():  # noqa: ASYNC110  the store sets no Event
            await asyncio.sleep(0.01)


def service() -> Json:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "web"}, "ports": ports},
    }


def pod(number: int) -> Json:
    return pod_object(
        PodPlan(
            name=f"web-{number}",
            namespace="shop",
            node="node1",
            addresses=(f"10.244.0.{number}",),
            labels={"app": "web"},
        )
    )


def endpoints(store: Store) -> dict[str, bool]:
    """Return address and readiness of all endpoints."""
    return {
        endpoint["addresses"][0]: endpoint["conditions"]["ready"]
        for each in store.objects("endpointslices.discovery.k8s.io")
        for endpoint in each["endpoints"] or ()
    }


async def test_slices_follow_pods_and_services(tmp_path: Path) -> None:
    """A Pod comes, is deleted and goes; the Service goes with all slices."""
    store = Store()
    put(store, service())
    async with controlled(store, tmp_path):
        put(store, pod(1))
        put(store, pod(2))
        await until(lambda: endpoints(store) == {"10.244.0.1": True, "10.244.0.2": True})

        remove(store, "pods", "shop", "web-1")
        await until(lambda: endpoints(store) == {"10.244.0.1": False, "10.244.0.2": True})

        remove(store, "services", "shop", "web")
        await until(lambda: not list(store.objects("endpointslices.discovery.k8s.io")))


async def test_each_node_has_a_block_of_each_pool(tmp_path: Path) -> None:
    """One that it was given stays; a node that goes gives its blocks back."""
    store = Store()

    def blocks() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for each in store.objects("blockaffinities.crd.projectcalico.org"):
            found.setdefault(each["spec"]["node"], set()).add(each["spec"]["cidr"])
        return found

    async with controlled(store, tmp_path):
        await until(lambda: any(each.plural == "blockaffinities" for each in store.registry))
        put(store, block_affinity("node2", "10.244.0.0/26"))
        for name in ("node1", "node2"):
            put(store, node_object(name, addresses=["10.111.0.11/24"]))
        expected = {
            "node1": {"10.244.0.64/26", "fd00:244::/122"},
            "node2": {"10.244.0.0/26", "fd00:244::40/122"},
        }
        await until(lambda: blocks() == expected)

        remove(store, "nodes", "", "node1")
        await until(lambda: set(blocks()) == {"node2"})


async def test_a_node_whose_lease_stands_still_is_lost_with_its_pods(tmp_path: Path) -> None:
    """A node that never had one is left alone."""
    store = Store()
    for name in ("node1", "node2"):
        put(store, node_object(name, addresses=["10.111.0.11/24"]))
    put(store, pod(1))
    clock = [100.0]

    def lease(renewed: str) -> Json:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "node1", "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": "node1", "renewTime": renewed},
        }

    def ready(resource: str, name: str, space: str = "") -> str:
        conditions = read(store, resource, space, name)["status"]["conditions"]
        return str(next(each["status"] for each in conditions if each["type"] == "Ready"))

    put(store, lease("2026-01-01T00:00:00.000000Z"))
    async with connected(store, tmp_path) as client, asyncio.TaskGroup() as tasks:
        watchman = Watchman(client, grace_s=40, clock=lambda: clock[0])
        watching = tasks.create_task(watchman.run())
        await until(lambda: "node1" in watchman.known)
        assert ready("nodes", "node1") == "True"
        clock[0] += 40
        await until(lambda: ready("pods", "web-1", "shop") == "False")
        assert (ready("nodes", "node1"), ready("nodes", "node2")) == ("Unknown", "True")
        watching.cancel()


@pytest.mark.parametrize("calico", [True, False])
def test_a_node_carries_its_addresses(calico: bool) -> None:  # noqa: FBT001  the two ways
    """As kubelet writes them, and as calico-node does."""
    addresses = ["10.111.0.11/24", "fd00:111::11/64"]
    store = Store()
    put(store, node_object("node1", addresses=addresses, zone="zone1", calico=calico))
    node = read(store, "nodes", "", "node1")
    ips = [e["address"] for e in node["status"]["addresses"] if e["type"] == "InternalIP"]
    assert ips == ["10.111.0.11", "fd00:111::11"]
    noted = node["metadata"].get("annotations", {})
    assert noted.get("projectcalico.org/IPv6Address") == (addresses[1] if calico else None)
