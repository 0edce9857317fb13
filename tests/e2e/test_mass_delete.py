"""Real deletions: within the budget they go, above it somebody has to say that they are meant."""

from functools import partial

import pytest

from tests.e2e.client import is_served, is_unknown, steady
from tests.e2e.cluster import INGRESSES, Cluster
from tests.e2e.objects import Json, endpoints, ingress, service
from tests.e2e.program import Onehop
from tests.e2e.program import onehop as command
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]

NUMBER = 60


@pytest.fixture
def config(config: Json) -> Json:
    """A budget of a quarter, and of no fewer than five rows."""
    return config | {"safety": {"deletionBudget": {"percent": 25, "rows": 5}}}


async def _hosts(onehop: Onehop) -> int:
    return (await onehop.snapshot()).served.get("host", 0)


async def _serve_many(cluster: Cluster, onehop: Onehop) -> None:
    for number in range(NUMBER):
        cluster.put(ingress(f"app-{number}", f"app-{number}.example.com"))

    async def are_served() -> bool:
        return await _hosts(onehop) == NUMBER + 1

    await until(are_served, "all hosts are served")


async def test_deletions_within_the_budget_go_and_those_beyond_it_wait_for_a_person(
    cluster: Cluster, shop: Onehop
) -> None:
    """What is kept back is served, counted in status and metric, and goes with `confirm`."""
    await _serve_many(cluster, shop)

    async def all_the_rest() -> float:
        withheld = await shop.metric("onehop_withheld_removals", table="host")
        return withheld if await _hosts(shop) == 1 + withheld else 0

    async with steady():
        for number in range(10):
            cluster.remove(INGRESSES, f"app-{number}")
        await until(lambda: is_unknown("app-9.example.com"), "ten of sixty are gone")
        for number in range(10, NUMBER):
            cluster.remove(INGRESSES, f"app-{number}")
        withheld = await until(all_the_rest, "what has not gone is kept back")
        text = await command("status", "--config", str(shop.config_file))
        still_served = await is_served("app-59.example.com")
        confirmed = await command("confirm", "--config", str(shop.config_file))
        await until(lambda: is_unknown("app-59.example.com"), "what was kept back is gone")
        again = await command("confirm", "--config", str(shop.config_file))

    async def is_over() -> bool:
        return (await _hosts(shop), await shop.metric("onehop_withheld_removals")) == (1, 0)

    await until(is_over, "one host is left, and nothing kept back")
    assert 30 <= withheld <= 50
    assert "kept back removals beyond the deletion budget" in text.out
    assert "onehop confirm" in text.out
    assert still_served
    assert (confirmed.code, confirmed.out.endswith(" removals confirmed\n")) == (0, True)
    assert (again.code, again.out) == (0, "nothing was kept back\n")


async def test_what_comes_back_is_no_longer_kept_back(cluster: Cluster, shop: Onehop) -> None:
    """Somebody deletes everything and puts it back: nothing has happened, and nothing waits."""
    await _serve_many(cluster, shop)
    async with steady():
        for number in range(NUMBER):
            cluster.remove(INGRESSES, f"app-{number}")
        await until(lambda: shop.metric("onehop_withheld_removals"), "removals are kept back")
        for number in range(NUMBER):
            cluster.put(ingress(f"app-{number}", f"app-{number}.example.com"))

        async def nothing_waits() -> bool:
            return await shop.metric("onehop_withheld_removals") == 0

        await until(nothing_waits, "nothing is kept back")
        for number in (0, 30, 59):
            await until(partial(is_served, f"app-{number}.example.com"), "it is served")


async def test_endpoints_of_many_pools_do_not_vanish_at_once(
    cluster: Cluster, shop: Onehop
) -> None:
    """A pool that loses its last endpoint counts: thirty at once are kept as they were."""
    for number in range(30):
        name = f"web-{number}"
        cluster.put(
            service(name),
            endpoints(name, "10.244.1.1"),
            ingress(name, f"{name}.x.org", backend=name),
        )
    await until(lambda: is_served("web-29.x.org"), "all are served")
    for number in range(30):
        cluster.put(endpoints(f"web-{number}"))
    await until(
        lambda: shop.metric("onehop_withheld_removals", table="endpoints"), "they are kept back"
    )
    served = [await is_served(f"web-{number}.x.org") for number in range(30)]

    assert served.count(True) >= 20
