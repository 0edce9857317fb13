"""Certificate rows: from an Ingress that asks to a client that sees HTTPS.

* acme: one host after another. It begins when the API has handed the event to its watchers, and
  ends with the first 200 on a connection whose certificate the CA's root verifies; asked every
  5 ms. The floor is the bare protocol against the same CA, by turns (`bench.floor.acme`), and ends
  with the same request. Where the product's time goes is seen by further hosts, whose issuer
  is reached through a proxy that notes when each request came; the proxy's own time is in there.
* acme-many: so many Ingresses at once, until the last host answers.
"""

import asyncio
import contextlib
import shutil
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Final, NamedTuple

from bench import shop
from bench.ca import DIRECT, SEEN, Ca, running_ca
from bench.child import ChildFailed, until
from bench.floor.acme import BareAcme, bare_acme
from bench.floor.library import Library
from bench.namespace import FLOOR_VIP, PRODUCT_VIP
from bench.orders import Put
from bench.row import MS, Figures, Row, Target, quantile, spread_ms
from bench.world import Size, World, is_ready
from onehop.acme.issuer import Issuer
from tests.acme.proxy import Proxy

_EVERY_S: Final = 0.005
_ANSWER_S: Final = 5.0
_DEADLINE_S: Final = 60.0
_SEEN_HOSTS: Final = 10
_WARM: Final = 1
"""The first host brings the account and the listener; it is told apart."""


class Door(NamedTuple):
    """Where clients knock, and whom they trust."""

    address: str
    trust: ssl.SSLContext


