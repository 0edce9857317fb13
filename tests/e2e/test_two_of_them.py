"""Two onehops before one cluster: both serve, one writes."""

import signal
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.client import is_served
from tests.e2e.cluster import INGRESSES, LEASES, SERVICES, Cluster
from tests.e2e.objects import Json, balancer, ingress
from tests.e2e.program import Onehop, running
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy, pytest.mark.slow]

LEASE_S = 15
"""How long a leader that is not heard of keeps the Lease, and a little for its successor."""
TAKEN_OVER_S = LEASE_S + 10


@pytest.fixture
async def pair(
    cluster: Cluster, config: Json, tmp_path: Path
) -> AsyncGenerator[tuple[Onehop, Onehop]]:
    """The leader, and one that waits; both bind the same addresses."""
    assert cluster.kubeconfig.exists()
    second = config | {"listen": {"metrics": "127.0.0.1:9081"}}
    async with running(tmp_path / "a", config) as a:
        await until(lambda: a.logged("leading"), "the first leads")
        async with running(tmp_path / "b", second) as b:
            yield a, b


async def _is_leader(program: Onehop) -> bool:
    return (await program.snapshot()).is_leader


def _status_writes(cluster: Cluster) -> int:
    return cluster.requests.writes(resource=f"{INGRESSES}/status")


async def test_one_writes_for_both(cluster: Cluster, pair: tuple[Onehop, Onehop]) -> None:
    """Both serve a new host, and each fact is written once."""
    for name in ("one", "two"):
        cluster.put(ingress(name, f"{name}.example.com"))
        await until(partial(cluster.addresses, INGRESSES, name), f"{name} has an address")
    cluster.put(balancer("queue", {"port": 81}))
    await until(lambda: cluster.addresses(SERVICES, "queue"), "the Service has an address")
    for program in pair:

        async def has_both(program: Onehop = program) -> bool:
            return (await program.snapshot()).served.get("host") == 2

        await until(has_both, "both hosts are served by each")

    assert [await _is_leader(program) for program in pair] == [True, False]
    assert _status_writes(cluster) == 2
    assert cluster.requests.writes(resource="services") == 1


async def test_one_that_wakes_up_after_its_time_writes_nothing(
    cluster: Cluster, pair: tuple[Onehop, Onehop]
) -> None:
    """The leader is stopped beyond its lease, its successor leads; awake, the old one is fenced.

    The successor is stopped in its turn, so that what is to be written lies there for the old one
    alone, who wakes up believing that it leads.
    """
    old, new = pair
    old.send(signal.SIGSTOP)
    await until(lambda: new.logged("leading"), "the second leads", timeout_s=TAKEN_OVER_S)
    new.send(signal.SIGSTOP)
    cluster.put(ingress())
    before = cluster.requests.count("get", LEASES)
    writes = cluster.requests.writes(resource=LEASES)
    old.send(signal.SIGCONT)
    await until(lambda: old.logged("not_leading"), "the old one knows")
    await until(is_served, "it serves all the same")
    await until(lambda: cluster.requests.count("get", LEASES) > before, "it has asked who leads")
    by_the_old = _status_writes(cluster), cluster.requests.writes(resource=LEASES) - writes
    new.send(signal.SIGCONT)
    await until(lambda: cluster.addresses(INGRESSES, "shop"), "the new one writes")

    assert by_the_old == (0, 0)
    assert _status_writes(cluster) == 1
    assert [await _is_leader(program) for program in pair] == [False, True]


async def test_a_leader_that_ends_hands_over_at_once(
    cluster: Cluster, pair: tuple[Onehop, Onehop]
) -> None:
    """SIGTERM gives the Lease up: the other writes within seconds, not after the lease."""
    old, new = pair
    assert await old.stop() == 0
    await until(lambda: new.logged("leading"), "the second leads", timeout_s=LEASE_S / 2)
    cluster.put(ingress())
    await until(lambda: cluster.addresses(INGRESSES, "shop"), "the Ingress has an address")

    assert _status_writes(cluster) == 1
