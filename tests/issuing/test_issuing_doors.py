"""Where a host should lead, and where it may."""

from typing import Final

from onehop.acme.preflight import Doors
from onehop.control.issuing.doors import doors_for
from onehop.model.address import IpAddr
from tests.explain.known import facts_of_story

SHARED: Final = IpAddr("203.0.113.80")
PUBLIC: Final = IpAddr("198.51.100.1")


def doors(story: str, host: str) -> Doors:
    reader = facts_of_story(story).compiler.reader()
    return doors_for(reader, host, shared={SHARED: 8080}, public={PUBLIC: 8081})


def test_a_host_of_gateways_should_lead_to_all_that_have_a_listener_for_it() -> None:
    """To port 80 there, whatever the shared VIP's is; at the shared VIP it is answered for, too."""
    found = doors("gateway-acme-answers", "shop.example.com")

    own = ("203.0.113.10", "203.0.113.12", "203.0.113.13")
    assert found.meant == (PUBLIC, *own)
    assert found.ports == {SHARED: 8080, PUBLIC: 8081} | dict.fromkeys(own, 80)


def test_a_host_of_ingresses_should_lead_to_the_shared_vip() -> None:
    """Or to the addresses before it."""
    found = doors("gateway-acme-of-several", "nobody.example.net")

    assert found.meant == (PUBLIC, SHARED)
    assert found.ports == {SHARED: 8080, PUBLIC: 8081}


def test_a_host_of_both_may_lead_to_either() -> None:
    """While it moves from an Ingress to a Gateway, say."""
    found = doors("gateway-acme-of-several", "three.example.com")

    assert found.meant == (PUBLIC, "203.0.113.10", SHARED)
