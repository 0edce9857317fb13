"""The way of a connection that the kernel serves: no proxy, other addresses."""

from collections.abc import Mapping

import msgspec

from onehop.cli.explain.drawing import draw
from onehop.control.config import Config, DataPlaneConfig
from onehop.control.explain.explanation import Explanation, NatKind
from onehop.control.explain.facts import Facts
from onehop.control.explain.journey import explain
from onehop.control.explain.live import explain_live
from onehop.control.layer4 import would_be_in_kernel
from onehop.driver.memory import MemoryDriver
from onehop.driver.nftables import misfit
from onehop.driver.split import SplitDriver
from onehop.model.listener import Listener
from onehop.model.model import Change, change_between, model_of
from onehop.model.pool import Pool, PoolOf, SourceIpPersistence
from onehop.plan import make_plan
from tests.explain.known import as_tree, facts_of_story

STORY = "ladder-direct-where-proven"
KERNEL = Config(data_plane=DataPlaneConfig(layer4="kernel"))


def in_kernel(**changes: object) -> Facts:
    """Return the facts of the story with everything in the kernel that it can serve.

    Args:
        changes: of every pool.
    """
    facts = facts_of_story(STORY)
    rows = [
        msgspec.structs.replace(row, **changes) if isinstance(row, Pool) else row
        for row in facts.served.rows()
    ]
    facts.served.take(Change(tuple(rows)))

    def serves(listener: Listener) -> bool:
        return would_be_in_kernel(KERNEL, facts.served, listener)

    return msgspec.structs.replace(facts, config=KERNEL, in_kernel=serves)


def explained(facts: Facts) -> Explanation:
    answer = explain(facts, "shop/web")
    assert isinstance(answer, Explanation)
    return answer


def test_there_is_no_proxy_in_between() -> None:
    """Destination and source are translated here; nothing else happens."""
    answer = explained(in_kernel())
    pool = answer.pools[0]
    direct = next(member for member in pool.members if member.rung == "pod")

    assert {road.listener.served_by for road in answer.roads} == {"kernel"}
    assert [nat.kind for nat in direct.nats] == [NatKind.DNAT, NatKind.SNAT]
    assert {nat.where for nat in direct.nats} == {"onehop"}
    assert direct.hops == 1
    assert pool.balancing == "random"
    tree = as_tree(answer)
    assert "in the kernel, no proxy: conntrack keeps a connection with its Pod" in tree
    assert "NAT: DNAT and SNAT at onehop" in tree
    assert "new connection" not in tree
    assert "DNAT and SNAT in onehop's kernel" in draw(answer)


def test_a_source_that_is_kept_is_not_translated() -> None:
    """Where answers come back this way, the Pod sees the client."""
    direct = explained(in_kernel(is_transparent=True)).pools[0].members[0]

    assert [nat.kind for nat in direct.nats if nat.where == "onehop"] == [NatKind.DNAT]
    assert direct.source.whose == "client"


def test_who_is_remembered_is_for_how_long() -> None:
    """The kernel keeps the time that the Service names; a proxy that hashes has none."""
    persistence = SourceIpPersistence(timeout_s=600)

    assert (
        explained(in_kernel(persistence=persistence)).pools[0].persistence == "source-ip for 600 s"
    )

    def serves_nobody(_: Listener) -> bool:
        return False

    proxied = msgspec.structs.replace(in_kernel(persistence=persistence), in_kernel=serves_nobody)
    assert explained(proxied).pools[0].persistence == "source-ip"
    assert explained(proxied).roads[0].listener.served_by == "proxy"


async def test_the_running_program_knows_who_serves() -> None:
    """Not by the configuration: a listener may have stayed with the proxy."""
    facts = facts_of_story(STORY)
    split = SplitDriver(Kernel(), MemoryDriver())
    before = await explain_live(facts, "shop/web", split)
    await split.apply(make_plan(change_between(model_of(()), model_of(facts.served.rows()))))
    after = await explain_live(facts, "shop/web", split)

    assert isinstance(before, Explanation)
    assert isinstance(after, Explanation)
    assert before.roads[0].listener.served_by == "proxy"
    assert after.roads[0].listener.served_by == "kernel"


class Kernel(MemoryDriver):
    """A kernel in memory."""

    drifts: Mapping[str, int] = {}
    connections: Mapping[str, int] = {}
    obstacles: Mapping[int, str] = {}

    def misfit(self, listener: Listener, pool_of: PoolOf) -> str | None:
        return misfit(listener, pool_of)
