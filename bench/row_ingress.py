"""Ingress row: from a new Ingress to its first 200, as gateway-api-bench's probe measures it.

One at a time, each with a host name of its own, two header filters, a rule that leads to its
Service and one that leads nowhere; asked every 5 ms. A 404 means "not yet"; anything else that
is not 200 is an error: a route that came before its endpoints, for one. Harder than there: each
Service, though it exists, has had no route before, so each Ingress makes a pool. The floor makes
the same pool and host, but no filters.
"""

import time
from typing import Final

import msgspec

from bench import shop
from bench.child import ChildFailed, Told, until
from bench.namespace import FLOOR_VIP, PRODUCT_VIP
from bench.orders import Open
from bench.probe import Probe, status_of
from bench.row import MS, Figures, Row, Target, quantile
from bench.world import Size, World

EVERY_S: Final = 0.005
_DEADLINE_S: Final = 10.0
_BLOCK: Final = 50


class Tally(msgspec.Struct):
    """What was seen of one side."""

    orders: Told
    address: str
    latencies_s: list[float]
    errors: int = 0

    def figures(self) -> dict[str, float]:
        """Return the figures of the table."""
        return {
            "mean_ms": sum(self.latencies_s) / len(self.latencies_s) * MS,
            "p99_ms": quantile(self.latencies_s, 0.99) * MS,
            "max_ms": max(self.latencies_s) * MS,
            "errors": self.errors,
        }


def measure(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Open hosts, by turns at the product and at the floor."""
    _ = world.product
    product = Tally(world.api, PRODUCT_VIP, [])
    floor = Tally(world.floor, FLOOR_VIP, [])
    for tally in (product, floor):  # the first one brings the listener
        tally.orders.ask(Open(0))
        until(
            lambda to=tally.address: status_of(to, shop.host(0), "/0") == 200, 30, "the first host"
        )
    count = 50 if quick else world.size.services
    for start in range(1, count, _BLOCK):
        for tally in (product, floor):
            with Probe(tally.address) as probe:
                for number in range(start, min(start + _BLOCK, count)):
                    tally.latencies_s.append(_open(tally, probe, number))
    at_the_end = {
        name: round(sum(tally.latencies_s[-100:]) / len(tally.latencies_s[-100:]) * MS, 1)
        for name, tally in (("product", product), ("floor", floor))
    }
    return Figures(
        product=product.figures(),
        floor=floor.figures(),
        notes={"ingresses": count - 1, "mean_ms_of_last_100": at_the_end},
    )


def _open(tally: Tally, probe: Probe, number: int) -> float:
    host, path = shop.host(number), f"/{number}"
    tally.orders.order(Open(number))
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        asked = time.monotonic()
        answer = probe.ask(host, path)
        if answer.status == 200:
            began: float = tally.orders.reply()["at"]
            return time.monotonic() - began
        if answer.status != 404:
            tally.errors += 1
        if asked > deadline:
            raise ChildFailed(f"{host} is not served after {_DEADLINE_S:g} s")
        time.sleep(max(0.0, asked + EVERY_S - time.monotonic()))


ROWS: Final = (
    Row(
        name="ingress",
        what="new Ingress to first 200, 3,000 one at a time",
        measure=measure,
        size=Size(3_000, 1, routed=False),
        quick_size=Size(50, 1, routed=False),
        targets=(Target("mean_ms", 20), Target("max_ms", 75), Target("errors", 0)),
    ),
)
