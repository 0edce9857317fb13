"""`python -m bench.api KUBECONFIG`: the in-memory Kubernetes API, in a process of its own.

Changes are made in this process and not over HTTP, so that no API server's write path is measured.
`at` in a reply is taken when the store has handed the event to its watchers: encoding it and
writing it to the socket still lie ahead, and count against the product.
"""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any, assert_never

import msgspec

from bench import gateway, shop
from bench.orders import (
    Attach,
    Attached,
    Calm,
    Churn,
    ChurnForeign,
    Counts,
    Detach,
    Foreign,
    Load,
    Move,
    Open,
    Order,
    Put,
    Relist,
)
from onehop.lab.api import Server, Store, put, read, remove, serve
from onehop.lab.api.faults import Gone
from onehop.lab.api.kind.gateway_crd import gateway_definitions
from onehop.telemetry.log import configure_logging

_HTTP_ROUTES = "httproutes.gateway.networking.k8s.io"
_WATCHED = ("services", "endpointslices.discovery.k8s.io", "ingresses.networking.k8s.io")


class Double:
    """Carries out orders on a running API."""

    def __init__(self, server: Server, tasks: asyncio.TaskGroup) -> None:
        self._server = server
        self._store = server.store
        self._tasks = tasks
        self._endpoints = 0
        self._is_gateway = False
        self._churn: asyncio.Task[None] | None = None
        self._churned = 0

    def obey(self, order: Order) -> dict[str, Any]:  # noqa: C901, PLR0912  one case for each order
        """Carry out an order, and return the reply."""
        match order:
            case Load():
                self._load(order)
            case Move(number=number, side=side):
                self._put(shop.endpoint_slice(number, self._endpoints, side))
                return {"at": time.monotonic()}
            case Open(number=number):
                probed = gateway.probed_route if self._is_gateway else shop.probed_ingress
                self._put(probed(number))
                return {"at": time.monotonic()}
            case Put(object=obj):
                self._put(obj)
                return {"at": time.monotonic()}
            case Churn(rate=rate, first=first, last=last):
                moves = ((number, side) for side in cycle((1, 0)) for number in range(first, last))
                self._begin(rate, lambda: self._move(*next(moves)))
            case Attach(first=first, last=last):
                for number in range(first, last):
                    self._put_route(number)
                return {"at": time.monotonic()}
            case Detach(first=first, last=last):
                for number in range(first, last):
                    name = gateway.route(number)["metadata"]["name"]
                    remove(self._store, _HTTP_ROUTES, shop.NAMESPACE, name)
                return {"at": time.monotonic()}
            case Foreign(count=count):
                self._put(shop.FOREIGN_CLASS)
                for number in range(count):
                    self._put_foreign(number, 0)
            case ChurnForeign(rate=rate, count=count):
                edits = ((number, turn) for turn in cycle((1, 0)) for number in range(count))
                self._begin(rate, lambda: self._put_foreign(*next(edits)))
            case Calm():
                return {"changes": self._calm()}
            case Relist():
                cut = self._server.cut_watches()
                self._server.faults.arm(Gone(), verbs={"watch"}, times=cut)
            case Counts():
                return self._counts()
            case Attached():
                return self._attached()
            case _:
                assert_never(order)
        return {}

    def _load(self, order: Load) -> None:
        self._endpoints = order.endpoints
        self._put(shop.OWN_NAMESPACE)
        self._put(shop.CLASS)
        self._is_gateway = order.api == "gateway"
        if self._is_gateway:
            for obj in (*gateway_definitions(), *gateway.classes()):
                self._put(obj)
        for number in range(order.services):
            self._put(shop.service(number))
            self._put(shop.endpoint_slice(number, order.endpoints))
            if order.routed:
                self._put_route(number)
        gc.collect()
        gc.freeze()  # our own collections would show as pauses of the product

    def _put(self, obj: shop.Json) -> None:
        put(self._store, obj)

    def _put_route(self, number: int) -> None:
        self._put(gateway.route(number) if self._is_gateway else shop.ingress(number))

    def _move(self, number: int, side: int) -> None:
        self._put(shop.endpoint_slice(number, self._endpoints, side))

    def _put_foreign(self, number: int, turn: int) -> None:
        if self._is_gateway:
            self._put(gateway.foreign_route(number, turn))
            return
        obj = shop.ingress(number, class_name="foreign", annotations={"turn": str(turn)})
        obj["metadata"]["name"] = f"foreign-{number}"
        self._put(obj)

    def _begin(self, rate: float, change: Callable[[], None]) -> None:
        self._calm()
        self._churn = self._tasks.create_task(self._keep_changing(rate, change))

    async def _keep_changing(self, rate: float, change: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            change()
            self._churned += 1
            due = max(due + 1 / rate, loop.time() - 1)
            await asyncio.sleep(due - loop.time())

    def _calm(self) -> int:
        if self._churn is not None:
            self._churn.cancel()
            self._churn = None
        changes, self._churned = self._churned, 0
        return changes

    def _counts(self) -> dict[str, Any]:
        requests = self._server.requests
        return {
            "lists": sum(requests.count("list", name) for name in _WATCHED),
            "watches": sum(requests.count("watch", name) for name in _WATCHED),
            "writes": requests.writes(),
            "leases": requests.writes(resource="leases.coordination.k8s.io"),
            "gateways": requests.writes(resource=gateway.STATUS),
        }

    def _attached(self) -> dict[str, Any]:
        resource = gateway.STATUS.removesuffix("/status")
        found = read(self._store, resource, shop.NAMESPACE, gateway.NAME)
        listeners = found.get("status", {}).get("listeners", [])
        return {"routes": sum(each["attachedRoutes"] for each in listeners)}


async def _run(kubeconfig: Path) -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    decoder: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
    async with serve(Store()) as server, asyncio.TaskGroup() as tasks:
        kubeconfig.write_text(server.kubeconfig())  # noqa: ASYNC240  once, before anybody waits
        double = Double(server, tasks)
        while line := await orders.readline():
            reply = double.obey(decoder.decode(line))
            sys.stdout.write(msgspec.json.encode(reply).decode() + "\n")
            sys.stdout.flush()
        double.obey(Calm())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    configure_logging(level="warning")  # to stderr: stdout is for replies
    asyncio.run(_run(Path(sys.argv[1])))
