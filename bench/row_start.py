"""Start rows: from `onehop run` to the last host served, and what it then weighs.

Nothing is remembered from an earlier life. The clock starts before the process does, so the
interpreter, its imports, the lists and Envoy's own start are in it. A sample of hosts, the last one
of each list included, is asked every 5 ms; then every host once: one that is not served spoils the
run.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from bench import shop
from bench.child import ChildFailed, resident_mib
from bench.namespace import FLOOR_VIP, PRODUCT_VIP
from bench.probe import Probe
from bench.row import Figures, Row, Target
from bench.world import Size, World

_DEADLINE_S: Final = 120.0
_SAMPLE: Final = 20


def measure_start(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Start product and floor by turns, and take the medians."""
    _ = world.api
    world.stop_serving()
    rounds = 1 if quick else 5
    taken: dict[str, list[float]] = {"product": [], "floor": []}
    for _ in range(rounds):
        taken["product"].append(_start(world, world.started_product, PRODUCT_VIP))
        world.wait_quiet()
        taken["floor"].append(_start(world, world.started_floor, FLOOR_VIP))
    return Figures(
        product={"start_s": statistics.median(taken["product"])},
        floor={"start_s": statistics.median(taken["floor"])},
        notes={name: [round(each, 2) for each in values] for name, values in taken.items()},
    )


def _start(world: World, start: Callable[[], AbstractContextManager[Any]], address: str) -> float:
    count = world.size.services
    sample = sorted({count * place // _SAMPLE for place in range(_SAMPLE)} | {count - 1})
    began = time.monotonic()
    with start(), Probe(address) as probe:
        while sample:
            if probe.ask(shop.host(sample[-1])).status == 200:
                sample.pop()
            else:
                time.sleep(0.005)
            if time.monotonic() - began > _DEADLINE_S:
                raise ChildFailed(f"{shop.host(sample[-1])} is not served; see the product's log")
        took = time.monotonic() - began
        bad = [n for n in range(count) if probe.ask(shop.host(n)).status != 200]
        if bad:
            raise ChildFailed(f"{len(bad)} hosts are not served, {shop.host(bad[0])} among them")
        return took


def measure_memory(world: World, quick: bool) -> Figures:  # noqa: ARG001, FBT001  a row's signature
    """Weigh a product that serves, has written all status and is idle."""
    product = world.product
    world.wait_quiet()
    return Figures(
        product={"controller_mib": resident_mib(product.pid)},
        notes={"envoy_mib": round(resident_mib(product.proxy_pid))},
    )


ROWS: Final = (
    Row(
        name="start-small",
        what="cold start to the last host served, 1k / 10k",
        measure=measure_start,
        size=Size(1_000, 10),
        quick_size=Size(50, 10),
        targets=(Target("start_s", 1.5),),
    ),
    Row(
        name="memory-small",
        what="controller memory at 1k / 10k",
        measure=measure_memory,
        size=Size(1_000, 10),
        quick_size=Size(50, 10),
        targets=(Target("controller_mib", 120),),
    ),
    Row(
        name="start-large",
        what="cold start to the last host served, 10k / 100k",
        measure=measure_start,
        size=Size(10_000, 10),
        quick_size=Size(50, 10),
        targets=(Target("start_s", 5),),
    ),
    Row(
        name="memory-large",
        what="controller memory at 10k / 100k",
        measure=measure_memory,
        size=Size(10_000, 10),
        quick_size=Size(50, 10),
        targets=(Target("controller_mib", 350),),
    ),
)
