"""A crash at every step: the next engine goes on where the last one was."""

from collections import Counter

import pytest

from tests.acme.crash import HOSTS, LOSING, MOMENTS, REQUESTS, WRITES, run_until_crash
from tests.acme.pebble import Pebble
from tests.acme.proxy import Proxy
from tests.acme.responder import LiveResponder
from tests.acme.vault import MemoryVault
from tests.acme.world import issuer_of, tended, wish


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
