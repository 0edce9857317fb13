"""Whatever a list does, nothing that still exists is deleted (incident classes 9 and 11)."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from onehop.cluster.kind import Kind
from onehop.lab.api import Server, Store, put, serve
from onehop.lab.api.faults import (
    DroppedEvent,
    EmptyList,
    Fault,
    Forbidden,
    Hang,
    ServerError,
    ShortList,
    StaleList,
    Throttled,
    Truncated,
)
from tests.source_kubernetes.world import (
    READ_IN_FULL,
    RESOURCES,
    World,
    eventually,
    manifest,
    running,
    store_of_three,
)

LIST_FAULTS: tuple[Fault, ...] = (
    EmptyList(),
    ServerError(),
    ServerError(code=404),
    ServerError(code=410),
    Forbidden(),
    Throttled(retry_after_s=3),
    Hang(),
    Truncated(),
    ShortList(),
    StaleList(revisions=5),
)
BELIEVED_AT_FIRST = (EmptyList(), ShortList(), StaleList(revisions=5), ServerError(code=404))
"""Where no earlier process has left word (see test_expected), a first list is as good as any."""


def name_of(fault: object) -> str:
    return f"{type(fault).__name__}-{getattr(fault, 'code', '')}".rstrip("-")


async def relists(world: World, kind: Kind) -> None:
    """Force a list of this kind, and wait until it has been judged."""
    counts = world.source.counts[kind]
    before = counts.lists.total()
    asked = world.cluster.asked("list", kind)
    await world.pass_time(700)
    await eventually(
        lambda: counts.lists.total() > before or world.cluster.asked("list", kind) > asked + 1
    )


@pytest.mark.parametrize("fault", LIST_FAULTS, ids=name_of)
@pytest.mark.parametrize("kind", READ_IN_FULL)
async def test_no_list_fault_in_mid_life_deletes_what_is_still_there(
    server: Server, tmp_path: Path, kind: Kind, fault: Fault
) -> None:
    """Three relists under the fault delete nothing, and without it the source is in step again."""
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        server.faults.arm(fault, RESOURCES[kind], verbs={"list"})
        for _ in range(3):
            await relists(world, kind)
        assert world.sink.deleted == []
        server.faults.disarm()
        world.cluster.put(kind, "s1", changed="yes")
        world.cluster.put(kind, "new")
        await world.pass_time(700)
        await world.in_step()
        await eventually(lambda: world.sink.problems == ())
        assert world.sink.deleted == []
        assert world.sink.completed == 1


@pytest.mark.parametrize(
    "fault", [fault for fault in LIST_FAULTS if fault not in BELIEVED_AT_FIRST], ids=name_of
)
@pytest.mark.parametrize("kind", READ_IN_FULL)
async def test_a_first_list_that_fails_leaves_the_source_incomplete(
    server: Server, tmp_path: Path, kind: Kind, fault: Fault
) -> None:
    """`complete` waits for every kind, so that the last known good keeps being served."""
    server.faults.arm(fault, RESOURCES[kind], verbs={"list"})
    async with running(server, tmp_path) as world:
        counts = world.source.counts
        await eventually(
            lambda: (
                all(counts[each].is_listed for each in READ_IN_FULL if each is not kind)
                and world.cluster.asked("list", kind) >= 3
            )
        )
        assert world.sink.completed == 0
        assert not any(ref.kind == kind for ref in world.sink.objects)
        server.faults.disarm()
        await eventually(lambda: world.sink.completed == 1)
        await world.in_step()
        assert world.sink.deleted == []


async def test_a_list_that_stays_empty_is_not_believed_while_objects_answer_by_name(
    server: Server, tmp_path: Path
) -> None:
    """An hour of empty lists deletes nothing, and a problem says so."""
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        server.faults.arm(EmptyList(), "services")
        for _ in range(6):
            await relists(world, Kind.SERVICE)
        await eventually(lambda: world.sink.says("List/Service", "still there"))
        assert world.sink.deleted == []
        assert world.source.counts[Kind.SERVICE].lists["doubted"] >= 6


async def test_a_mass_deletion_that_no_watch_told_is_believed_after_confirmation(
    server: Server, tmp_path: Path
) -> None:
    """Empty lists for a minute, and 404 for each object by name: then they are gone."""
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        server.faults.arm(DroppedEvent(), "services")
        for number in range(3):
            world.cluster.remove(Kind.SERVICE, f"s{number}")
        await relists(world, Kind.SERVICE)
        await eventually(lambda: world.sink.says("List/Service", "3 of 3"))
        assert world.sink.deleted == []
        await world.pass_time(30)
        assert world.sink.deleted == []
        await world.pass_time_until(lambda: len(world.sink.deleted) == 3, step_s=20)
        await world.in_step()
        await eventually(lambda: world.sink.problems == ())


async def test_lists_that_disagree_begin_the_confirmation_anew(
    server: Server, tmp_path: Path
) -> None:
    """Full, empty, full, empty: the time of each doubt is too short to be believed."""
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        for _ in range(3):
            number = server.faults.arm(EmptyList(), "services")
            await relists(world, Kind.SERVICE)
            await eventually(lambda: world.sink.says("agreed"))
            server.faults.disarm(number)
            await relists(world, Kind.SERVICE)
            await eventually(lambda: not world.sink.says("agreed"))
        assert world.sink.deleted == []


async def test_the_lists_of_another_cluster_are_not_taken(tmp_path: Path) -> None:
    """The address now leads elsewhere: complete, fresh and wrong; nothing of it is used."""
    async with AsyncExitStack() as first:
        server = await first.enter_async_context(serve(store_of_three()))
        async with running(server, tmp_path) as world:
            await eventually(lambda: world.sink.completed == 1)
            before = world.sink.states()
            other = Store(first_revision=100_000)
            put(other, manifest(Kind.SERVICE, "foreign"))
            await first.aclose()
            async with serve(other, port=int(server.url.rsplit(":", 1)[1])) as impostor:
                world.clock.now += 700
                impostor.cut_watches()
                await eventually(lambda: world.sink.says("List/Service", "another cluster"))
                assert world.sink.deleted == []
                assert before.items() <= world.sink.states().items()
