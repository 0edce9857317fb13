"""`python -m bench.floor.floor DIR ENVOY VIP SERVICES ENDPOINTS`: a bare delta-ADS program.

It knows no Kubernetes, keeps no model, checks nothing and survives nothing: it pushes the resources
that the product pushes (CDS, EDS, LDS, RDS, VHDS), with the same statistics and one worker, in the
same order, with as little Python in between as the protocol allows. Whatever the product takes
longer than this is the price of being a product. It imports nothing of onehop, and does not change
when onehop does.

Orders come as lines of JSON on stdin (`bench.orders`: move, open, churn, calm).
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import deque
from itertools import cycle
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToJson

TYPE = "type.googleapis.com/"
CDS, EDS = TYPE + Cluster.DESCRIPTOR.full_name, TYPE + ClusterLoadAssignment.DESCRIPTOR.full_name
LDS, RDS = TYPE + Listener.DESCRIPTOR.full_name, TYPE + RouteConfiguration.DESCRIPTOR.full_name
VHDS = TYPE + VirtualHost.DESCRIPTOR.full_name
ROUTER = "floor"
ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}
SIDES = ("198.18", "198.19")
PORT = 8080

# The statistics of the product's bootstrap.
COUNTED = (
    r"^server\.(live|uptime|memory_allocated|memory_heap_size|total_connections|state)$",
    r"^listener\..*\.downstream_cx_(active|total|overflow|overload_reject)$",
    r"^listener\..*\.(no_filter_chain_match|ssl\.handshake|ssl\.connection_error)$",
    r"^http\..*\.downstream_(cx_active|cx_total|rq_total|rq_active|rq_[1-5]xx|rq_timeout)$",
    r"^http\..*\.rq_direct_response$",
    r"^(tcp|udp)\..*\.downstream_(cx_total|sess_active|sess_total)$",
    r"^cluster_manager\.(active_clusters|warming_clusters|update_failure)$",
    r"^listener_manager\.(total_listeners_active|total_listeners_draining|lds\.update_rejected)$",
    r"^control_plane\.connected_state$",
    r"^overload\..*\.(active|scale_percent|pressure)$",
    r"^cluster\..*\.upstream_(rq_total|rq_5xx|cx_connect_fail|cx_active)$",
)


def packed(message: Any) -> AnyMessage:
    """Return a message as an Any."""
    value = message.SerializeToString()
    return AnyMessage(type_url=TYPE + message.DESCRIPTOR.full_name, value=value)


def cluster(number: int) -> Any:
    """Return the pool of a Service."""
    return Cluster(
        name=f"app-{number}",
        type="EDS",
        eds_cluster_config={"eds_config": ADS},
        connect_timeout={"seconds": 5},
        lb_policy="LEAST_REQUEST",
    )


def assignment(number: int, count: int, side: int) -> Any:
    """Return a Service's Pods on one side: the same addresses as `bench.shop`."""
    message = ClusterLoadAssignment(cluster_name=f"app-{number}")
    locality = message.endpoints.add()
    for place in range(number * count, (number + 1) * count):
        socket = locality.lb_endpoints.add().endpoint.address.socket_address
        socket.address = f"{SIDES[side]}.{(place >> 8) & 255}.{place & 255}"
        socket.port_value = PORT
    return message


def host(number: int) -> Any:
    """Return a Service's virtual host."""
    name = f"{number}-route.example.com"
    route = {"match": {"prefix": "/"}, "route": {"cluster": f"app-{number}"}}
    return VirtualHost(name=name, domains=[name], routes=[route])


def listener(address: str) -> Any:
    """Return the one listener."""
    manager = hcm.HttpConnectionManager(
        stat_prefix=ROUTER,
        rds={"route_config_name": ROUTER, "config_source": ADS},
        http_filters=[{"name": "router", "typed_config": packed(Router())}],
    )
    chain = {"filters": [{"name": "http", "typed_config": packed(manager)}]}
    socket = {"socket_address": {"address": address, "port_value": 80}}
    return Listener(name="http", address=socket, filter_chains=[chain])


def bootstrap(folder: Path) -> Any:
    """Return what Envoy starts with."""
    pipe = {"pipe": {"path": str(folder / "xds.sock")}}
    http2 = HttpProtocolOptions(explicit_http_config={"http2_protocol_options": {}})
    xds = {
        "name": "xds",
        "type": "STATIC",
        "connect_timeout": {"seconds": 1},
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": pipe}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": packed(http2)
        },
    }
    return Bootstrap(
        node={"id": "floor", "cluster": "floor"},
        static_resources={"clusters": [xds]},
        dynamic_resources={
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "cds_config": ADS,
            "lds_config": ADS,
        },
        stats_config={
            "stats_matcher": {
                "inclusion_list": {"patterns": [{"safe_regex": {"regex": r}} for r in COUNTED]}
            }
        },
        deferred_stat_options={"enable_deferred_creation_stats": True},
    )


