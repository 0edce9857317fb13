"""Edit row: an Ingress is edited 20 times a second under 2,000 requests a second; none may fail.

The edits go round: backend, header filter, order of the rules, weight, host name. An Ingress knows
no weights; what stands for them is the number of Pods, which is what shares the requests out.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from typing import Final

from bench import shop
from bench.child import ChildFailed, Told
from bench.namespace import PRODUCT_VIP
from bench.orders import Put
from bench.row import Figures, Row, Target
from bench.world import Size, World

EDITS_PER_S: Final = 20
REQUESTS_PER_S: Final = 2000
_PODS: Final = 3


def measure(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Edit while requests keep coming."""
    _ = world.product
    lasts_s = 3 if quick else 30
    arguments = (PRODUCT_VIP, shop.host(0), "/", str(REQUESTS_PER_S), str(lasts_s))
    command = (sys.executable, "-m", "bench.load", *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as load:
        try:
            edits = _edit(world.api, load)
            said, _ = load.communicate(timeout=30)
        finally:
            load.kill()
    if load.returncode != 0:
        raise ChildFailed(f"the load ended with {load.returncode}")
    seen = json.loads(said)
    return Figures(
        product={
            "failed": sum(seen["failures"].values()),
            **{name: seen[name] for name in ("p50_ms", "p99_ms", "max_ms")},
        },
        notes={
            "edits": edits,
            **{name: seen[name] for name in ("requests", "failures", "backends")},
        },
    )


def _edit(api: Told, load: subprocess.Popen[bytes]) -> int:
    """Make an edit when it is due until the load has ended; return how many there were."""
    began = time.monotonic()
    edits = 0
    for obj in _edited():
        if load.poll() is not None:
            break
        api.ask(Put(obj))
        edits += 1
        time.sleep(max(0.0, began + edits / EDITS_PER_S - time.monotonic()))
    return edits


def _edited() -> Iterator[shop.Json]:
    """Yield objects that differ from the ones before in one thing each."""
    backend, order, pods, name = 0, 0, _PODS, 0
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
        pods = pods % _PODS + 1
        yield shop.endpoint_slice(backend, pods)
        name = turn
        yield edited()


ROWS: Final = (
    Row(
        name="edits",
        what="edits at 20/s under 2,000 requests/s, open loop",
        measure=measure,
        size=Size(20, _PODS),
        quick_size=Size(20, _PODS),
        targets=(Target("failed", 0),),
    ),
)
