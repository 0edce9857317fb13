"""Rows of layer 4 in the kernel: requests per CPU-second, and how long a change takes.

The first sends short connections, one request each, from a client through the load balancer to a
Pod, each a network namespace: through the product's table, and by turns through rules that a
person would write for this one Service, through HAProxy's TCP mode, and through Envoy's TCP proxy.
What the kernel does is charged to no process, so the figure is requests by what all processors were
busy with, clients and Pod included; all sides have the same of those. The second changes endpoints
in a table of its full size, and in one of a hundredth of it: a change shall cost the same.
"""

import asyncio
import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from bench.child import ChildFailed, running, until
from bench.layer4_proxies import PORTS, envoy_command, haproxy_command
from bench.row import Figures, Row, Target
from bench.row_throughput import backend_config
from bench.world import Size, World
from onehop.driver.envoy.binary import find_envoy
from onehop.driver.nftables import NftablesDriver, sweep
from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import ListenerId, ObjectRef, PoolId
from onehop.model.listener import ForwardTcp, Listener
from onehop.model.model import Change
from onehop.model.model import Row as ModelRow
from onehop.model.pool import BackendProtocol, Pool
from onehop.plan import make_plan
from tests.driver_nftables.namespace import own_namespace
from tests.driver_nftables.world import forwarding
from tests.net.crossroads import POD, VIP, Crossroads

_PODS_PORT: Final = 9090
_CONNECTIONS: Final = 16
_SIDES: Final = ("product", "floor", *PORTS)
_MEMBERS: Final = 10
_HAND_WRITTEN: Final = f"""
table ip hand {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    ip daddr {VIP[4]} tcp dport 80 dnat to numgen random mod 2 map {{
      0 : {POD[4]} . {_PODS_PORT}, 1 : {POD[4]} . {_PODS_PORT} }}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip daddr {POD[4]} tcp dport {_PODS_PORT} masquerade fully-random
  }}
}}
"""