class Floor:
    """What is served, and the stream that says so."""

    def __init__(self, vip: str, services: int, endpoints: int) -> None:
        self.vip = vip
        self.services = services
        self.endpoints = endpoints
        self.outbox: deque[Any] = deque()
        self.wake = asyncio.Event()
        self.acked: set[str] = set()
        self.progress = asyncio.Event()
        self.answered: set[str] = set()
        self.version = 0
        self.churn: asyncio.Task[None] | None = None
        self.churned = 0

    def push(self, type_: str, resources: dict[str, Any]) -> str:
        """Queue a response, and return its nonce."""
        self.version += 1
        nonce = str(self.version)
        response = DeltaDiscoveryResponse(type_url=type_, nonce=nonce)
        for name, message in resources.items():
            entry = response.resources.add(name=name, version=nonce)
            entry.resource.type_url = type_
            entry.resource.value = message.SerializeToString()
        self.outbox.append(response)
        self.wake.set()
        return nonce

    async def acknowledged(self, nonce: str) -> None:
        """Wait until Envoy has answered a response."""
        while nonce not in self.acked:
            self.progress.clear()
            await self.progress.wait()

    async def stream(self, requests: Any, context: Any) -> None:
        """Serve Envoy's one stream."""
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._write(context))
            async for request in requests:
                self._take(request)
            writer.cancel()

    async def _write(self, context: Any) -> None:
        while True:
            while self.outbox:
                await context.write(self.outbox.popleft())
            self.wake.clear()
            await self.wake.wait()

    def _take(self, request: Any) -> None:
        if request.response_nonce:
            assert not request.error_detail.message, request.error_detail.message
            self.acked.add(request.response_nonce)
            self.progress.set()
        type_ = request.type_url
        if type_ == EDS and request.resource_names_subscribe:
            wanted = request.resource_names_subscribe
            numbers = (int(name.removeprefix("app-")) for name in wanted)
            self.push(EDS, {f"app-{n}": assignment(n, self.endpoints, 0) for n in numbers})
        elif type_ == RDS and request.resource_names_subscribe:
            vhds = {"config_source": ADS}
            self.push(RDS, {ROUTER: RouteConfiguration(name=ROUTER, vhds=vhds)})
        elif type_ in {CDS, LDS, VHDS} and type_ not in self.answered:
            self.answered.add(type_)
            self.push(type_, self._everything(type_))

    def _everything(self, type_: str) -> dict[str, Any]:
        numbers = range(self.services)
        if type_ == CDS:
            return {f"app-{number}": cluster(number) for number in numbers}
        if type_ == LDS:
            return {"http": listener(self.vip)}
        return {f"{ROUTER}/{(one := host(number)).name}": one for number in numbers}

    def move(self, number: int, side: int) -> None:
        """Replace all Pods of a Service."""
        self.push(EDS, {f"app-{number}": assignment(number, self.endpoints, side)})

    async def open(self, number: int) -> None:
        """Make a new pool, and when Envoy has it, a new host that leads to it."""
        await self.acknowledged(self.push(CDS, {f"app-{number}": cluster(number)}))
        one = host(number)
        self.push(VHDS, {f"{ROUTER}/{one.name}": one})

    async def keep_moving(self, rate: float, first: int, last: int) -> None:
        """Move Services round and round."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        for side in cycle((1, 0)):
            for number in range(first, last):
                self.move(number, side)
                self.churned += 1
                due = max(due + 1 / rate, loop.time() - 1)
                await asyncio.sleep(due - loop.time())

    def obey(self, order: dict[str, Any], tasks: asyncio.TaskGroup) -> dict[str, Any]:
        """Carry out an order, and return the reply."""
        now = time.monotonic()
        match order["do"]:
            case "move":
                self.move(order["number"], order["side"])
                return {"at": now}
            case "open":
                tasks.create_task(self.open(order["number"]))
                return {"at": now}
            case "churn":
                moving = self.keep_moving(order["rate"], order["first"], order["last"])
                self.churn = tasks.create_task(moving)
            case "calm":
                if self.churn is not None:
                    self.churn.cancel()
                    self.churn = None
                churned, self.churned = self.churned, 0
                return {"changes": churned}
        return {}


async def run(folder: Path, envoy: str, floor: Floor) -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    server = grpc.aio.server(options=[("grpc.max_send_message_length", -1)])
    handler = grpc.stream_stream_rpc_method_handler(
        floor.stream,
        request_deserializer=DeltaDiscoveryRequest.FromString,
        response_serializer=DeltaDiscoveryResponse.SerializeToString,
    )
    name = "envoy.service.discovery.v3.AggregatedDiscoveryService"
    service = grpc.method_handlers_generic_handler(name, {"DeltaAggregatedResources": handler})
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"unix:{folder / 'xds.sock'}")
    await server.start()
    config = folder / "bootstrap.json"
    config.write_text(MessageToJson(bootstrap(folder)))
    arguments = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "error")
    child = await asyncio.create_subprocess_exec(
        "setpriv", "--pdeathsig", "KILL", "--", envoy, "-c", str(config), *arguments,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    try:
        async with asyncio.TaskGroup() as tasks:
            while line := await orders.readline():
                reply = floor.obey(json.loads(line), tasks)
                sys.stdout.write(json.dumps(reply) + "\n")
                sys.stdout.flush()
            floor.obey({"do": "calm"}, tasks)
    finally:
        child.kill()
        await child.wait()
        await server.stop(None)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Envoy goes with us: --pdeathsig
    at, binary, address, number_of_services, endpoints_each = sys.argv[1:]
    asyncio.run(run(Path(at), binary, Floor(address, int(number_of_services), int(endpoints_each))))
