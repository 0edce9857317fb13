"""A CA on its bad days: everything is issued in the end, with one order each, never too early."""

from collections import Counter
from itertools import count

import pytest

from onehop.base.errors import TransientError
from tests.acme.pebble import Pebble
from tests.acme.proxy import STEPS, Answer, Cut, Fault, Header, Proxy, Request
from tests.acme.responder import LiveResponder
from tests.acme.vault import MemoryVault
from tests.acme.world import issuer_of, tended, wish


class Bad:
    """Lets a fault befall the first request of each kind."""

    def __init__(self, fault: Fault, *kinds: str) -> None:
        self.fault = fault
        self.left = set(kinds)

    def __call__(self, request: Request) -> Fault | None:
        if request.what not in self.left:
            return None
        self.left.remove(request.what)
        return self.fault


async def issue_one(pebble: Pebble, proxy: Proxy, responder: LiveResponder) -> None:
    shop = wish("shop.example.com")
    async with tended([issuer_of(pebble, proxy.directory)], [shop], responder=responder) as world:
        await world.issued(shop)
    assert responder.is_clean


@pytest.mark.parametrize("what", STEPS)
@pytest.mark.parametrize("cut", [Cut(is_after=False), Cut(is_after=True)], ids=["before", "after"])
async def test_a_cut_connection_makes_no_second_order(
    what: str, cut: Cut, pebble: Pebble, proxy: Proxy, responder: LiveResponder
) -> None:
    """Wherever the connection is cut, the CA takes one order, and its certificate is stored.

    After newOrder, too: the order whose URL was never heard is found in the account's list.
    """
    proxy.fault = Bad(cut, what)
    await issue_one(pebble, proxy, responder)
    assert len(proxy.orders) == 1


@pytest.mark.parametrize("after", [0, 1, 2], ids=["account", "list", "order"])
async def test_a_lost_order_is_looked_for_until_the_ca_says(
    after: int, pebble: Pebble, proxy: Proxy, responder: LiveResponder
) -> None:
    """A CA that is too busy to show its list has not said that there is no order."""
    since_lost = count(-1)

    def fault(request: Request) -> Fault | None:
        if request.what == "order" and not proxy.orders:
            next(since_lost)
            return Cut(is_after=True)
        is_turn = bool(proxy.orders) and next(since_lost) == after
        return Answer(429, "1", "rateLimited") if is_turn else None

    proxy.fault = fault
    await issue_one(pebble, proxy, responder)
    assert len(proxy.orders) == 1
    assert len([each for each in proxy.requests if each.retry_after_s]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_pause_that_the_ca_asks_for_is_kept(
    status: int, pebble: Pebble, proxy: Proxy, responder: LiveResponder
) -> None:
    """Neither 429 nor 5xx is answered with a request before Retry-After has passed."""
    kind = "rateLimited" if status == 429 else "serverInternal"
    proxy.fault = Bad(Answer(status, "1", kind), *STEPS)
    await issue_one(pebble, proxy, responder)
    assert list(proxy.too_early()) == []
    assert len(proxy.orders) == 1
    assert len([request for request in proxy.requests if request.retry_after_s]) == len(STEPS)


async def test_a_pause_in_a_good_answer_is_kept(
    pebble: Pebble, proxy: Proxy, responder: LiveResponder
) -> None:
    """Retry-After in a 200 holds up the next look at the same thing (RFC 8555, section 7.5.1)."""
    proxy.fault = Bad(Header("1"), "order", "authorization", "challenge", "finalize")
    await issue_one(pebble, proxy, responder)
    assert list(proxy.too_early()) == []


async def test_a_limit_for_one_host_does_not_hold_up_others(
    pebble: Pebble, proxy: Proxy, responder: LiveResponder
) -> None:
    """A 429 that names a host is about its orders alone."""
    busy, free = wish("busy.example.com"), wish("free.example.org")

    def fault(request: Request) -> Fault | None:
        if request.what == "order" and request.hosts == busy.hosts:
            detail = "too many certificates already issued for busy.example.com"
            return Answer(429, "3600", "rateLimited", detail)
        return None

    proxy.fault = fault
    async with tended(
        [issuer_of(pebble, proxy.directory)], [busy, free], responder=responder
    ) as world:
        await world.issued(free)
        await world.until(lambda: (state := world.state(busy)) is not None and state.failures == 0)
        await world.until(lambda: len(proxy.of("order")) == 2)
        state = world.state(busy)
        assert state is not None
        assert state.next_at is not None
        assert state.phase == "refused"
        assert "too many certificates" in state.last_error
        assert "wait" in state.advice
    assert list(proxy.too_early()) == []


@pytest.mark.slow
async def test_everything_at_once_ends_with_certificates(
    pebble: Pebble, proxy: Proxy, responder: LiveResponder
) -> None:
    """Every third request fails in some way, and all hosts get their certificate by one order."""
    faults = (
        Cut(is_after=True),
        Answer(503, "1"),
        Answer(500),
        Cut(is_after=False),
        Answer(429, "1", "rateLimited"),
    )
    seen: Counter[str] = Counter()

    def fault(request: Request) -> Fault | None:
        seen["all"] += 1
        if seen["all"] % 3 or seen[request.what] >= 2:
            return None
        seen[request.what] += 1
        return faults[seen["all"] // 3 % len(faults)]

    proxy.fault = fault
    wishes = [wish(f"host{number}.example.com") for number in range(5)]
    async with tended([issuer_of(pebble, proxy.directory)], wishes, responder=responder) as world:
        await world.issued(*wishes)
    assert list(proxy.too_early()) == []
    assert len(proxy.orders) == len(wishes)
    assert responder.is_clean


@pytest.mark.slow
async def test_a_vault_that_fails_makes_no_second_order(
    pebble: Pebble, proxy: Proxy, responder: LiveResponder
) -> None:
    """While nothing can be written, what was learnt is kept in memory."""
    vault = MemoryVault()
    failures: Counter[str] = Counter()

    def fail_once(name: str) -> None:
        failures[name] += 1
        if failures[name] == 1:
            raise TransientError("the vault is out of order")

    vault.before = fail_once
    shop = wish("shop.example.com")
    async with tended(
        [issuer_of(pebble, proxy.directory)], [shop], vault=vault, responder=responder
    ) as world:
        await world.issued(shop)
    assert len(proxy.orders) == 1
    assert failures.keys() == {"look", "save_account", "save", "store"}