def measure_one(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Have hosts issued one after another, by turns by the product and by the bare protocol."""
    if shutil.which("pebble") is None:
        return Figures(product={}, notes={"left_out": "there is no pebble(1)"})
    return asyncio.run(_one_by_one(world, hosts=3 if quick else 30))


async def _one_by_one(world: World, hosts: int) -> Figures:
    async with _issuing(world) as (ca, door):
        issuer = Issuer(name="floor", directory=ca.pebble.directory, ca_pem=ca.pebble.ca.ca_pem)
        first_s = await asyncio.to_thread(_ask_for, world, door, 0, DIRECT)
        product: list[float] = []
        floor: list[float] = []
        bare_door = Door(FLOOR_VIP, door.trust)
        async with bare_acme(issuer, FLOOR_VIP) as bare:
            for number in range(_WARM, _WARM + hosts):
                product.append(await asyncio.to_thread(_ask_for, world, door, number, DIRECT))
                host = f"bare-{number}.example.com"
                await ca.lead(host, FLOOR_VIP)
                began = time.monotonic()
                await bare.issue(host)
                await asyncio.to_thread(_until_https, bare_door, host)
                floor.append(time.monotonic() - began)
            library_s = await _by_library(ca, bare, bare_door)
        begin = _WARM + hosts
        spans = await _spans(world, ca.proxy, door, range(begin, begin + _SEEN_HOSTS))
    return Figures(
        product=_figures(product),
        floor=_figures(floor),
        notes={
            "hosts": hosts,
            "first_ms": round(first_s * MS),
            "certbots_library_ms": round(library_s * MS),
            "spans_p50_ms": spans,
        },
    )


async def _by_library(ca: Ca, bare: BareAcme, door: Door) -> float:
    """Return how long the library takes for a host, with its account made beforehand."""
    host = "library.example.com"
    await ca.lead(host, FLOOR_VIP)
    library = await asyncio.to_thread(Library, ca.pebble.directory, ca.ca_file, bare)
    began = time.monotonic()
    await asyncio.to_thread(library.issue, host)
    await asyncio.to_thread(_until_https, door, host)
    return time.monotonic() - began


def _figures(latencies_s: Sequence[float]) -> dict[str, float]:
    return {"mean_ms": sum(latencies_s) / len(latencies_s) * MS, **spread_ms(latencies_s)}


async def _spans(world: World, proxy: Proxy, door: Door, numbers: range) -> dict[str, float]:
    """Return the median times between the marks on the way, for hosts that were not asked before.

    ordered: the Ingress is written, newOrder arrives; placed: the challenge is known; answered: all
    of the load balancer answers, the CA is told to look; proven: the signing request arrives;
    issued: the chain has left the CA; shown: a client sees it.
    """
    await asyncio.to_thread(_ask_for, world, door, numbers[0], SEEN)  # brings the account
    spans: dict[str, list[float]] = {}
    for number in numbers[1:]:
        proxy.requests.clear()
        took = await asyncio.to_thread(_ask_for, world, door, number, SEEN)
        ended = time.monotonic()
        at = {request.what: request for request in reversed(proxy.requests)}
        marks = {
            "ordered": at["order"].at,
            "placed": at["authorization"].answered_at,
            "answered": at["challenge"].at,
            "proven": at["finalize"].at,
            "issued": at["certificate"].answered_at,
            "shown": ended,
        }
        last = ended - took
        for name, mark in marks.items():
            spans.setdefault(name, []).append(mark - last)
            last = mark
    return {name: round(quantile(values, 0.5) * MS, 1) for name, values in spans.items()}


def measure_many(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Ask for certificates of many hosts at once."""
    if shutil.which("pebble") is None:
        return Figures(product={}, notes={"left_out": "there is no pebble(1)"})
    return asyncio.run(_all_at_once(world, hosts=5 if quick else 100))


async def _all_at_once(world: World, hosts: int) -> Figures:
    async with _issuing(world) as (ca, door):
        await asyncio.to_thread(_ask_for, world, door, 0, DIRECT)
        before = ca.orders()
        took = await asyncio.to_thread(_ask_for_all, world, door, range(1, 1 + hosts))
        orders = ca.orders() - before
    return Figures(
        product={
            "all_s": max(took),
            "half_s": quantile(took, 0.5),
            "orders_per_certificate": orders / hosts,
        },
        notes={"hosts": hosts, "orders": orders},
    )


@contextlib.asynccontextmanager
async def _issuing(world: World) -> AsyncGenerator[tuple[Ca, Door]]:
    """Run a CA, and a product that knows it."""
    world.stop_serving()
    _ = world.api
    async with running_ca() as ca:
        with world.started_product(acme=ca.section()):
            await asyncio.to_thread(until, is_ready, _DEADLINE_S, "the product to be ready")
            await asyncio.to_thread(world.wait_quiet)
            yield ca, Door(PRODUCT_VIP, await ca.trust())


def _ask_for(world: World, door: Door, number: int, issuer: str) -> float:
    """Write an Ingress, and return how long it took until its host had HTTPS."""
    began: float = world.api.ask(Put(shop.wishing_ingress(number, issuer)))["at"]
    _until_https(door, shop.host(number))
    return time.monotonic() - began


def _ask_for_all(world: World, door: Door, numbers: range) -> list[float]:
    """Write Ingresses at once, and return how long each took, looked at one after another."""
    for number in numbers:
        world.api.order(Put(shop.wishing_ingress(number, DIRECT)))
    began = min(world.api.reply()["at"] for _ in numbers)
    waiting = {shop.host(number) for number in numbers}
    took: list[float] = []
    while waiting:
        host = waiting.pop()
        _until_https(door, host)
        took.append(time.monotonic() - began)
    return took


def _until_https(door: Door, host: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        asked = time.monotonic()
        if _has_https(door, host):
            return
        if asked > deadline:
            raise ChildFailed(f"{host} has no certificate after {_DEADLINE_S:g} s")
        time.sleep(max(0.0, asked + _EVERY_S - time.monotonic()))


def _has_https(door: Door, host: str) -> bool:
    """Tell whether a client that verifies what it is shown gets a 200."""
    try:
        plain = socket.create_connection((door.address, 443), timeout=_ANSWER_S)
        # Or the request waits for the acknowledgement of the handshake's end, which is put off.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with plain, door.trust.wrap_socket(plain, server_hostname=host) as opened:
            opened.sendall(f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            return opened.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:  # of which all of ssl's are
        return False


ROWS: Final = (
    Row(
        name="acme",
        what="an Ingress asks for a certificate, until a client sees it; one after another",
        measure=measure_one,
        size=Size(50, 1, routed=False),
        quick_size=Size(20, 1, routed=False),
        targets=(Target("mean_ms", 1_000), Target("p50_ms", 1_000)),
        within=(Target("mean_ms", 1.5), Target("p50_ms", 1.5)),
    ),
    Row(
        name="acme-many",
        what="100 Ingresses ask at once, until all hosts answer HTTPS",
        measure=measure_many,
        size=Size(101, 1, routed=False),
        quick_size=Size(6, 1, routed=False),
        targets=(Target("all_s", 15), Target("orders_per_certificate", 1)),
    ),
)
