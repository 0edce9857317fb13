"""Two onehops of one cluster before one vTM (an imitated one): the holder of the Lease writes."""

import signal
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import msgspec
import pytest

from onehop.lab.vtm import VtmCluster, serve_vtm
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import WEB_PODS
from tests.e2e.objects import Json, endpoints, ingress
from tests.e2e.program import Onehop, running
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

TAKEN_OVER_S = 60.0
"""How long a leader that is not heard of keeps the Lease, and a little for its successor."""


class Pair(msgspec.Struct):
    """The holder of the Lease, one that waits, and the unit before both."""

    holder: Onehop
    other: Onehop
    unit: VtmCluster

    def nodes(self) -> list[str]:
        """Return the nodes of the only pool, as the first member has them."""
        pools = [
            content
            for (kind, _), content in self.unit.members[0].objects.items()
            if kind == "pools" and not isinstance(content, str)
        ]
        return [row["node"] for pool in pools for row in pool["basic"]["nodes_table"]]


@pytest.fixture
async def pair(cluster: Cluster, config: Json, tmp_path: Path) -> AsyncGenerator[Pair]:
    """Both know a shop with one Pod; the unit has it from the holder."""
    cluster.put(ingress())
    unit = VtmCluster(members=("tm-1",))
    password = tmp_path / "password"
    password.write_text(unit.password)
    async with serve_vtm(unit) as urls:
        vtm = {"urls": list(urls), "passwordFile": str(password), "resyncS": 5}
        told = config | {"path": "pod", "dataPlane": {"driver": "vtm", "vtm": vtm}}
        told["cluster"] = config["cluster"] | {"name": "prod"}
        async with running(tmp_path / "a", told) as a:
            await until(lambda: a.logged("leading"), "the first leads", timeout_s=TAKEN_OVER_S)
            second = told | {"listen": {"metrics": "127.0.0.1:9081"}}
            async with running(tmp_path / "b", second) as b:
                made = Pair(holder=a, other=b, unit=unit)
                await until(_has(made, "web-1"), "the unit has the shop", timeout_s=TAKEN_OVER_S)
                yield made


def _has(pair: Pair, *pods: str) -> Callable[[], bool]:
    wanted = sorted(f"{WEB_PODS[name]}:8080" for name in pods)
    return lambda: sorted(pair.nodes()) == wanted


async def _writes_it(program: Onehop) -> bool:
    return (await program.snapshot()).data_plane["writes_it"] == "yes"


async def test_the_successor_of_one_that_was_killed_writes(cluster: Cluster, pair: Pair) -> None:
    """Until then the unit serves what it had, and status says who writes."""
    assert [await _writes_it(each) for each in (pair.holder, pair.other)] == [True, False]
    await pair.holder.kill()
    cluster.put(endpoints("web", *WEB_PODS.values()))

    await until(_has(pair, *WEB_PODS), "the successor has written", timeout_s=TAKEN_OVER_S)

    assert await _writes_it(pair.other)
    assert pair.unit.members[0].errors() == []
    assert (await pair.other.snapshot()).data_plane["drifted"] == "0"


async def test_one_that_wakes_up_after_its_time_leaves_the_unit_alone(
    cluster: Cluster, pair: Pair
) -> None:
    """What changes then comes to the unit by the successor, and the old one writes nothing."""
    told = await pair.holder.metric("onehop_endpoint_updates_total")
    pair.holder.send(signal.SIGSTOP)
    await until(lambda: pair.other.logged("leading"), "it leads", timeout_s=TAKEN_OVER_S)
    cluster.put(endpoints("web", *WEB_PODS.values()))
    await until(_has(pair, *WEB_PODS), "the successor has written", timeout_s=TAKEN_OVER_S)
    pair.other.send(signal.SIGSTOP)
    pair.unit.writes.clear()
    cluster.put(endpoints("web", WEB_PODS["web-2"]))

    pair.holder.send(signal.SIGCONT)
    await until(lambda: pair.holder.logged("not_leading"), "the old one knows")

    async def knows() -> bool:
        return await pair.holder.metric("onehop_endpoint_updates_total") > told

    await until(knows, "and has heard of other endpoints", timeout_s=TAKEN_OVER_S)
    by_the_old = list(pair.unit.writes)
    pair.other.send(signal.SIGCONT)
    await until(_has(pair, "web-2"), "the successor writes", timeout_s=TAKEN_OVER_S)

    assert by_the_old == []
    assert [await _writes_it(each) for each in (pair.holder, pair.other)] == [False, True]
