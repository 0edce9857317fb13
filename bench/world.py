"""What a row runs in: Pods, the API double, the product, the floor; each a process of its own.

Everything is started when a row first asks for it and ended with the world. The product is what a
user starts: `onehop run --config FILE`, with a proxy of its own.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from bench import gateway, shop
from bench.child import ChildFailed, Told, descendant, running, until
from bench.namespace import FLOOR_VIP, PRODUCT_VIP
from bench.orders import Counts, Load
from bench.probe import status_of
from onehop.driver.envoy.binary import find_envoy
from onehop.driver.haproxy.binary import find_haproxy

METRICS: Final = "127.0.0.1:9080"
_START_TIMEOUT_S: Final = 120.0
_ANSWER_TIMEOUT_S: Final = 5.0
_QUIET_S: Final = 1.0
_FLOORS: Final = {"envoy": "bench.floor.floor", "haproxy": "bench.floor.haproxy"}


class Size(msgspec.Struct, frozen=True):
    """How large a cluster is.

    Attributes:
        services: how many, each with one slice.
        endpoints: in each slice.
        routed: whether each has a route from the beginning.
        driver: what carries the traffic; the floor is made of the same.
        api: what routes are: `ingress`, or `gateway` for HTTPRoutes.
    """

    services: int
    endpoints: int
    routed: bool = True
    driver: str = "envoy"
    api: str = "ingress"


class Running(msgspec.Struct, frozen=True):
    """A product that runs: its own process, and the name of the proxy that it has below it."""

    pid: int
    proxy: str

    @property
    def proxy_pid(self) -> int:
        """The process of its proxy."""
        found = descendant(self.pid, self.proxy)
        if found is None:
            raise ChildFailed(f"the product has no {self.proxy}")
        return found


class World:
    """A cluster of one size and what serves it.

    Attributes:
        state: the state directory of the product that was started last.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self.state = Path()
        self._stack = contextlib.ExitStack()
        self._api: Told | None = None
        self._product: Running | None = None
        self._floor: Told | None = None
        self._served = self._stack.enter_context(contextlib.ExitStack())
        # Short: a Unix socket's path has room for 107 bytes.
        self._folder = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="ohb-", dir="/tmp"))
        )

    def __enter__(self) -> Self:
        try:
            self._run("pods", (sys.executable, "-m", "bench.pods")).reply()
        except ChildFailed:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    # -- the API ----------------------------------------------------------------------------------

    @property
    def api(self) -> Told:
        """The API double, with its objects loaded."""
        if self._api is None:
            command = (sys.executable, "-m", "bench.api", str(self._kubeconfig))
            self._api = self._run("api", command)
            size = self.size
            self._api.ask(Load(size.services, size.endpoints, size.routed, size.api))
        return self._api

    @property
    def _kubeconfig(self) -> Path:
        return self._folder / "kubeconfig"

    def wait_quiet(self) -> None:
        """Wait until nobody has written to the API for a second."""
        seen = -1

        def is_quiet() -> bool:
            nonlocal seen
            counts = self.api.ask(Counts())
            before, seen = seen, counts["writes"] - counts["leases"]
            return bool(seen == before)

        until(is_quiet, _START_TIMEOUT_S, "the product's writes to end", every_s=_QUIET_S)

    # -- the product ------------------------------------------------------------------------------

    @property
    def product(self) -> Running:
        """A running product that serves the whole cluster."""
        if self._product is None:
            _ = self.api
            self._product = self._served.enter_context(self.started_product())
            wanted = 200 if self.size.routed else 404
            last = shop.host(self.size.services - 1)
            until(lambda: status_of(PRODUCT_VIP, last) == wanted, _START_TIMEOUT_S, "the product")
            until(is_ready, _START_TIMEOUT_S, "the product to be ready")
            self.wait_quiet()
        return self._product

    def stop_serving(self) -> None:
        """End the product and the floor, so that a row can start them itself."""
        self._served.close()
        self._product = self._floor = None

    @contextlib.contextmanager
    def started_product(self, **more: object) -> Generator[Running]:
        """Start a product with nothing remembered; it need not serve yet.

        Args:
            more: sections of its configuration beside the usual ones.
        """
        with tempfile.TemporaryDirectory(prefix="ohs-", dir="/tmp") as state:
            self.state = Path(state) / "s"
            config = Path(state) / "onehop.json"
            config.write_text(json.dumps(self._config() | more))
            command = (str(Path(sys.executable).parent / "onehop"), "run", "--config", str(config))
            environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
            with running(command, self.log("product"), environment=environment) as process:
                yield _with_proxy(process, self.size.driver)

    def _config(self) -> dict[str, object]:
        shared = {"shared": PRODUCT_VIP}
        return {
            "cluster": {"name": "bench", "kubeconfig": str(self._kubeconfig)},
            "addresses": {
                **(gateway.POOLS if self.size.api == "gateway" else shared),
                "bind": {"none": True},
            },
            "dataPlane": {
                "driver": self.size.driver,
                "envoy": {"concurrency": 1},
                "haproxy": {"threads": 1},
            },
            "state": str(self.state),
            "listen": {"metrics": METRICS},
            # A row takes more away within a minute than would be believed elsewhere.
            "safety": {"deletionBudget": {"percent": 100, "rows": 0}},
        }

    # -- the floor --------------------------------------------------------------------------------

    @property
    def floor(self) -> Told:
        """A running floor of the same size."""
        if self._floor is None:
            self._floor = self._served.enter_context(self.started_floor())
            wanted = 200 if self.size.routed else 404
            last = shop.host(self.size.services - 1)
            until(lambda: status_of(FLOOR_VIP, last) == wanted, _START_TIMEOUT_S, "the floor")
        return self._floor

    @contextlib.contextmanager
    def started_floor(self) -> Generator[Told]:
        """Start a floor; it need not serve yet."""
        services = self.size.services if self.size.routed else 0
        with tempfile.TemporaryDirectory(prefix="ohf-", dir="/tmp") as folder:
            command = (
                *(sys.executable, "-m", _FLOORS[self.size.driver], folder, self._proxy()),
                *(FLOOR_VIP, str(services), str(self.size.endpoints)),
            )
            log = self.log("floor")
            with running(command, log, is_told=True) as process:
                yield Told(process, log)

    def _proxy(self) -> str:
        return str(find_haproxy("haproxy") if self.size.driver == "haproxy" else find_envoy())

    # -- processes --------------------------------------------------------------------------------

    def log(self, name: str) -> Path:
        """Return where a process logs."""
        return self._folder / f"{name}.log"

    def _run(self, name: str, command: tuple[str, ...]) -> Told:
        log = self.log(name)
        process = self._stack.enter_context(running(command, log, is_told=True))
        return Told(process, log)


