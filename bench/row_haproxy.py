"""Rows of other files, with HAProxy as the data plane."""

from typing import Final

from bench import row_endpoint, row_throughput
from bench.row import Row, Target
from bench.world import Size

DRIVER: Final = "haproxy"
_QUICK: Final = Size(20, 3, driver=DRIVER)

ROWS: Final = (
    Row(
        name="haproxy-endpoint",
        what="endpoint change to first request on the new Pod by HAProxy, 1k Services / 10k",
        measure=row_endpoint.measure_calm,
        size=Size(1_000, 10, driver=DRIVER),
        quick_size=_QUICK,
        targets=(Target("p50_ms", 6),),
        within=(Target("p50_ms", 3.0),),
    ),
    Row(
        name="haproxy-throughput",
        what="requests per CPU-second against a hand-written HAProxy configuration",
        measure=row_throughput.measure,
        size=Size(1, 1, driver=DRIVER),
        quick_size=_QUICK,
        within=(Target("per_cpu_s", 0.97, least=True),),
    ),
)
