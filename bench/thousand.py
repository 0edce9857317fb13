"""A thousand Pods on forty nodes, from a folder of manifests, whose routes come and go."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from bench.child import running
from bench.namespace import PRODUCT_VIP
from onehop.lab.world.waiting import nothing_missing

NODES: Final = 40
PODS_OF_A_NODE: Final = 25
_PODS_OF_A_SERVICE: Final = 10
_DEVICE: Final = "ohladder0"
_NODE_PORTS: Final = 30_000
_WAIT_S: Final = 60.0
_LOOK_S: Final = 0.01


async def demotions(*, nodes: int, rounds: int) -> list[float]:
    """Return how long each round took: from before the routes vanish to Envoy's last pool."""
    took: list[float] = []
    pods = nodes * PODS_OF_A_NODE
    lost = "".join(f"route del {_block(node)}\n" for node in range(nodes))
    async with _served(nodes) as session:
        for _ in range(rounds):
            began = time.perf_counter()
            _ip(lost)
            await nothing_missing(lambda: _fewer(session, 0), timeout_s=_WAIT_S, pause_s=_LOOK_S)
            took.append(time.perf_counter() - began)
            _ip(_routes(nodes))
            await nothing_missing(lambda: _fewer(session, pods), timeout_s=_WAIT_S)
    return took


async def _fewer(session: aiohttp.ClientSession, pods: int) -> str:
    """Say how many Pods Envoy dials directly, if that is not as many as it shall be."""
    async with session.get("http://envoy/clusters") as answer:
        text = await answer.text()
    found = text.count(":8080::cx_active::")
    return "" if found == pods and text else f"{found} Pods are reached directly, not {pods}"


@contextlib.asynccontextmanager
async def _served(nodes: int) -> AsyncGenerator[aiohttp.ClientSession]:
    """Have onehop and Envoy serve them, each Pod directly; yield a way to ask Envoy."""
    with tempfile.TemporaryDirectory(prefix="ohl-", dir="/tmp") as folder:
        home = Path(folder)
        (home / "manifests").mkdir()
        (home / "manifests" / "all.yaml").write_text(
            yaml.dump_all(_objects(nodes), Dumper=yaml.CSafeDumper)
        )
        (home / "onehop.json").write_text(json.dumps(_config(home)))
        onehop = str(Path(sys.executable).with_name("onehop"))
        command = (onehop, "run", "--config", str(home / "onehop.json"))
        with _links(nodes), running(command, home / "log"):
            admin = await _admin(home)
            connector = aiohttp.UnixConnector(str(admin))
            async with aiohttp.ClientSession(connector=connector) as session:
                pods = nodes * PODS_OF_A_NODE
                await nothing_missing(lambda: _fewer(session, pods), timeout_s=_WAIT_S)
                yield session


async def _admin(home: Path) -> Path:
    """Return Envoy's admin socket, once it is there."""
    found: list[Path] = []

    def missing() -> str:
        found[:] = home.rglob("admin.sock")
        return "" if found else "Envoy has no admin socket"

    await nothing_missing(missing, timeout_s=_WAIT_S)
    return found[0]


def _config(home: Path) -> dict[str, Any]:
    return {
        "cluster": {"name": "thousand", "manifests": str(home / "manifests")},
        "addresses": {
            "shared": PRODUCT_VIP,
            "pools": [{"name": "public", "cidrs": ["192.0.2.10-192.0.2.250"]}],
            "bind": {"none": True},
        },
        "dataPlane": {"envoy": {"concurrency": 1}},
        "reach": {"stableS": 0},
        "state": str(home / "state"),
        "listen": {"metrics": "127.0.0.1:9085"},
    }


def _objects(nodes: int) -> Iterator[dict[str, Any]]:
    for node in range(nodes):
        yield {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": f"node{node}"},
            "spec": {"podCIDR": _block(node), "podCIDRs": [_block(node)]},
            "status": {"addresses": [{"type": "InternalIP", "address": _hop(node)}]},
        }
    pods = [(n, f"10.50.{n}.{p + 2}") for p in range(PODS_OF_A_NODE) for n in range(nodes)]
    for number, first in enumerate(range(0, len(pods), _PODS_OF_A_SERVICE)):
        yield from _service(number, pods[first : first + _PODS_OF_A_SERVICE])


def _service(number: int, pods: list[tuple[int, str]]) -> Iterator[dict[str, Any]]:
    name = f"web{number}"
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": "onehop.dev/lb",
            "ports": [
                {"name": "http", "port": 80, "targetPort": 8080, "nodePort": _NODE_PORTS + number}
            ],
        },
    }
    yield {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [address], "nodeName": f"node{node}", "conditions": {"ready": True}}
            for node, address in pods
        ],
    }


def _block(node: int) -> str:
    return f"10.50.{node}.0/24"


def _hop(node: int) -> str:
    return f"203.0.113.{node + 2}"


@contextlib.contextmanager
def _links(nodes: int) -> Generator[None]:
    _ip(
        f"link add {_DEVICE} type veth peer name ohladder1\n"
        f"link set {_DEVICE} up\nlink set ohladder1 up\n"
        f"address add 203.0.113.1/24 dev {_DEVICE}\n{_routes(nodes)}"
    )
    try:
        yield
    finally:
        _ip(f"link del {_DEVICE}\n")


def _routes(nodes: int) -> str:
    return "".join(f"route add {_block(n)} via {_hop(n)} proto bird\n" for n in range(nodes))


def _ip(lines: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)
