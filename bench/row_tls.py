"""TLS row: what three ways to show thousands of certificates cost.

Handshakes are counted with one short request each, against processor time of Envoy alone; the
client offers a session where it has one, and counts how often it was taken up. A certificate that
is added counts from the order until the first handshake with its name; connections that were open
before are asked again when the time to drain is over.
"""

import asyncio
import socket
import ssl
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.child import ChildFailed, cpu_s, resident_mib
from bench.row import MS, Figures, Row, quantile
from bench.tls_variant import ADDRESS, DRAIN_S, VARIANTS, Served, Site, Variant, site
from bench.world import Size, World

_PATIENCE_S: Final = 60.0
_REQUEST: Final = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Door(NamedTuple):
    """Where clients knock, and how."""

    port: int
    client: ssl.SSLContext


class Load(NamedTuple):
    """How much is done.

    Attributes:
        handshakes: in a round.
        held: connections that are open while certificates are added.
    """

    certificates: int
    rounds: int
    handshakes: int
    additions: int
    held: int


def measure(world: World, quick: bool) -> Figures:  # noqa: ARG001, FBT001  a row's signature
    """Measure one variant after another, with the same certificates."""
    load = Load(20, 1, 20, 1, 5) if quick else Load(3000, 10, 200, 5, 50)
    sites = [
        site(number, is_rsa=number == 0) for number in range(load.certificates + load.additions)
    ]
    figures: dict[str, float] = {}
    for name, variant in VARIANTS.items():
        measured = asyncio.run(_measure(variant, sites, load))
        figures |= {f"{name}_{figure}": value for figure, value in measured.items()}
    return Figures(product=figures)


async def _measure(variant: Variant, sites: Sequence[Site], load: Load) -> dict[str, float]:
    door = Door(_free_port(), _client())
    shown = list(sites[: load.certificates])
    with tempfile.TemporaryDirectory(prefix="oht-") as name:
        async with variant(Path(name), door.port) as served:
            began = time.monotonic()
            await served.show(shown)
            await _until_shown(door, shown[-1])
            figures = {"start_s": time.monotonic() - began}
            for each in shown:
                await asyncio.to_thread(_visit, door, each.name)
            figures["memory_mib"] = resident_mib(served.pid)
            for key, of in (("ecdsa", shown[1]), ("rsa", shown[0])):
                rates = await _rates(served, door, of, load)
                figures |= {f"{key}_{figure}": value for figure, value in rates.items()}
            return figures | await _additions(served, door, sites, load)


async def _rates(served: Served, door: Door, of: Site, load: Load) -> dict[str, float]:
    """Return handshakes by processor second, without a session and with one, by turns."""
    used_s = {"full": 0.0, "resumed": 0.0}
    taken_up = 0
    for _ in range(load.rounds):
        for side in used_s:
            before = cpu_s(served.pid)
            taken_up += await asyncio.to_thread(
                _knock, door, of.name, load.handshakes, resumes=side == "resumed"
            )
            used_s[side] += cpu_s(served.pid) - before
    made = load.rounds * load.handshakes
    rates = {f"{side}_per_cpu_s": made / max(spent, 0.01) for side, spent in used_s.items()}
    return rates | {"resumed_share": taken_up / made}


def _knock(door: Door, name: str, times: int, *, resumes: bool) -> int:
    session, taken_up = None, 0
    for _ in range(times):
        new, was_resumed = _visit(door, name, session if resumes else None)
        session, taken_up = new or session, taken_up + was_resumed
    return taken_up


async def _additions(
    served: Served, door: Door, sites: Sequence[Site], load: Load
) -> dict[str, float]:
    """Return how long added certificates took, and which open connections were lost to them."""
    took: list[float] = []
    held = [_open(door, sites[0].name) for _ in range(load.held)]
    try:
        spent = cpu_s(served.pid)
        for count in range(load.certificates + 1, len(sites) + 1):
            began = time.monotonic()
            await served.show(sites[:count])
            await _until_shown(door, sites[count - 1])
            took.append(time.monotonic() - began)
        spent = cpu_s(served.pid) - spent
        await asyncio.sleep(2 * DRAIN_S)  # what drains has drained
        lost = sum([not await asyncio.to_thread(_lives, each) for each in held])
    finally:
        for each in held:
            each.close()
    return {
        "added_p50_ms": quantile(took, 0.5) * MS,
        "added_max_ms": max(took) * MS,
        "added_cpu_ms": spent / load.additions * MS,
        "lost_share": lost / load.held,
    }


async def _until_shown(door: Door, wanted: Site) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    expected = ssl.PEM_cert_to_DER_cert(wanted.certificate.chain_pem)
    while time.monotonic() < deadline:
        try:
            with await asyncio.to_thread(_open, door, wanted.name) as opened:
                if opened.getpeercert(binary_form=True) == expected:
                    return
        except OSError:
            pass
        await asyncio.sleep(0.005)
    raise ChildFailed(f"{wanted.name} was not shown within {_PATIENCE_S:g} s")


def _visit(
    door: Door, name: str, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession | None, bool]:
    """Make one request on a connection of its own; return its session, and whether it was old."""
    with _open(door, name, session) as opened:
        opened.sendall(_REQUEST)
        if not opened.recv(4096).startswith(b"HTTP/1.1 200"):
            raise ChildFailed(f"{name} is not served")
        return opened.session, bool(opened.session_reused)


def _open(door: Door, name: str, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    plain = socket.create_connection((ADDRESS, door.port), timeout=10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        return door.client.wrap_socket(plain, server_hostname=name, session=session)
    except BaseException:
        plain.close()
        raise


def _lives(held: ssl.SSLSocket) -> bool:
    """Tell whether a connection still answers, and will go on doing so."""
    try:
        held.sendall(_REQUEST)
        answer = held.recv(4096)
    except OSError:
        return False
    return answer.startswith(b"HTTP/1.1 200") and b"connection: close" not in answer


def _client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is Envoy that is measured
    return context


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


ROWS: Final = (
    Row(
        name="tls",
        what="3,000 certificates: on demand, a filter chain for each, all in one chain",
        measure=measure,
        size=Size(1, 1),
        quick_size=Size(1, 1),
    ),
)
