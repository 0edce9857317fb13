"""Two nodes, their Pods and somebody outside, each a network namespace on one bridge.

The test itself is moved into the bridge's namespace, so that the API it serves is on the network
of the nodes.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from pyroute2 import netns

from onehop.lab.api import Refused, Server, Store, put, read, serve
from onehop.lab.controller import (
    PodPlan,
    bgp_configuration,
    block_affinity,
    ip_pool,
    node_object,
    pod_object,
)
from onehop.lab.controller import calico_definitions as definitions
from onehop.lab.node import process_mark

T = TypeVar("T")
Json = dict[str, Any]

API: Final = "10.111.0.1"
OUTSIDE: Final = ("10.111.0.100", "fd00:111::100")
DEADLINE_S: Final = 40.0

_POD: Final = """
import asyncio, signal, sys
from onehop.lab.pod import serve_http, serve_udp
async def main(name, addresses):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with __import__("contextlib").AsyncExitStack() as stack:
        for address in addresses:
            await stack.enter_async_context(serve_http("web", name, address, 8080))
            await stack.enter_async_context(serve_udp(name, address, 5353))
        print("up", flush=True)
        await stop.wait()
        await asyncio.sleep(float(sys.argv[2]))
asyncio.run(main(sys.argv[1], sys.argv[3:]))
"""


class Lab:
    """The namespaces, the API and the processes of one test."""

    def __init__(self, server: Server, prefix: str, folder: Path) -> None:
        self.server = server
        self.store: Store = server.store
        self.prefix = prefix
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(server.kubeconfig())

    def put(self, *objects: Json) -> None:
        """Create or replace objects."""
        for each in objects:
            put(self.store, each)

    def find(self, resource: str, name: str, space: str = "shop") -> Json | None:
        """Return an object, or None."""
        try:
            return read(self.store, resource, space, name)
        except Refused:
            return None

    def start(self, where: str, *command: str) -> "subprocess.Popen[str]":
        """Start a program in a namespace; it is ended with the lab."""
        log = (self.folder / f"{where}-{len(self.processes)}.log").open("w")
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.prefix + where, *command],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.close()
        self.processes.append(process)
        return process

    def node(self, number: int, *, network: str = "calico") -> None:
        """Start the agent of a node."""
        self.start(
            f"n{number}",
            *(sys.executable, "-m", "onehop.lab.node", "--name", f"node{number}"),
            *("--kubeconfig", str(self.kubeconfig), "--state", str(self.folder / f"n{number}")),
            *("--address", f"10.111.0.1{number}", "--address6", f"fd00:111::1{number}"),
            *("--network", network),
        )

    def controller(self) -> None:
        """Start the controller; it has no network of its own to be in."""
        command = ("onehop.lab.controller", "--kubeconfig", str(self.kubeconfig))
        self.start("sw", sys.executable, "-m", *command)

    def pod(self, node: int, number: int, *, ends_after_s: float = 0.0) -> str:
        """Make a Pod and its network, wait until it answers, and return its name."""
        name = f"web-{number}"
        addresses = (f"10.244.{node}.{number}", f"fd00:244:{node}::{number}")
        here, there = f"{self.prefix}n{node}", f"{self.prefix}p{number}"
        _make_pod_network(here, there, f"cali{number}", addresses)
        command = (sys.executable, "-c", _POD, name, str(ends_after_s), *addresses)
        process = self.start(f"p{number}", *command)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        plan = PodPlan(
            name=name,
            namespace="shop",
            node=f"node{node}",
            addresses=addresses,
            labels={"app": "web"},
            ports={"http": 8080},
            udp_ports={"dns": 5353},
            process=process_mark(process.pid),
            grace_s=20,
        )
        self.put(pod_object(plan))
        return name

    def inside(self, where: str, function: Callable[[], T]) -> T:
        """Run a function on a thread inside a namespace."""

        def moved() -> T:
            netns.setns(self.prefix + where)
            return function()

        with ThreadPoolExecutor(1) as pool:  # the thread ends, and its namespace with it
            return pool.submit(moved).result()

    async def get(self, url: str, *, where: str = "ext") -> tuple[int, Json]:
        """Return status and body of a request; a status of 0 if nobody answers in time."""

        def ask() -> tuple[int, Json]:
            try:
                with urllib.request.urlopen(url, timeout=1.5) as answer:  # noqa: S310  http, ours
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)
            except OSError:
                return 0, {}

        return await asyncio.to_thread(self.inside, where, ask)

    async def until(self, claim: Callable[[], bool]) -> None:
        """Wait until a claim holds; on failure the logs of all processes are shown."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not await asyncio.to_thread(claim):  # noqa: ASYNC110  nothing sets an Event
                    await asyncio.sleep(0.05)
        except TimeoutError:
            logs = "".join(f.read_text()[-3000:] for f in sorted(self.folder.glob("*.log")))
            raise AssertionError(f"it did not come about\n{logs}") from None

    async def until_answered(self, url: str, status: int = 200) -> Json:
        """Ask until the answer has the status; return its body."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                got, body = await self.get(url)
                if got == status:
                    return body
                await asyncio.sleep(0.05)

    def ip(self, where: str, *arguments: str) -> str:
        """Return what iproute2 says in a namespace."""
        return ip("-n", self.prefix + where, *arguments)

    def ready(self, service: str = "web") -> set[tuple[str, bool, bool]]:
        """Return the endpoints of the IPv4 slices: address, ready, terminating."""
        return {
            (e["addresses"][0], e["conditions"]["ready"], e["conditions"]["terminating"])
            for each in self.store.objects("endpointslices.discovery.k8s.io")
            if each["metadata"]["labels"].get("kubernetes.io/service-name") == service
            and each["addressType"] == "IPv4"
            for e in each["endpoints"] or ()
        }


def service(name: str = "web", **spec: Any) -> Json:
    """Return a dual-stack Service on node ports 30080 (HTTP) and 30053 (UDP)."""
    ports = [
        {"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080},
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": "dns", "nodePort": 30053},
    ]
    usual = {
        "type": "LoadBalancer",
        "selector": {"app": "web"},
        "ipFamilyPolicy": "RequireDualStack",
        "ports": ports,
    }
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": usual | spec}


def ip(*arguments: str) -> str:
    """Run iproute2, and return what it says."""
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


@contextlib.contextmanager
def network(prefix: str) -> Generator[None]:
    """Make the namespaces, and move this thread into that of the bridge."""
    names = [prefix + each for each in ("sw", "n1", "n2", "ext", "p1", "p2", "p3")]
    with Path("/proc/thread-self/ns/net").open("rb") as outside:
        try:
            for name in names:
                ip("netns", "add", name)
                ip("-n", name, "link", "set", "lo", "up")
            switch = prefix + "sw"
            ip("-n", switch, "link", "add", "br0", "type", "bridge")
            ip("-n", switch, "link", "set", "br0", "up")
            ip("-n", switch, "address", "add", f"{API}/24", "dev", "br0")
            for who, last in (("n1", 11), ("n2", 12), ("ext", 100)):
                _join(switch, prefix + who, who, last)
            netns.setns(switch)
            yield
        finally:
            netns.setns(outside.fileno())
            for name in names:
                subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@contextlib.asynccontextmanager
async def lab(prefix: str) -> AsyncGenerator[Lab]:
    """Serve the API with two nodes in it; end every process at the end."""
    with tempfile.TemporaryDirectory(prefix="oh-node-") as folder:  # short: BIRD's socket is in it
        async with serve(Store(), API) as server:
            made = Lab(server, prefix, Path(folder))
            _fill(made)
            try:
                yield made
            finally:
                await asyncio.to_thread(_end, made.processes)


def _fill(made: Lab) -> None:
    made.put(
        *definitions(),
        bgp_configuration(),
        ip_pool("v4", "10.244.0.0/16", block_size=26),
        ip_pool("v6", "fd00:244::/48", block_size=122),
    )
    for number in (1, 2):
        made.put(
            block_affinity(f"node{number}", f"10.244.{number}.0/26"),
            block_affinity(f"node{number}", f"fd00:244:{number}::/122"),
            node_object(
                f"node{number}",
                addresses=[f"10.111.0.1{number}/24", f"fd00:111::1{number}/64"],
                zone=f"zone{number}",
            ),
        )


def _join(switch: str, name: str, port: str, last: int) -> None:
    peer = ("peer", "name", "eth0", "netns", name)
    ip("-n", switch, "link", "add", port, "type", "veth", *peer)
    ip("-n", switch, "link", "set", port, "master", "br0", "up")
    ip("-n", name, "link", "set", "eth0", "up")
    ip("-n", name, "address", "add", f"10.111.0.{last}/24", "dev", "eth0")
    ip("-n", name, "address", "add", f"fd00:111::{last}/64", "dev", "eth0", "nodad")


def _make_pod_network(node: str, pod: str, link: str, addresses: tuple[str, str]) -> None:
    v4, v6 = addresses
    ip("-n", node, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pod)
    ip("-n", node, "link", "set", link, "address", "ee:ee:ee:ee:ee:ee", "up")
    ip("-n", pod, "link", "set", "eth0", "up")
    for family, address, gateway in (("-4", v4, "169.254.1.1"), ("-6", v6, "fe80::1")):
        ip("-n", node, family, "route", "add", address, "dev", link)
        length = "32" if family == "-4" else "128"
        ip("-n", pod, "address", "add", f"{address}/{length}", "dev", "eth0", "nodad")
        to = ("lladdr", "ee:ee:ee:ee:ee:ee", "nud", "permanent", "dev", "eth0")
        ip("-n", pod, "neighbour", "replace", gateway, *to)
        via = ("default", "via", gateway, "dev", "eth0", "onlink")
        ip("-n", pod, family, "route", "add", *via)


def _end(processes: "list[subprocess.Popen[str]]") -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def prefix_of_this_run() -> str:
    """Return what the names of this process's namespaces begin with."""
    return f"oh-node-{os.getpid()}-"
