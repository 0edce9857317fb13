"""A crash at every step: the next engine goes on where the last one was."""

import asyncio
from collections import Counter

import pytest

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
    """Run an engine that is cut down at a moment."""
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


@pytest.mark.parametrize("moment", MOMENTS)
async def test_what_was_under_way_is_finished_by_the_next_engine(
    moment: str, pebble: Pebble, proxy: Proxy, responder: LiveResponder
) -> None:
    """After a crash at any moment one more order at most is placed, and none once one was saved."""
    vault = MemoryVault()
    await run_until_crash(moment, pebble, proxy, responder, vault)
    is_saved = any(b'"url":"https' in record for record in vault.records.values())
    is_saved = is_saved or bool(vault.secrets)
    responder.http.clear()  # the load balancer went down with the engine
    shop = wish(*HOSTS)
    async with tended(
        [issuer_of(pebble, proxy.directory)], [shop], vault=vault, responder=responder
    ) as world:
        await world.issued(shop)
        assert world.leaf(shop) is not None
    may_be_lost = not is_saved or moment in LOSING
    assert len(proxy.orders) <= (2 if may_be_lost else 1)
    assert len(vault.accounts) == 1
    assert responder.is_clean


async def test_the_moments_are_all_there_are(
    pebble: Pebble, proxy: Proxy, responder: LiveResponder
) -> None:
    """A certificate takes these requests and these writes, each crashed at above."""
    vault, shop = MemoryVault(), wish(*HOSTS)
    async with tended(
        [issuer_of(pebble, proxy.directory)], [shop], vault=vault, responder=responder
    ) as world:
        await world.issued(shop)
    seen: Counter[str] = Counter()
    labels = []
    for name in vault.writes:
        seen[name] += 1
        labels.append(f"{name}#{seen[name]}")
    assert sorted(labels) == sorted(WRITES)
    asked = {request.what for request in proxy.requests}
    assert asked - {"directory", "look"} == set(REQUESTS)
