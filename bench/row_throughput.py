"""Throughput rows: requests per CPU-second through the product's proxy and a hand-written one.

Both are the same binary with one worker, no access log and the same statistics, in front of the
same backend (a third proxy, an Envoy that answers by itself). `handwritten.yaml` and
`handwritten.cfg` have what the product's listener does for every request: clients' claims about
addresses removed and true ones added, path normalisation, header hygiene, time and size limits,
retries, and with Envoy passive health checks. They do not have what the product keeps ready until
a route asks for it: filters that are switched off, hosts with wildcards, policies of other routes.
What that costs is what these rows show. Short rounds alternate, so that what else happens on the
machine happens to both; the figures are totals.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from bench import shop
from bench.child import ChildFailed, cpu_s, running, until
from bench.haproxy import Master
from bench.namespace import HAND_VIP, PRODUCT_VIP
from bench.orders import Put
from bench.probe import Probe, status_of
from bench.row import Figures, Row, Target
from bench.world import Size, World
from onehop.driver.envoy.binary import find_envoy
from onehop.driver.haproxy.binary import find_haproxy

_BACKEND_PORT: Final = 9090
_CONNECTIONS: Final = 16
_HERE: Final = Path(__file__).parent
_BODY: Final = "served"


def measure(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Let wrk ask both by turns."""
    if shutil.which("wrk") is None:
        raise ChildFailed("no wrk(1) in PATH: install the package wrk")
    _ = world.product
    obj = shop.endpoint_slice(0, 1)
    obj["ports"][0]["port"] = _BACKEND_PORT
    world.api.ask(Put(obj))
    rounds, lasts_s = (1, 1) if quick else (20, 2)
    with tempfile.TemporaryDirectory(prefix="oht-") as name:
        backend = Path(name) / "backend.json"
        backend.write_text(json.dumps(backend_config()))
        with (
            running(_envoy(backend, 1), world.log("backend")),
            running(_by_hand(world.size.driver), world.log("hand"), has_session=True) as written,
        ):
            until(_is_answered_by_backend, 20, "the backend behind the product")
            until(lambda: status_of(HAND_VIP, shop.host(0)) == 200, 20, "the one made by hand")
            sides = {
                "product": (_carrier(world), PRODUCT_VIP),
                "floor": (written.pid, HAND_VIP),
            }
            return _compare(sides, rounds, lasts_s)


def _compare(sides: dict[str, tuple[int, str]], rounds: int, lasts_s: int) -> Figures:
    """Let wrk ask both by turns, each as often first as last."""
    requests = dict.fromkeys(sides, 0)
    used_s = dict.fromkeys(sides, 0.0)
    order = list(sides)
    for _ in range(rounds):
        for side in order:
            pid, address = sides[side]
            before = cpu_s(pid)
            requests[side] += _wrk(address, lasts_s)
            used_s[side] += cpu_s(pid) - before
        order.reverse()
    return Figures(
        product={"per_cpu_s": requests["product"] / used_s["product"]},
        floor={"per_cpu_s": requests["floor"] / used_s["floor"]},
        notes={
            "requests_per_s": {
                side: round(count / rounds / lasts_s) for side, count in requests.items()
            }
        },
    )


def _carrier(world: World) -> int:
    """Return the process that carries the product's traffic."""
    if world.size.driver == "haproxy":
        return Master(world.state).worker()
    return world.product.proxy_pid


def _by_hand(driver: str) -> tuple[str, ...]:
    """Return the command of a proxy that somebody has configured by hand."""
    if driver == "haproxy":
        return (str(find_haproxy("haproxy")), "-db", "-f", str(_HERE / "handwritten.cfg"))
    return _envoy(_HERE / "handwritten.yaml", 2)


def _is_answered_by_backend() -> bool:
    with Probe(PRODUCT_VIP) as probe:
        return probe.ask(shop.host(0)).body == _BODY.encode()


def _wrk(address: str, lasts_s: int) -> int:
    """Return how many requests were answered; any failure fails the row."""
    options = ("-t1", f"-c{_CONNECTIONS}", f"-d{lasts_s}s", "-H", f"Host: {shop.host(0)}")
    command = ("wrk", *options, f"http://{address}/")
    said = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=lasts_s + 30
    ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise ChildFailed(f"requests failed: {said}")
    line = next(line for line in said.splitlines() if " requests in " in line)
    return int(line.split()[0])


def _envoy(config: Path, number: int) -> tuple[str, ...]:
    options = ("--concurrency", "1", "--log-level", "error", "--base-id", str(number))
    return (str(find_envoy()), "-c", str(config), "--disable-hot-restart", *options)


def backend_config() -> dict[str, object]:
    """Return an Envoy that answers everything itself."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": _inline(_BODY)}}
    kind = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "backend",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}}
        ],
    }
    address = {"address": "0.0.0.0", "port_value": _BACKEND_PORT}  # noqa: S104  our namespace
    listener = {
        "name": "backend",
        "address": {"socket_address": address},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener]}}


def _inline(text: str) -> dict[str, str]:
    return {"inline_string": text}


ROWS: Final = (
    Row(
        name="throughput",
        what="requests per CPU-second against a hand-written Envoy configuration",
        measure=measure,
        size=Size(1, 1),
        quick_size=Size(1, 1),
        within=(Target("per_cpu_s", 0.97, least=True),),
    ),
)
