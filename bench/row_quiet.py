"""Rows about doing nothing: what costs no client anything should cost us as little.

* relist: all watches end in 410, everything is listed again, nothing has changed.
* foreign: ten thousand Ingresses of another controller's class are there, and are being edited.
"""

import time
from typing import Final

from bench.child import ChildFailed, cpu_s, until
from bench.orders import Calm, ChurnForeign, Counts, Foreign, Relist
from bench.row import MS, Figures, Row, Target
from bench.world import Size, World, data_plane, metric

_LAG: Final = "onehop_event_loop_lag_seconds"
_LAG_FORGETS_S: Final = 130.0
"""The gauge shows the worst of the last minute or two; the start has to fall out of it first."""

_LISTED_KINDS: Final = 3
_EDITS_PER_S: Final = 20


def measure_relist(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Force a relist, and count processor time, bytes to Envoy and the event loop's lateness."""
    product = world.product
    before_ms = _rested_lag_ms(quick=quick)
    watches = world.api.ask(Counts())["watches"]
    bytes_before, cpu_before = _sent_bytes(world), cpu_s(product.pid)
    began = time.monotonic()
    world.api.ask(Relist())
    # Each kind's watch is refused once, and begins anew after the list.
    until(
        lambda: world.api.ask(Counts())["watches"] >= watches + 2 * _LISTED_KINDS,
        60,
        "the relist",
        every_s=0.05,
    )
    took_s = time.monotonic() - began
    time.sleep(1.0)
    return Figures(
        product={
            "cpu_s": cpu_s(product.pid) - cpu_before,
            "xds_bytes": _sent_bytes(world) - bytes_before,
            "lag_ms": metric(_LAG) * MS,
        },
        notes={"took_s": round(took_s, 2), "lag_ms_before": round(before_ms, 1)},
    )


def _rested_lag_ms(*, quick: bool) -> float:
    """Wait until the gauge has forgotten the start, and return what it says then."""
    deadline = time.monotonic() + (0 if quick else _LAG_FORGETS_S)
    while metric(_LAG) > 0.01 and time.monotonic() < deadline:
        time.sleep(1.0)
    return metric(_LAG) * MS


def _sent_bytes(world: World) -> int:
    said = data_plane(world)
    if "sent_bytes" not in said:
        raise ChildFailed("the driver does not say how many bytes it has sent")
    return int(said["sent_bytes"])


def measure_foreign(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Let others' objects be, and be edited."""
    product, api = world.product, world.api
    count, lasts_s = (100, 2.0) if quick else (10_000, 20.0)
    alone = _percent(product.pid, lasts_s)
    api.ask(Foreign(count))
    world.wait_quiet()
    writes = _writes(world)
    idle = _percent(product.pid, lasts_s)
    api.ask(ChurnForeign(_EDITS_PER_S, count))
    edited = _percent(product.pid, lasts_s)
    edits = api.ask(Calm())["changes"]
    return Figures(
        product={
            "alone_cpu_percent": alone,
            "idle_cpu_percent": idle,
            "edited_cpu_percent": edited,
            "writes": _writes(world) - writes,
        },
        notes={"objects": count, "edits": edits},
    )


def _percent(pid: int, lasts_s: float) -> float:
    """Return how much of one processor a process uses, over some time."""
    began, before = time.monotonic(), cpu_s(pid)
    time.sleep(lasts_s)
    return (cpu_s(pid) - before) / (time.monotonic() - began) * 100


def _writes(world: World) -> int:
    """Return how many writes there have been, but for the renewals of our own Lease."""
    counts = world.api.ask(Counts())
    return int(counts["writes"] - counts["leases"])


ROWS: Final = (
    Row(
        name="relist",
        what="forced relist without change at 100k endpoints",
        measure=measure_relist,
        size=Size(10_000, 10),
        quick_size=Size(50, 10),
        targets=(Target("cpu_s", 0.6), Target("xds_bytes", 0), Target("lag_ms", 20)),
    ),
    Row(
        name="foreign",
        what="10k objects of another class, untouched and edited 20 times a second",
        measure=measure_foreign,
        size=Size(1_000, 10),
        quick_size=Size(50, 10),
        targets=(Target("idle_cpu_percent", 2), Target("writes", 0)),
    ),
)
