"""Rules and elements as text: golden, and read back from the kernel that nft has loaded it into."""

from pathlib import Path

import msgspec
import pytest

from onehop.driver.nftables import misfit
from onehop.driver.nftables.element import VERDICTS, Elements, Lookup, entrance_of
from onehop.driver.nftables.netlink import Netlink
from onehop.driver.nftables.nft import run_nft
from onehop.driver.nftables.render import elements_of, render_script
from onehop.driver.nftables.ruleset import Sticky
from onehop.model.address import Cidr
from onehop.model.endpoint import Endpoint
from onehop.model.ident import RouterId
from onehop.model.listener import ForwardHttp, StreamShare, Transport
from onehop.model.model import Model, model_of
from onehop.model.pool import (
    BackendTls,
    Balancing,
    CookiePersistence,
    ProxyProtocol,
    SourceIpPersistence,
)
from tests.driver_nftables.namespace import own_namespace
from tests.driver_nftables.world import at, known, listener, members, pool, shared
from tests.golden import check_golden

GOLDEN = Path(__file__).parent / "golden"


def shop() -> Model:
    """Return listeners of every kind that the kernel serves."""
    web, dns = pool(), pool(Transport.UDP, name="dns", is_transparent=True)
    sticky = pool(name="sticky", persistence=SourceIpPersistence(timeout_s=600))
    empty = pool(name="empty")
    sources = (Cidr("198.51.100.0/24"), Cidr("198.51.100.128/25"), Cidr("2001:db8:1::/64"))
    return model_of(
        (
            *(web, members(web, at(8001, weight=3), at(8002))),
            *(listener(web), listener(web, version=6, port=81)),
            *(dns, members(dns, at(53, 6)), listener(dns, version=6, port=53, sources=sources)),
            *(sticky, members(sticky, at(8001), at(8002)), listener(sticky, port=82)),
            *(empty, members(empty), listener(empty, port=84, sources=sources)),
            shared(listener(web, port=85), StreamShare(web.id, 3), StreamShare(None)),
        )
    )


def test_rules_and_elements_are_golden() -> None:
    """What is read in review is what the kernel gets."""
    check_golden(GOLDEN / "shop.nft", render_script(shop()))


@pytest.mark.root
async def test_nft_means_by_the_text_what_we_send() -> None:
    """Loaded by nft, the kernel holds the very bytes that we send over netlink."""
    hashed = pool(name="hashed", balancing=Balancing.HASH)
    rows = hashed, members(hashed, at(8001), at(8002)), listener(hashed, port=83)
    model = model_of((*shop().rows(), *rows))
    with own_namespace():
        await run_nft(render_script(model))
        found: Elements = {}
        with Netlink() as netlink:
            for lookup in Lookup:
                for version in (4, 6):
                    found |= await netlink.elements(lookup, version)

    assert found == elements_of(model)[0]
    assert {entrance_of(place).port for place in found} == {53, 80, 81, 82, 83, 84, 85}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"handler": ForwardHttp(router=RouterId("shared"))}, "no HTTP"),
        ({"accepts_proxy_protocol": True}, "no PROXY header"),
        ({"max_connections": 5}, "no connections of a listener"),
    ],
)
def test_listeners_that_need_a_proxy_say_why(changed: dict[str, object], why: str) -> None:
    """By the first reason found."""
    row = msgspec.structs.replace(listener(pool()), **changed)
    assert why in (misfit(row, known(pool())) or "")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"tls": BackendTls()}, "no TLS"),
        ({"proxy_protocol": ProxyProtocol.V2}, "writes no PROXY"),
        ({"max_connections": 5}, "no connections to a pool"),
        ({"persistence": CookiePersistence(name="c")}, "no cookies"),
    ],
)
def test_pools_that_need_a_proxy_say_why(changed: dict[str, object], why: str) -> None:
    """By the first reason found."""
    changed_pool = msgspec.structs.replace(pool(), **changed)
    assert why in (misfit(listener(pool()), known(changed_pool)) or "")
    assert misfit(listener(pool()), known()) == "its pool is missing"


def test_endpoints_of_the_other_version_of_ip_are_passed_over() -> None:
    """A translation of addresses does not cross from one to the other."""
    web = pool()
    other = Endpoint(address=at(80, 6).address, port=8001)
    only_other = elements_of(model_of((web, members(web, other), listener(web))))[0]
    assert {place.lookup for place in only_other} == {Lookup.REFUSED}


def test_what_changes_with_endpoints_is_in_no_map_of_verdicts() -> None:
    """The kernel would look at all Services for loops, and be slower, the more there are."""
    for of in (pool(), pool(persistence=SourceIpPersistence()), pool(balancing=Balancing.HASH)):
        entrance = listener(of, sources=(Cidr("198.51.100.0/24"),))
        every = [at(8001 + number, weight=number + 1) for number in range(10)]
        before, chains = elements_of(model_of((of, members(of, *every), entrance)))
        after, others = elements_of(model_of((of, members(of, *every[1:]), entrance)))
        changed = {place.lookup for place, _ in before.items() ^ after.items()}
        assert changed
        assert not changed & VERDICTS
        own = {chain for chain in chains | others if isinstance(chain, Sticky)}
        assert own <= chains & others  # so that nft is not needed
