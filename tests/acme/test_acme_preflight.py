"""What is found out before an order, and that nothing is ordered meanwhile."""

import dns.asyncresolver

from onehop.acme.issuer import Http01
from onehop.acme.preflight import Doors, Preflight, system_resolve
from onehop.base.errors import SolverUnavailable
from onehop.model.address import IpAddr
from tests.acme.pebble import Pebble
from tests.acme.proxy import Proxy
from tests.acme.responder import LiveResponder
from tests.acme.world import issuer_of, tended, wish

HERE = IpAddr("127.0.0.1")


def preflight_of(pebble: Pebble, responder: LiveResponder, *addresses: str) -> Preflight:
    """Check against Pebble's own DNS, with hosts that have these addresses."""

    async def resolve(_: str) -> tuple[IpAddr, ...]:
        if addresses == ("fails",):
            raise SolverUnavailable("SERVFAIL")
        return tuple(map(IpAddr, addresses))

    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = pebble.dns_port
    doors = Doors(ports={HERE: pebble.http_port}, meant=(HERE,))
    return Preflight(
        lambda _host: doors,
        responder,
        resolve=resolve,
        resolver=resolver,
    )


async def said(preflight: Preflight, pebble: Pebble) -> dict[str, tuple[bool, str]]:
    issuer = issuer_of(pebble, solvers=(Http01(),))
    findings = await preflight.check(
        wish("shop.example.com"), issuer, identities=("ca.example",), account=None
    )
    return {finding.check: (finding.forbids, finding.said) for finding in findings}


async def test_a_host_that_leads_here_is_clear(pebble: Pebble, responder: LiveResponder) -> None:
    """Address, CAA and our own token over port 80 are all looked at, and nothing is left."""
    found = await said(preflight_of(pebble, responder, HERE), pebble)
    assert found.keys() == {"CAA", "address", "http"}
    assert not any(forbids for forbids, _ in found.values())
    assert responder.is_clean


async def test_a_host_that_leads_elsewhere_is_said_to(
    pebble: Pebble, responder: LiveResponder
) -> None:
    """The address is named; with one of ours beside it the CA may find us, so it forbids not."""
    forbids, text = (await said(preflight_of(pebble, responder, "192.0.2.1"), pebble))["address"]
    assert forbids
    assert "leads to 192.0.2.1, which is not this load balancer" in text
    assert (await said(preflight_of(pebble, responder), pebble))["address"][1] == "has no address"
    mixed = (await said(preflight_of(pebble, responder, HERE, "192.0.2.1"), pebble))["address"]
    assert not mixed[0]
    failed = (await said(preflight_of(pebble, responder, "fails"), pebble))["address"]
    assert failed == (True, "cannot be resolved: SERVFAIL")


async def test_caa_records_of_a_domain_above_forbid(
    pebble: Pebble, responder: LiveResponder
) -> None:
    """RFC 8659, section 3: the first domain upwards that has any."""
    policy = [{"tag": "issue", "value": "other.example"}]
    await pebble.set_dns("add-caa", host="example.com", policies=policy)
    try:
        forbids, text = (await said(preflight_of(pebble, responder, HERE), pebble))["CAA"]
    finally:
        await pebble.set_dns("clear-caa", host="example.com")
    assert forbids
    assert "at example.com" in text
    assert "other.example" in text


async def test_nothing_is_ordered_for_a_host_that_would_fail(
    pebble: Pebble, proxy: Proxy, responder: LiveResponder
) -> None:
    """The finding is the state's last error, with advice; the CA hears of no order."""
    shop = wish("shop.example.com")
    async with tended(
        [issuer_of(pebble, proxy.directory)],
        [shop],
        responder=responder,
        preflight=preflight_of(pebble, responder, "192.0.2.1"),
    ) as world:
        await world.until(lambda: (s := world.state(shop)) is not None and s.failures == 1)
        state = world.state(shop)
        assert state is not None
        assert "192.0.2.1" in state.last_error
        assert "127.0.0.1" in state.advice
    assert proxy.of("order") == []


async def test_the_systems_resolver_is_asked() -> None:
    """What has no address has none; what has one leads there."""
    assert HERE in await system_resolve("localhost")
    assert await system_resolve("nothing.invalid") == ()
