"""What an earlier process has seen is not gone because a first list does not name it."""

from pathlib import Path

import pytest

from onehop.cluster.kind import Kind
from onehop.lab.api import Server
from onehop.lab.api.faults import EmptyList, Fault, Forbidden, StaleList
from onehop.model.ident import ObjectRef
from tests.source_kubernetes.world import READ_IN_FULL, RESOURCES, SHOP, eventually, running

TLS = ObjectRef("Secret", SHOP, "tls")


def names(*numbers: int) -> frozenset[ObjectRef]:
    """Return the names of objects of every kind, as the API of these tests has three of each."""
    cluster_wide = (Kind.NODE, Kind.INGRESS_CLASS, Kind.NAMESPACE)
    return frozenset(
        ObjectRef(kind, "" if kind in cluster_wide else SHOP, f"s{number}")
        for kind in READ_IN_FULL
        for number in numbers
    )


@pytest.mark.parametrize("fault", [EmptyList(), StaleList(revisions=1000)], ids=repr)
@pytest.mark.parametrize("kind", READ_IN_FULL)
async def test_a_first_list_that_lies_is_not_taken(
    server: Server, tmp_path: Path, kind: Kind, fault: Fault
) -> None:
    """The source says why it is not complete; with a true list it is, and nothing was deleted."""
    server.faults.arm(fault, RESOURCES[kind], verbs={"list"})
    async with running(server, tmp_path, expected=names(0, 1, 2)) as world:
        await eventually(lambda: world.sink.says(kind, "are missing from a complete list"))
        completed = world.sink.completed
        server.faults.disarm()
        await eventually(lambda: world.sink.completed == 1)
        await world.in_step()
        assert completed == 0
        assert world.sink.deleted == []
        assert world.sink.problems == ()
        assert names(0, 1, 2) <= world.source.known()


async def test_what_is_really_gone_is_told_at_once(server: Server, tmp_path: Path) -> None:
    """One more of each kind was there before: asked for by name, it is not there."""
    gone = names(3)
    async with running(server, tmp_path, expected=names(0, 1, 2) | gone) as world:
        await eventually(lambda: world.sink.completed == 1)
        assert frozenset(world.sink.deleted) == gone
        assert not gone & world.source.known()


async def test_when_everything_is_gone_it_takes_a_minute_of_agreement(
    server: Server, tmp_path: Path
) -> None:
    """An empty list that stays empty, and no name that answers, is believed in the end."""
    for number in range(3):
        server.store.delete(
            server.store.registry.named(RESOURCES[Kind.INGRESS]), (SHOP, f"s{number}")
        )
    async with running(server, tmp_path, expected=names(0, 1, 2)) as world:
        await eventually(lambda: world.sink.says("have not yet agreed"))
        assert world.sink.completed == 0
        await eventually(lambda: world.sink.completed == 1)
        assert world.clock.now > 1060
        assert {ref.kind for ref in world.sink.deleted} == {Kind.INGRESS}


async def test_a_secret_that_is_refused_is_settled_and_yet_unread(
    server: Server, tmp_path: Path
) -> None:
    """Nobody waits for it, and nobody may take it for absent; absent, it is read."""
    server.faults.arm(Forbidden(), RESOURCES[Kind.SECRET])
    async with running(server, tmp_path) as world:
        world.source.want(frozenset({TLS}))
        await world.source.wants_settled()
        refused = world.source.unread
        server.faults.disarm()
        await eventually(lambda: not world.source.unread)
        assert refused == {TLS}
        assert world.sink.deleted == [TLS]
