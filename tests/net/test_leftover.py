"""A restart with another configuration takes away what the one before had kept."""

from collections.abc import Iterator
from functools import partial

import pytest

from onehop.model.address import IpAddr
from onehop.net.leftover import sweep
from onehop.net.table import RoutingTable
from onehop.net.vxlan.device import ensure_device
from onehop.net.vxlan.vtep import Vtep
from tests.net.namespaces import Machine, machines

pytestmark = pytest.mark.root


@pytest.fixture
def host() -> Iterator[Machine]:
    with machines("leftover", "node") as (machine, _):
        machine.run(RoutingTable().put)
        vtep = Vtep(
            vni=1,
            port=8472,
            local=IpAddr("192.0.2.1"),
            inner=IpAddr("10.244.9.0"),
            mac="02:00:00:00:00:01",
        )
        machine.run(partial(ensure_device, vtep))
        for prefix, proto, metric in (
            ("10.244.1.0/24", "111", "111"),
            ("10.244.2.0/24", "111", "112"),
            ("10.244.3.0/24", "bird", "32"),
            ("10.244.4.0/24", "static", "1"),
        ):
            route = ("via", "192.0.2.2", "proto", proto, "metric", metric)
            machine.ip("route", "add", prefix, *route, "table", "111")
        yield machine


def left(host: Machine) -> set[str]:
    return {route["dst"] for route in host.show("route", "show", "table", "111")}


def test_what_is_kept_stays(host: Machine) -> None:
    """Static routes, tunnels and BGP are each kept or not, apart from one another."""
    host.run(partial(sweep, keeps_static=True, keeps_tunnel=False, keeps_bgp=True))

    assert left(host) == {"10.244.1.0/24", "10.244.3.0/24", "10.244.4.0/24"}
    assert not any("onehop." in link["ifname"] for link in host.show("link"))
    assert any(rule["priority"] == 32000 for rule in host.show("rule"))


def test_nothing_of_ours_stays_when_nothing_is_kept(host: Machine) -> None:
    """What somebody else has put into our table is left alone."""
    host.run(partial(sweep, keeps_static=False, keeps_tunnel=False, keeps_bgp=False))

    assert left(host) == {"10.244.4.0/24"}
    assert not any(rule["priority"] == 32000 for rule in host.show("rule"))


def test_a_second_sweep_finds_nothing(host: Machine) -> None:
    """It costs a few questions to the kernel, and says nothing."""
    host.run(partial(sweep, keeps_static=False, keeps_tunnel=False, keeps_bgp=False))

    again = host.run(partial(sweep, keeps_static=False, keeps_tunnel=False, keeps_bgp=False))
    assert again == ()
