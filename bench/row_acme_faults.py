"""Faults row: what becomes of certificates when the CA has its bad days, and when we crash.

The engine alone, in this process, between Pebble and a load balancer that answers at once; a proxy
notes and spoils what is asked. Each fault befalls the first request to every single resource: the
directory, the nonce, the account, each order, authorization, challenge, certificate. Crashes are
those of the tests: at each request before and after it, at each write before and after it, and
while an answer is published; the next engine has what the Vault had.
"""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Final, NamedTuple

from bench.row import Figures, Row, Target
from bench.world import Size, World
from onehop.acme.issuer import CertificateWish
from tests.acme.crash import HOSTS, MOMENTS, run_until_crash
from tests.acme.pebble import Pebble, running_pebble
from tests.acme.proxy import Answer, Cut, Fault, Proxy, Request, proxied
from tests.acme.responder import LiveResponder, serving
from tests.acme.vault import MemoryVault
from tests.acme.world import issuer_of, tended, wish

_DEADLINE_S: Final = 180.0
_REJECTING: Final = {"PEBBLE_WFE_NONCEREJECT": "50"}
_SLOW: Final = {"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "5"}
"""Up to so many seconds before each look: https://github.com/letsencrypt/pebble#testing-at-full-speed."""

_LIMIT: Final = Answer(429, "1", "rateLimited")
_PAUSE: Final = Answer(503, "1")
_ERROR: Final = Answer(500)
_CUTS: Final = (Cut(is_after=False), Cut(is_after=True))


class Bad(NamedTuple):
    """A CA's bad days.

    Attributes:
        env: Pebble's own faults.
        faults: what befalls first requests, by turns.
    """

    env: Mapping[str, str]
    faults: tuple[Fault, ...] = ()


BAD: Final = {
    "nonces rejected": Bad(_REJECTING),
    "slow validation": Bad(_SLOW),
    "429 with Retry-After": Bad({}, (_LIMIT,)),
    "503 with Retry-After": Bad({}, (_PAUSE,)),
    "500": Bad({}, (_ERROR,)),
    "cut before": Bad({}, _CUTS[:1]),
    "cut after": Bad({}, _CUTS[1:]),
    "all together": Bad(_REJECTING | _SLOW, (_LIMIT, _CUTS[1], _PAUSE, _ERROR, _CUTS[0])),
}
_CRASHES: Final = {"crashes": Bad({}), "crashes, nonces rejected": Bad(_REJECTING)}


class Tally(NamedTuple):
    """What came of one kind of bad days.

    Attributes:
        most_orders: that one certificate took, or the mean where certificates went side by side.
        early: requests before the end of a Retry-After.
    """

    wished: int
    issued: int
    orders: int
    most_orders: float
    early: int
    took_s: float


class FirstTime:
    """Lets a fault befall the first request to each resource."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self._faults = cycle(faults)
        self._met: set[tuple[str, tuple[str, ...]]] = set()

    def __call__(self, request: Request) -> Fault | None:
        """Return what befalls a request; newOrder is one resource for each of its hosts."""
        resource = request.path, request.hosts
        if resource in self._met:
            return None
        self._met.add(resource)
        return next(self._faults)


def measure(world: World, quick: bool) -> Figures:  # noqa: ARG001, FBT001  a row's signature
    """Go through all bad days, and all crashes."""
    if shutil.which("pebble") is None:
        return Figures(product={}, notes={"left_out": "there is no pebble(1)"})
    if quick:
        return asyncio.run(_measure(("nonces rejected", "429 with Retry-After"), 2, MOMENTS[::8]))
    return asyncio.run(_measure(tuple(BAD), 5, MOMENTS))


async def _measure(names: Sequence[str], certificates: int, moments: Sequence[str]) -> Figures:
    bad = {name: await _suffer(BAD[name], certificates) for name in names}
    crashed = {name: await _crash(days, moments) for name, days in _CRASHES.items()}
    tallies = {**bad, **crashed}
    wished = sum(tally.wished for tally in tallies.values())
    without = sum(tally.wished for tally in bad.values())
    return Figures(
        product={
            "issued_share": sum(tally.issued for tally in tallies.values()) / wished,
            "orders_per_certificate": sum(tally.orders for tally in bad.values()) / without,
            "orders_with_a_crash_max": max(tally.most_orders for tally in crashed.values()),
            "early_requests": sum(tally.early for tally in tallies.values()),
        },
        notes={
            name: {"of": tally.wished, "orders": tally.orders, "took_s": round(tally.took_s, 1)}
            for name, tally in tallies.items()
        },
    )


async def _suffer(days: Bad, certificates: int) -> Tally:
    """Have certificates issued side by side on bad days."""
    wishes = [wish(f"host{number}.example.com") for number in range(certificates)]
    vault, responder = MemoryVault(), LiveResponder()
    with _pebble(days) as pebble:
        async with _standing(pebble, responder) as proxy:
            if days.faults:
                proxy.fault = FirstTime(days.faults)
            began = time.monotonic()
            await _issue(pebble, proxy, wishes, vault, responder)
            took_s = time.monotonic() - began
    orders = len(proxy.orders)
    early = len(list(proxy.too_early()))
    return Tally(certificates, len(vault.secrets), orders, orders / certificates, early, took_s)


async def _crash(days: Bad, moments: Sequence[str]) -> Tally:
    """Crash at each of these moments, each time with a certificate of its own."""
    began = time.monotonic()
    issued, orders, early = 0, [0], 0
    with _pebble(days) as pebble:
        for moment in moments:
            vault, responder = MemoryVault(), LiveResponder()
            async with _standing(pebble, responder) as proxy:
                await run_until_crash(moment, pebble, proxy, responder, vault)
                responder.http.clear()  # the load balancer went down with the engine
                await _issue(pebble, proxy, [wish(*HOSTS)], vault, responder)
            issued += len(vault.secrets)
            orders.append(len(proxy.orders))
            early += len(list(proxy.too_early()))
    took_s = time.monotonic() - began
    return Tally(len(moments), issued, sum(orders), max(orders), early, took_s)


async def _issue(
    pebble: Pebble,
    proxy: Proxy,
    wishes: Sequence[CertificateWish],
    vault: MemoryVault,
    responder: LiveResponder,
) -> None:
    """Run an engine until all is issued, or for as long as one may wait."""
    issuer = issuer_of(pebble, proxy.directory)
    async with tended([issuer], wishes, vault=vault, responder=responder) as engine:
        with contextlib.suppress(AssertionError):  # then some are missing, and are not counted
            await engine.issued(*wishes, deadline_s=_DEADLINE_S)


@contextlib.contextmanager
def _pebble(days: Bad) -> Generator[Pebble]:
    with (
        tempfile.TemporaryDirectory(prefix="ohp-") as folder,
        running_pebble(Path(folder), env=days.env) as pebble,
    ):
        yield pebble


@contextlib.asynccontextmanager
async def _standing(pebble: Pebble, responder: LiveResponder) -> AsyncGenerator[Proxy]:
    """Stand on both sides of an engine: before the CA, and where it looks."""
    ports = {"http_port": pebble.http_port, "tls_port": pebble.tls_port}
    async with serving(responder, **ports), proxied(pebble) as proxy:
        yield proxy


ROWS: Final = (
    Row(
        name="acme-faults",
        what="certificates of a CA that fails in every way, and over a crash at every step",
        measure=measure,
        size=Size(1, 1),
        quick_size=Size(1, 1),
        targets=(
            Target("issued_share", 1, least=True),
            Target("orders_per_certificate", 1),
            Target("orders_with_a_crash_max", 2),
            Target("early_requests", 0),
        ),
    ),
)
