"""Labs of other kinds: without BGP, and with clients whose own address the Pods see."""

import functools
import os
from collections.abc import AsyncGenerator

import pytest

from onehop.lab.world import Spec, Underlay, World, down
from tests.e2e.waiting import until
from tests.lab.clients import clients, usual_flows
from tests.lab.traffic import Flow
from tests.lab.view import MOVE_S, View
from tests.lab_world.conftest import remains

pytestmark = [pytest.mark.root, pytest.mark.envoy, pytest.mark.slow]

_TRANSPARENT = {"metadata": {"annotations": {"onehop.dev/client-address": "transparent"}}}
_CLIENT_NET = "10.110.0.0/24"


@pytest.fixture
async def name() -> AsyncGenerator[str]:
    """Return a name for a lab that is gone afterwards."""
    chosen = f"c{os.getpid()}"
    try:
        yield chosen
    finally:
        await down(chosen)
    assert remains(chosen) == []


async def test_without_bgp_a_removed_route_is_put_back_at_once(name: str) -> None:
    """IPv4 and IPv6: the routes follow from the Nodes, whoever deletes them."""
    world = await World.up(Spec(name=name, nodes=2, pods=2, network=Underlay.STATIC, ipv6=True))
    await View(world).until_direct()
    view = View(world)
    cidrs = world.plan.node("node1").pod_cidrs
    flows = (*usual_flows(), Flow(kind="fresh", address="2001:db8:113::a"))
    async with clients(world, flows) as requests:
        for cidr in cidrs:
            await world.exec(view.lb, "ip", "route", "del", cidr, "table", "111")
        for cidr in cidrs:
            await until(functools.partial(_has_route, view, cidr), f"{cidr} is back")
        await view.until_direct()

    assert requests.failed == []
    assert {node for node, _ in view.moves()} <= {"node1"}


async def test_pods_see_a_transparent_clients_own_address(name: str) -> None:
    """Once the nodes' way back is proven; never while it leads past us."""
    world = await World.up(Spec(name=name, nodes=2, pods=2, transparent=True))
    view = View(world)
    await view.until_direct()
    client = world.plan.client.addresses[0]
    ranges = {"spec": {"loadBalancerSourceRanges": [_CLIENT_NET]}}
    async with clients(world) as requests, world.cluster() as cluster:
        await cluster.patch("/api/v1/namespaces/shop/services/echo", _TRANSPARENT | ranges)

        async def is_seen() -> bool:
            done = await world.exec("client", "curl", "-s", "--max-time", "2", "203.0.113.11")
            return f'"saw":"{client}"' in done.out

        await until(is_seen, "Pods see the client", timeout_s=MOVE_S)
        # A way back past us: the router answers for the clients on the nodes' side, as before.
        for node in ("node1", "node2"):
            await world.exec(node, "ip", "route", "add", _CLIENT_NET, "via", "10.111.0.1")
        await view.problem("NoReturnPath", _CLIENT_NET)
        for node in ("node1", "node2"):
            await world.exec(node, "ip", "route", "del", _CLIENT_NET, "via", "10.111.0.1")

    assert [failed for failed in requests.failed if not failed.startswith("tcp")] == []
    assert client in requests.saw(kind="tcp")
    assert client not in requests.saw(kind="fresh")


async def _has_route(view: View, cidr: str) -> bool:
    done = await view.world.exec(
        view.lb, "ip", "-6" if ":" in cidr else "-4", "route", "show", cidr, "table", "111"
    )
    return cidr in done.out
