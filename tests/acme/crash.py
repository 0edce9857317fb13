"""Engines that are cut down: at every request, every write, and while an answer is published."""

import asyncio
from collections import Counter

from tests.acme.pebble import Pebble
from tests.acme.proxy import Proxy, Request
from tests.acme.responder import LiveResponder
from tests.acme.vault import MemoryVault
from tests.acme.world import World, issuer_of, tended, wish

HOSTS = ("shop.example.com", "www.example.com")
REQUESTS = ("nonce", "account", "order", "authorization", "challenge", "finalize", "certificate")
WRITES = ("save_account#1", "save_account#2", "save#1", "store#1", "save#2")
MOMENTS = (
    *(f"{when} {what}" for what in REQUESTS for when in ("asking for", "hearing of")),
    *(f"{when} {what}" for what in WRITES for when in ("before", "after")),
    "publishing",
)


LOSING = ("asking for challenge", "hearing of challenge", "publishing")
"""The CA may have looked while there was no load balancer to answer it."""


class Crash(Exception):  # noqa: N818  named like what it is
    """Ends the engine here: nobody handles it, as nobody handles a power cut."""


async def run_until_crash(
    moment: str, pebble: Pebble, proxy: Proxy, responder: LiveResponder, vault: MemoryVault
) -> None:
    """Run an engine for HOSTS that is cut down at a moment, and what answers with it."""
    crashed = asyncio.Event()
    worlds: list[World] = []

    def cut_down() -> None:
        crashed.set()
        worlds[0].changed.set()

    writes: Counter[str] = Counter()

    def at_write(when: str, name: str) -> None:
        writes[name] += when == "before"
        if moment == f"{when} {name}#{writes[name]}":
            cut_down()
            raise Crash

    def at_request(request: Request) -> None:
        if moment == f"asking for {request.what}":
            cut_down()

    vault.before = lambda name: at_write("before", name)
    vault.after = lambda name: at_write("after", name)
    proxy.fault = at_request
    proxy.heard = lambda request: cut_down() if moment == f"hearing of {request.what}" else None
    if moment == "publishing":
        responder.heard = lambda _: cut_down()
    try:
        async with tended(
            [issuer_of(pebble, proxy.directory)],
            [wish(*HOSTS)],
            vault=vault,
            responder=responder,
        ) as world:
            worlds.append(world)
            await world.until(crashed.is_set)
    except* Crash:
        pass
    vault.before = vault.after = lambda _: None
    proxy.fault = lambda _: None
    proxy.heard = lambda _: None
    responder.heard = lambda _: None
