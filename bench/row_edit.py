"""Edit row: an Ingress is edited 20 times a second under 2,000 requests a second; none may fail.

The edits go round: backend, header filter, order of the rules, weight, host name. An Ingress knows
no weights; what stands for them is the number of Pods, which is what shares the requests out.
`unsent` is what the machine was too busy for: all connections of the client waited for answers.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from itertools import count
from typing import Any, Final, TypeVar

from bench import shop
from bench.child import ChildFailed
from bench.load import UNSENT
from bench.namespace import PRODUCT_VIP
from bench.orders import Put
from bench.row import Figures, Row, Target
from bench.world import Size, World

T = TypeVar("T")

EDITS_PER_S: Final = 20
REQUESTS_PER_S: Final = 2000
PODS: Final = 3


def measure(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Edit while requests keep coming."""
    return under_load(world, _edited(), quick=quick)


def under_load(world: World, edited: Iterable[shop.Json], *, quick: bool) -> Figures:
    """Put one edited object after another while requests keep coming."""
    _ = world.product
    with loaded(REQUESTS_PER_S, 3 if quick else 30) as load:
        edits = 0
        for obj in paced(edited, EDITS_PER_S):
            if load.is_over():
                break
            world.api.ask(Put(obj))
            edits += 1
        return load.figures({"edits": edits})


class Load:
    """Requests that are being sent to the product's first host, by a process of their own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def is_over(self) -> bool:
        """Tell whether the last one has been answered."""
        return self._process.poll() is not None

    def figures(self, notes: dict[str, Any], **more: float) -> Figures:
        """Wait for the end, and return what was seen.

        Args:
            notes: what else is worth knowing.
            more: other figures of the product.
        """
        said, _ = self._process.communicate(timeout=60)
        if self._process.returncode != 0:
            raise ChildFailed(f"the load ended with {self._process.returncode}")
        seen = json.loads(said)
        unsent = seen["failures"].get(UNSENT, 0)
        return Figures(
            product={
                "failed": sum(seen["failures"].values()) - unsent,
                "unsent": unsent,
                **more,
                **{name: seen[name] for name in ("p50_ms", "p99_ms", "max_ms")},
            },
            notes=notes | {name: seen[name] for name in ("requests", "failures", "backends")},
        )


@contextlib.contextmanager
def loaded(rate: float, lasts_s: float) -> Generator[Load]:
    """Send requests on a timetable; whatever has not been sent at the end of the context is not."""
    arguments = (PRODUCT_VIP, shop.host(0), "/", str(rate), str(lasts_s))
    command = (sys.executable, "-m", "bench.load", *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield Load(process)
        finally:
            process.kill()


def paced(items: Iterable[T], rate: float) -> Iterator[T]:
    """Yield each item when it is due: so many a second, counted from the first."""
    began = time.monotonic()
    for number, item in enumerate(items):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        yield item


def _edited() -> Iterator[shop.Json]:
    """Yield objects that differ from the ones before in one thing each."""
    backend, order, pods, name = 0, 0, PODS, 0
    headers: dict[str, str] = {}

    def edited() -> shop.Json:
        paths = [shop.path("/", backend), shop.path("/elsewhere", 2)]
        obj = shop.ingress(0, paths=paths[::-1] if order else paths, annotations=headers)
        other = {"host": f"other-{name}.example.com", "http": {"paths": [shop.path("/", 3)]}}
        obj["spec"]["rules"].append(other)
        return obj

    for turn in count():
        backend = 1 - backend
        yield edited()
        headers = {"onehop.dev/response-headers-set": f"x-turn: {turn}"}
        yield edited()
        order = 1 - order
        yield edited()
        pods = pods % PODS + 1
        yield shop.endpoint_slice(backend, pods)
        name = turn
        yield edited()


ROWS: Final = (
    Row(
        name="edits",
        what="edits at 20/s under 2,000 requests/s, open loop",
        measure=measure,
        size=Size(20, PODS),
        quick_size=Size(20, PODS),
        targets=(Target("failed", 0), Target("unsent", 0)),
    ),
)
