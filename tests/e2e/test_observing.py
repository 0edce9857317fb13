"""What machines read: health, readiness and metrics."""

from pathlib import Path

import pytest

from onehop.lab.api.faults import ServerError
from tests.e2e.client import SHARED, accepts, is_served, status_of
from tests.e2e.cluster import INGRESSES, NODES, SERVICES, Cluster
from tests.e2e.objects import Json, balancer, endpoints, ingress, service
from tests.e2e.program import Onehop, running
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]

MANY = 200


async def _series(onehop: Onehop) -> set[str]:
    """Return all series, without their values."""
    _, text = await onehop.get("/metrics")
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


async def test_two_hundred_ingresses_make_no_more_series_than_one(
    cluster: Cluster, onehop: Onehop
) -> None:
    """No label carries a host, a Pod, an object or a namespace; every kind of fault has its own."""
    cluster.put(service("app-0"), endpoints("app-0", "10.244.1.1"))
    cluster.put(ingress("app-0", "app-0.example.com", backend="app-0", balancing="fastest"))
    cluster.put(balancer("lb-0", {"port": 81}))
    await until(lambda: is_served("app-0.example.com"), "the first is served")
    await until(lambda: onehop.metric("onehop_problems"), "its fault is counted")
    told = {"kind": "event", "outcome": "done"}
    await until(lambda: onehop.metric("onehop_status_requests_total", **told), "events are told")
    await until(lambda: cluster.addresses(INGRESSES, "app-0"), "the Ingress has an address")
    await until(lambda: cluster.addresses(SERVICES, "lb-0"), "the Service has an address")
    before = await _series(onehop)
    for number in range(1, MANY):
        name = f"app-{number}"
        cluster.put(service(name), endpoints(name, "10.244.1.1"))
        cluster.put(ingress(name, f"{name}.example.com", backend=name, balancing="fastest"))
    for number in range(1, 5):
        cluster.put(balancer(f"lb-{number}", {"port": 81}))
    await until(lambda: is_served(f"app-{MANY - 1}.example.com"), "the last is served")

    async def all_are_counted() -> bool:
        return await onehop.metric("onehop_served_rows", table="host") == MANY

    await until(all_are_counted, "all hosts are counted")
    after = await _series(onehop)

    assert after == before
    assert len(after) < 200
    assert not [series for series in after if "app-0" in series or "shop" in series]


async def test_it_is_ready_when_every_list_is_read_and_what_follows_is_served(
    cluster: Cluster, config: Json, tmp_path: Path
) -> None:
    """One list is missing: healthy, not ready, `is_synced` 0. It comes: served, and then ready."""
    cluster.put(ingress())
    slow = cluster.faults.arm(ServerError(), NODES, verbs={"list"})
    async with running(tmp_path / "a", config, waits=False) as program:
        await until(lambda: cluster.requests.count("list", NODES) > 2, "it has asked and asked")
        early = [(await program.get(path))[0] for path in ("/healthz", "/readyz", "/metrics")]
        synced = await program.metric("onehop_is_synced")
        unserved = await accepts(SHARED, 80)
        cluster.faults.disarm(slow)
        await until(program.is_ready, "it is ready")
        at_once = await status_of()
        late = await program.metric("onehop_is_synced")

    assert early == [200, 503, 200]
    assert (synced, unserved) == (0, False)
    assert at_once == 200
    assert late == 1


async def test_an_event_loop_that_is_late_would_be_seen(cluster: Cluster, shop: Onehop) -> None:
    """The worst lag over all of this is far below what a client would feel.

    What it waited for a processor is not its own doing.
    """
    for number in range(MANY):
        cluster.put(ingress(f"app-{number}", f"app-{number}.example.com"))
    await until(lambda: is_served(f"app-{MANY - 1}.example.com"), "the last is served")

    _, waited_ns, _ = Path(f"/proc/{shop.pid}/schedstat").read_text().split()
    lag_s = await shop.metric("onehop_event_loop_lag_seconds")
    assert 0 < lag_s < 0.5 + int(waited_ns) / 1e9