def measure_throughput(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Let wrk ask through both tables and both proxies by turns."""
    if shutil.which("wrk") is None:
        raise ChildFailed("no wrk(1) in PATH: install the package wrk")
    rounds, lasts_s = (1, 1) if quick else (20, 2)
    requests = dict.fromkeys(_SIDES, 0)
    busy_s = dict.fromkeys(_SIDES, 0.0)
    config = world.log("pod").with_suffix(".json")
    config.write_text(json.dumps(backend_config()))
    with forwarding() as roads, contextlib.ExitStack() as stack:
        _forget_soon(roads)
        command = (*_on(roads.pod.name), str(find_envoy()), "-c", str(config))
        options = ("--concurrency", "1", "--log-level", "error", "--disable-hot-restart")
        stack.enter_context(running((*command, *options), world.log("pod")))
        until(partial(_is_up, roads, POD[4], _PODS_PORT), 20, "the Pod")
        for side, start in (("haproxy", haproxy_command), ("envoy", envoy_command)):
            command = start(config.parent, VIP[4], (POD[4], _PODS_PORT))
            stack.enter_context(running((*_on(roads.balancer.name), *command), world.log(side)))
            until(partial(_is_up, roads, VIP[4], PORTS[side]), 20, side)
        for number in range(len(_SIDES) * rounds):
            side = _SIDES[number % len(_SIDES)]
            _put_rules(roads, side)
            before = _busy_s()
            requests[side] += _wrk(roads, PORTS.get(side, 80), lasts_s)
            busy_s[side] += _busy_s() - before
            _take_rules(roads, side)
    per_cpu_s = {side: requests[side] / busy_s[side] for side in _SIDES}
    product = per_cpu_s["product"]
    others = {f"times_{side}": product / per_cpu_s[side] for side in PORTS}
    return Figures(
        product={"per_cpu_s": product, **others},
        floor={"per_cpu_s": per_cpu_s["floor"]},
        notes={f"{side}_per_cpu_s": round(per_cpu_s[side]) for side in PORTS},
    )


def measure_update(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Take an endpoint away and bring it back, in one Service after the other."""
    services, changes = (100, 50) if quick else (10_000, 1_000)
    del world  # nothing of it is needed
    with own_namespace():
        small_s, _ = asyncio.run(_update(services // 100, changes))
    with own_namespace():
        took_s, loaded_s = asyncio.run(_update(services, changes))
    took_s.sort()
    return Figures(
        product={
            "p50_ms": statistics.median(took_s) * 1000,
            "p99_ms": took_s[int(len(took_s) * 0.99)] * 1000,
        },
        notes={
            "services": services,
            "endpoints": services * _MEMBERS,
            "loaded_s": loaded_s,
            "p50_ms_of_a_hundredth": statistics.median(small_s) * 1000,
        },
    )


async def _update(services: int, changes: int) -> tuple[list[float], float]:
    driver = NftablesDriver()
    async with driver.running():
        began = time.perf_counter()
        await driver.apply(make_plan(Change(tuple(_rows(services)))))
        loaded_s = time.perf_counter() - began
        took_s: list[float] = []
        for number in range(changes):
            service = number // 2 * 7919 % services
            began = time.perf_counter()
            driver.set_endpoints(_members(service, _MEMBERS - 1 + number % 2))
            took_s.append(time.perf_counter() - began)
            await asyncio.sleep(0)
    return took_s, loaded_s


def _rows(services: int) -> Iterator[ModelRow]:
    for service in range(services):
        pool = _pool(service)
        yield pool
        yield _members(service, _MEMBERS)
        yield _listener(pool, IpAddr(f"10.200.{service >> 8}.{service & 255}"))


def _pool(service: int) -> Pool:
    name = f"service-{service}"
    return Pool(
        id=PoolId(f"bench/{name}:80"),
        service=ObjectRef("Service", "bench", name),
        port=80,
        protocol=BackendProtocol.TCP,
    )


def _members(service: int, count: int) -> PoolEndpoints:
    first = service * _MEMBERS
    numbers = range(first, first + count)
    addresses = (f"10.{100 + (n >> 16)}.{n >> 8 & 255}.{n & 255}" for n in numbers)
    endpoints = (Endpoint(address=IpAddr(address), port=8080) for address in addresses)
    return PoolEndpoints(_pool(service).id, tuple(endpoints))


def _listener(pool: Pool, address: IpAddr) -> Listener:
    handler = ForwardTcp(pool=pool.id)
    return Listener(
        id=ListenerId(f"{pool.id}@{address}"),
        owner=None,
        address=address,
        port=80,
        handler=handler,
    )


def _put_rules(roads: Crossroads, side: str) -> None:
    if side in PORTS:
        return
    if side == "floor":
        command = (*_on(roads.balancer.name), "nft", "-f", "-")
        subprocess.run(command, input=_HAND_WRITTEN, text=True, check=True)
        return
    pool = _pool(0)
    members = PoolEndpoints(pool.id, (Endpoint(address=POD[4], port=_PODS_PORT),))

    async def serve() -> None:
        driver = NftablesDriver()
        async with driver.running():
            await driver.apply(make_plan(Change((pool, members, _listener(pool, VIP[4])))))

    roads.balancer.run(serve)  # what it has put stays


def _take_rules(roads: Crossroads, side: str) -> None:
    if side in PORTS:
        return
    if side == "floor":
        roads.nft("delete", "table", "ip", "hand")
    else:
        roads.balancer.run(sweep)


def _forget_soon(roads: Crossroads) -> None:
    """Have ended connections forgotten at once: there are more of them than ports in a minute."""
    settings = {
        "/proc/sys/net/ipv4/tcp_max_tw_buckets": "0",
        "/proc/sys/net/ipv4/ip_local_port_range": "1024 65535",
        "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait": "1",
        "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close": "1",
    }
    for machine in roads:
        for file, value in settings.items():
            machine.do(partial(Path(file).write_text, value))


def _is_up(roads: Crossroads, address: IpAddr, port: int) -> bool:
    def connect() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((address, port)):
            return True
        return False

    return roads.client.do(connect)


def _wrk(roads: Crossroads, port: int, lasts_s: int) -> int:
    """Return how many requests were answered."""
    options = ("-t1", f"-c{_CONNECTIONS}", f"-d{lasts_s}s", "-H", "Connection: close")
    command = (*_on(roads.client.name), "wrk", *options, f"http://{VIP[4]}:{port}/")
    said = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=lasts_s + 30
    ).stdout
    line = next(line for line in said.splitlines() if " requests in " in line)
    return int(line.split()[0])


def _busy_s() -> float:
    """Return what all processors have worked since the machine started (proc_stat(5))."""
    first = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system, _, _, irq, softirq = map(int, first[1:8])
    return (user + nice + system + irq + softirq) / 100


def _on(machine: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", machine)


ROWS: Final = (
    Row(
        name="l4-throughput",
        what="requests per CPU-second by nftables against hand-written rules, one per connection",
        measure=measure_throughput,
        size=Size(1, 1),
        quick_size=Size(1, 1),
        targets=(
            Target("times_haproxy", 1.3, least=True),
            Target("times_envoy", 1.7, least=True),
        ),
        within=(Target("per_cpu_s", 0.95, least=True),),
    ),
    Row(
        name="l4-update",
        what="an endpoint change in the kernel at 10,000 Services with 100,000 endpoints",
        measure=measure_update,
        size=Size(1, 1),
        quick_size=Size(1, 1),
        targets=(Target("p50_ms", 5.0),),
    ),
)
