"""Move row: the data plane changes to and fro under new connections; none may be lost.

`onehop switch` is run as an operator runs it, again and again, between Envoy and HAProxy with two
threads each, while one client opens a connection for each request and another one keeps its
connections. `failed` and `kept_failed` are all answers that were not a whole 200, by either. The
floor is the same load on the same product while nothing changes.
"""

import json
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import shop
from bench.child import ChildFailed, until
from bench.load import UNSENT
from bench.namespace import PRODUCT_VIP
from bench.probe import status_of
from bench.row import Figures, Row, Target
from bench.world import Size, World, is_ready

_SERVICES: Final = 10
_READY_S: Final = 60.0
_SWITCH_S: Final = 60.0
_PORTS: Final = "1025 65535"
_LATENCIES: Final = ("p50_ms", "p99_ms", "max_ms")


class _Pace(msgspec.Struct, frozen=True):
    """How much of it: connections a second, kept ones' requests a second, and for how long.

    Attributes:
        room_s: a switch is begun only if the load goes on for so long at least.
    """

    rate: float
    kept_rate: float
    lasts_s: float
    calm_s: float
    room_s: float


def measure(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Have the load in peace, and then with switches."""
    pace = _Pace(100, 20, 10, 1, 8) if quick else _Pace(600, 100, 60, 10, 12)
    # A closed connection keeps its port for a minute.
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(_PORTS)
    Path("/proc/sys/net/ipv4/tcp_tw_reuse").write_text("1")
    world.stop_serving()
    _ = world.api
    planes = {"driver": "envoy", "envoy": {"concurrency": 2}, "haproxy": {"threads": 2}}
    with world.started_product(dataPlane=planes):
        until(lambda: status_of(PRODUCT_VIP, shop.host(0)) == 200, _READY_S, "the product")
        until(is_ready, _READY_S, "the product to be ready")
        with _newcomers(pace.rate, pace.calm_s) as load:
            calm = _outcome(load)
        with (
            _newcomers(pace.rate, pace.lasts_s) as load,
            _kept(pace.kept_rate, pace.lasts_s) as kept,
        ):
            switches = _switch(world, pace.lasts_s - pace.room_s)
            busy, stayed = _outcome(load), _outcome(kept)
    return Figures(
        product={
            "failed": _failed(busy),
            "kept_failed": _failed(stayed),
            "unsent": busy["failures"].get(UNSENT, 0),
            **{name: busy[name] for name in _LATENCIES},
        },
        floor={name: calm[name] for name in _LATENCIES},
        notes={
            "connections": busy["requests"],
            "kept_requests": stayed["requests"],
            "switches": len(switches),
            "switch_s": [round(each, 2) for each in switches],
            "failures": busy["failures"],
            "kept_failures": stayed["failures"],
            "failed_in_peace": _failed(calm),
        },
    )


def _switch(world: World, lasts_s: float) -> list[float]:
    """Switch to and fro until none is begun any more; return how long each took."""
    config = world.state.parent / "onehop.json"
    said = json.loads(config.read_text())
    began = time.monotonic()
    took: list[float] = []
    for name in cycle(("haproxy", "envoy")):
        at = time.monotonic()
        if at > began + lasts_s:
            return took
        said["dataPlane"]["driver"] = name
        config.write_text(json.dumps(said))
        command = (str(Path(sys.executable).parent / "onehop"), "switch", "--config", str(config))
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SWITCH_S, check=False
        )
        if done.returncode != 0:
            raise ChildFailed(f"onehop switch: {done.stdout}{done.stderr}")
        took.append(time.monotonic() - at)
    raise AssertionError("a cycle has no end")


def _newcomers(rate: float, lasts_s: float) -> subprocess.Popen[bytes]:
    return _load("bench.newcomers", PRODUCT_VIP, shop.host(0), str(rate), str(lasts_s))


def _kept(rate: float, lasts_s: float) -> subprocess.Popen[bytes]:
    return _load("bench.load", PRODUCT_VIP, shop.host(1), "/", str(rate), str(lasts_s))


def _load(module: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen((sys.executable, "-m", module, *words), stdout=subprocess.PIPE)


def _outcome(load: subprocess.Popen[bytes]) -> dict[str, Any]:
    try:
        said, _ = load.communicate(timeout=180)
    finally:
        load.kill()
    if load.returncode != 0:
        raise ChildFailed(f"the load ended with {load.returncode}")
    outcome: dict[str, Any] = json.loads(said)
    return outcome


def _failed(outcome: dict[str, Any]) -> int:
    """Return how many got no whole 200, but for those that the client was too busy to begin."""
    failures: dict[str, int] = outcome["failures"]
    return sum(failures.values()) - failures.get(UNSENT, 0)


ROWS: Final = (
    Row(
        name="move",
        what="switches between Envoy and HAProxy under 600 new connections/s, open loop",
        measure=measure,
        size=Size(_SERVICES, 3),
        quick_size=Size(_SERVICES, 3),
        targets=(Target("failed", 0), Target("kept_failed", 0), Target("unsent", 0)),
    ),
)
