"""Never wipe: whatever lists the API gives, nothing is removed that is still in the cluster."""

import contextlib
from collections.abc import AsyncGenerator
from functools import partial

import pytest

from onehop.lab.api.faults import CutWatches, DroppedEvent, Fault, Gone
from tests.e2e.client import Steady, Target, is_served, is_unknown, steady
from tests.e2e.cluster import INGRESSES, SLICES, WATCHED, Cluster
from tests.e2e.everything import LIST_FAULTS, everything_in, verbs_of
from tests.e2e.objects import endpoints, ingress
from tests.e2e.program import Onehop
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]


@contextlib.asynccontextmanager
async def _all_served(cluster: Cluster) -> AsyncGenerator[Steady]:
    """Serve everything, and demand that no request fails while the context lasts."""
    async with everything_in(cluster) as targets:
        for host, _, tls in (*targets, Target("one.example.com")):
            await until(partial(is_served, host, tls), f"{host} is served")
        async with steady(*targets) as requests:
            yield requests


async def _force_list(cluster: Cluster, resource: str, *faults: Fault) -> None:
    """Make the program list a kind again, and meet these faults; wait until it has asked."""
    before = cluster.requests.count("list", resource)
    expiry = cluster.faults.arm(Gone(), resource, verbs={"watch"}, times=1)
    for fault in faults:
        cluster.faults.arm(fault, resource, verbs=verbs_of(fault))

    def is_listed() -> bool:
        if any(armed.id == expiry for armed in cluster.faults.armed):
            cluster.faults.arm(CutWatches(), resource)  # again, if it was just being opened
        return cluster.requests.count("list", resource) > before

    await until(is_listed, f"{resource} is listed again")


@pytest.mark.parametrize("fault", LIST_FAULTS)
async def test_a_list_that_lies_in_mid_life_removes_nothing(
    cluster: Cluster, onehop: Onehop, fault: str
) -> None:
    """Of every kind in turn; and meanwhile a real deletion of one object goes through."""
    others = [resource for resource in WATCHED if resource != INGRESSES]
    async with _all_served(cluster) as requests:
        before, removals = await onehop.served(), onehop.removals()
        for resource in others:
            await _force_list(cluster, resource, LIST_FAULTS[fault])
            await requests.some_more()
            assert await onehop.served() == before, resource
        cluster.remove(INGRESSES, "one")
        await until(lambda: is_unknown("one.example.com"), "the deleted Ingress is gone")
        after = await onehop.served()
        await _force_list(cluster, INGRESSES, LIST_FAULTS[fault])
        await requests.some_more()
        assert await onehop.served() == after
        cluster.faults.disarm()

    gone = {kind: before[kind] - after[kind] for kind in before}
    assert removals == 0
    await until(onehop.removals, "it is logged")
    assert onehop.removals() == 1
    assert [len(names) for names in gone.values()] == [0, 0, 1, 0], gone


async def test_cut_connections_remove_nothing(cluster: Cluster, onehop: Onehop) -> None:
    """Every open watch is cut off ten times, in the middle of its stream."""
    async with _all_served(cluster) as requests:
        before = await onehop.served()
        for _ in range(10):
            cluster.faults.arm(CutWatches())
            await requests.some_more(4)
        cluster.remove(INGRESSES, "one")
        await until(lambda: is_unknown("one.example.com"), "the deleted Ingress is gone")

    await until(onehop.removals, "it is logged")
    assert onehop.removals() == 1
    assert (await onehop.served())["endpoints"] == before["endpoints"]


async def test_a_lost_event_is_made_up_for_by_the_next_list(
    cluster: Cluster, onehop: Onehop
) -> None:
    """No watch tells of a change; the lists after it do, and nothing else is lost."""
    async with _all_served(cluster) as requests:
        for resource in (INGRESSES, SLICES):
            cluster.faults.arm(DroppedEvent(), resource)
        cluster.put(ingress("late", "late.example.com"), endpoints("web", "10.244.1.2"))
        cluster.remove(INGRESSES, "one")
        cluster.faults.disarm()
        await requests.some_more()
        unaware = (await is_served("one.example.com"), await is_unknown("late.example.com"))
        for resource in (INGRESSES, SLICES):
            await _force_list(cluster, resource)
        await until(lambda: is_served("late.example.com"), "the new Ingress is served")
        await until(lambda: is_unknown("one.example.com"), "the deleted Ingress is gone")
        await until(lambda: requests.pods["web-2"], "the new Pod is used")

    assert unaware == (True, True)
    await until(onehop.removals, "it is logged")
    assert onehop.removals() == 1
