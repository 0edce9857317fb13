"""Swap row: certificates change every second under 1,000 new handshakes a second; none may fail.

Every second the Secret of the host that gets half of the load is replaced, with a new key, and that
of another host. `seen` counts from when the API has handed the event to its watchers until the
first request on a connection that showed the new certificate is answered: half the load is one
handshake in 2 ms. `unsent` is what the machine was too busy for. The floor is the same load on the
same product while nothing changes.
"""

import base64
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from bench import shop
from bench.child import ChildFailed, Told, until
from bench.clients import tls_clients
from bench.load import UNSENT
from bench.namespace import PRODUCT_VIP
from bench.orders import Put
from bench.row import Figures, Row, Target, spread_ms
from bench.world import Size, World
from tests.stapling.ca import Ca

HANDSHAKES_PER_S: Final = 1000
_HOSTS: Final = 10
_READY_S: Final = 30.0


class Plan(msgspec.Struct, frozen=True):
    """How much of it; `calm_s` is the load while nothing changes."""

    swaps_s: float
    calm_s: float
    rate: float


class Seen(msgspec.Struct, frozen=True):
    """What the clients saw; `seen` by the common name of the certificate."""

    latencies_s: list[float]
    failures: dict[str, int]
    seen: dict[str, float]

    @property
    def failed(self) -> int:
        """How many got no whole 200."""
        return sum(self.failures.values()) - self.unsent

    @property
    def unsent(self) -> int:
        """How many the clients were too busy to begin."""
        return self.failures.get(UNSENT, 0)


class Certificates:
    """A CA, and the API where its certificates are put."""

    def __init__(self, api: Told) -> None:
        self.ca = Ca("Bench CA")
        self._api = api
        self._made = 0

    def renew(self, number: int) -> tuple[str, float]:
        """Give a host a new one; return its common name, and when it was there to be acted on."""
        self._made += 1
        name = f"certificate-{self._made}"
        leaf = self.ca.leaf(shop.host(number), name=name)
        data = {"tls.crt": leaf.pem + self.ca.pem, "tls.key": leaf.key_pem}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": secret_name(number), "namespace": shop.NAMESPACE},
            "type": "kubernetes.io/tls",
            "data": {key: base64.b64encode(pem.encode()).decode() for key, pem in data.items()},
        }
        return name, self._api.ask(Put(secret))["at"]

    def show(self, number: int) -> None:
        """Have a host show its own."""
        ingress = shop.ingress(number)
        tls = {"hosts": [shop.host(number)], "secretName": secret_name(number)}
        ingress["spec"]["tls"] = [tls]
        self._api.ask(Put(ingress))


def measure(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Have the load in peace, and then with certificates that change."""
    plan = Plan(2, 1, 100) if quick else Plan(20, 10, HANDSHAKES_PER_S)
    _ = world.product
    certificates = Certificates(world.api)
    for number in range(_HOSTS):
        certificates.renew(number)
        certificates.show(number)
    with (
        tempfile.TemporaryDirectory(prefix="ohw-") as folder,
        tls_clients(Path(folder), certificates.ca.pem, PRODUCT_VIP),
    ):
        until(_is_served, _READY_S, "HTTPS of all hosts")
        with _load(plan.rate, plan.calm_s) as load:
            calm = _outcome(load)
        with _load(plan.rate, plan.swaps_s) as load:
            swapped = _swap(certificates, load, plan.swaps_s)
            busy = _outcome(load)
    waits_s = [busy.seen[name] - at for name, at in swapped.items() if name in busy.seen]
    handshakes = len(busy.latencies_s) + busy.failed
    return Figures(
        product={
            "failed": busy.failed,
            "unsent": busy.unsent,
            "never_seen": len(swapped) - len(waits_s),
            **{f"seen_{name}": value for name, value in spread_ms(waits_s).items()},
            **spread_ms(busy.latencies_s),
        },
        floor=spread_ms(calm.latencies_s),
        notes={
            "handshakes": handshakes,
            "swaps": 2 * len(swapped),
            "failures": busy.failures,
            "failed_in_peace": calm.failed,
        },
    )


def _load(rate: float, lasts_s: float) -> subprocess.Popen[bytes]:
    hosts = [shop.host(number) for number in range(_HOSTS)]
    command = (sys.executable, "-m", "bench.handshakes", str(rate), str(lasts_s), *hosts)
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _outcome(load: subprocess.Popen[bytes]) -> Seen:
    try:
        said, _ = load.communicate(timeout=120)
    finally:
        load.kill()
    if load.returncode != 0:
        raise ChildFailed(f"the load ended with {load.returncode}")
    return msgspec.json.decode(said, type=Seen)


def _is_served() -> bool:
    """Tell whether all hosts answer on HTTPS."""
    with _load(100.0, 2 * _HOSTS / 100) as load:
        return not _outcome(load).failed


def _swap(
    certificates: Certificates, load: subprocess.Popen[bytes], lasts_s: float
) -> dict[str, float]:
    """Replace two certificates each second; return when the busy host's were there, by name."""
    swapped: dict[str, float] = {}
    began = time.monotonic()
    for turn in range(int(lasts_s)):
        time.sleep(max(0.0, began + turn + 0.5 - time.monotonic()))
        if load.poll() is not None:
            break
        name, at = certificates.renew(0)
        swapped[name] = at
        certificates.renew(1 + turn % (_HOSTS - 1))
    return swapped


def secret_name(number: int) -> str:
    """Return the Secret that a host's certificate lies in."""
    return f"swapped-{number}"


ROWS: Final = (
    Row(
        name="swap",
        what="two certificates change each second under 1,000 new handshakes/s, open loop",
        measure=measure,
        size=Size(_HOSTS, 3),
        quick_size=Size(_HOSTS, 3),
        targets=(Target("failed", 0), Target("unsent", 0), Target("never_seen", 0)),
    ),
)