def _with_proxy(process: subprocess.Popen[bytes], name: str) -> Running:
    """Wait until a process has a proxy below it."""

    def has_proxy() -> bool:
        if process.poll() is not None:
            raise ChildFailed(f"the product ended with {process.returncode}")
        return descendant(process.pid, name) is not None

    until(has_proxy, _START_TIMEOUT_S, f"the product's {name}", every_s=0.005)
    return Running(process.pid, name)


def is_ready() -> bool:
    """Tell whether the product says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://{METRICS}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def data_plane(world: World) -> dict[str, str]:
    """Return what the product's driver says of itself, by the socket that `onehop status` uses."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_TIMEOUT_S)
        connection.connect(str(world.state / "control.sock"))
        connection.sendall(b"GET /status HTTP/1.0\r\n\r\n")
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    said: dict[str, str] = msgspec.json.decode(data.partition(b"\r\n\r\n")[2])["data_plane"]
    return said


def metric(name: str) -> float:
    """Return one series of the product without labels."""
    found = metrics(name)
    if "" not in found:
        raise ChildFailed(f"the product has no metric {name}")
    return found[""]


def metrics(name: str) -> dict[str, float]:
    """Return all series of a name, by their labels as they are written."""
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith(name))
    series = ((labels.removeprefix(name), float(value)) for labels, _, value in lines)
    return {labels: value for labels, value in series if not labels or labels.startswith("{")}
