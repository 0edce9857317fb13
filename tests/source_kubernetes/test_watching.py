"""What watches bring, lose and break, and how it is made good."""

from pathlib import Path

import msgspec
import pytest

from onehop.cluster.kind import Kind
from onehop.lab.api import Server, put
from onehop.lab.api.faults import (
    DroppedEvent,
    Forbidden,
    Gone,
    Hang,
    ServerError,
    Throttled,
    Truncated,
)
from onehop.model.ident import ObjectRef
from tests.source_kubernetes.world import (
    OPTIONS,
    READ_IN_FULL,
    RESOURCES,
    SHOP,
    eventually,
    manifest,
    running,
)


@pytest.mark.parametrize("kind", READ_IN_FULL)
async def test_every_write_and_deletion_reaches_the_sink(
    server: Server, tmp_path: Path, kind: Kind
) -> None:
    """Explicit deletions are believed at once, even of the last object."""
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        world.cluster.put(kind, "s0", changed="yes")
        world.cluster.put(kind, "s9")
        world.cluster.remove(kind, "s1")
        await world.in_step(kind)
        await eventually(lambda: world.source.counts[kind].events >= 3)
        assert [ref.name for ref in world.sink.deleted if ref.kind == kind] in ([], ["s1"])
        assert world.sink.problems == ()


async def test_a_relist_without_change_hands_nothing_on(server: Server, tmp_path: Path) -> None:
    """A list is compared, not replayed."""
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        before = world.sink.changes
        await world.pass_time_until(
            lambda: all(world.source.counts[kind].lists["believed"] >= 4 for kind in READ_IN_FULL),
            step_s=700,
        )
        assert world.sink.changes == before


@pytest.mark.parametrize("kind", READ_IN_FULL)
async def test_dropped_events_are_healed_by_the_next_list(
    server: Server, tmp_path: Path, kind: Kind
) -> None:
    """A watch that lost a creation, a change and a deletion is made good, by differences only."""
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        before = world.sink.changes
        server.faults.arm(DroppedEvent(), RESOURCES[kind])
        world.cluster.put(kind, "s0", changed="yes")
        world.cluster.put(kind, "s9")
        if kind is not Kind.NAMESPACE:  # a namespace's end is a chain of events of its own
            world.cluster.remove(kind, "s1")
        await world.pass_time(700)
        await world.in_step()
        assert world.sink.changes == before + (2 if kind is Kind.NAMESPACE else 3)


@pytest.mark.parametrize("as_http", [True, False], ids=["as-http", "in-stream"])
async def test_a_resource_version_that_is_gone_leads_to_a_list_and_no_gap(
    server: Server, tmp_path: Path, *, as_http: bool
) -> None:
    """410 on a watch, in either form: list again, keep everything meanwhile."""
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        server.faults.arm(Gone(as_http=as_http), "services", verbs={"watch"}, times=5)
        world.cluster.put(Kind.SERVICE, "s9")
        server.cut_watches("services")
        counts = world.source.counts[Kind.SERVICE]
        await eventually(lambda: counts.watch_ends["KubeGone"] == 5)
        world.cluster.remove(Kind.SERVICE, "s9")
        await world.in_step()
        assert counts.lists["believed"] >= 6
        assert set(world.sink.deleted) <= {ObjectRef("Service", SHOP, "s9")}


async def test_an_endless_410_loop_slows_down(server: Server, tmp_path: Path) -> None:
    """Each round costs the server a list, so the waits grow to their limit."""
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        world.clock.slept.clear()
        server.faults.arm(Gone(), "services", verbs={"watch"})
        server.cut_watches("services")
        await eventually(lambda: len(world.clock.slept) > 10)
        assert max(world.clock.slept) >= OPTIONS.times.retry.longest_s / 2
        assert sum(world.clock.slept[-4:]) > 4 * sum(world.clock.slept[:2])


async def test_retry_after_is_honoured(server: Server, tmp_path: Path) -> None:
    """429 with Retry-After: 9 is followed by nine seconds of silence."""
    server.faults.arm(Throttled(retry_after_s=9), "nodes", verbs={"list"}, times=1)
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        assert 9 <= max(world.clock.slept) < 10


@pytest.mark.parametrize("fault", [Hang(), Truncated(), ServerError()], ids=repr)
async def test_a_watch_that_breaks_resumes_where_it_was(
    server: Server, tmp_path: Path, fault: Hang | Truncated | ServerError
) -> None:
    """Silence, a cut stream and refusals lose nothing, and cost no list."""
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        counts = world.source.counts[Kind.SERVICE]
        server.faults.arm(fault, "services", verbs={"watch"})
        if not isinstance(fault, Hang):
            server.cut_watches("services")
        await eventually(lambda: counts.watch_ends["KubeUnavailable"] >= 2)
        world.cluster.put(Kind.SERVICE, "s9")
        world.cluster.remove(Kind.SERVICE, "s0")
        server.faults.disarm()
        await world.in_step()
        assert counts.lists["believed"] == 1


async def test_lost_rights_are_said_and_change_nothing(server: Server, tmp_path: Path) -> None:
    """403 on list and watch: everything stays, a problem names the right, and asking goes on."""
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        server.faults.arm(Forbidden(), "ingresses.networking.k8s.io")
        server.cut_watches()
        await eventually(lambda: world.sink.says("List/Ingress", "Grant get, list and watch"))
        assert max(world.clock.slept) >= OPTIONS.times.refused.first_s / 2
        assert world.sink.deleted == []
        server.faults.disarm()
        await eventually(lambda: world.sink.problems == ())
        await world.in_step()


async def test_a_server_without_a_resource_counts_as_one_without_objects(
    server: Server, tmp_path: Path
) -> None:
    """The source becomes complete, says what is missing, and finds it when it is there."""
    server.faults.arm(ServerError(code=404), "ingressclasses.networking.k8s.io", verbs={"list"})
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        await eventually(lambda: world.sink.says("List/IngressClass", "does not serve"))
        server.faults.disarm()
        await world.in_step()
        await eventually(lambda: world.sink.problems == ())
        assert world.sink.completed == 1


async def test_slices_of_nobody_never_reach_the_sink(server: Server, tmp_path: Path) -> None:
    """A slice without a Service is dropped; one that loses its Service is gone."""
    nobodys = manifest(Kind.ENDPOINT_SLICE, "nobodys")
    nobodys["metadata"]["labels"] = {}
    put(server.store, nobodys)
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        assert ObjectRef("EndpointSlice", SHOP, "nobodys") not in world.sink.objects
        lost = manifest(Kind.ENDPOINT_SLICE, "s0")
        lost["metadata"]["labels"] = {}
        put(server.store, lost)
        await eventually(lambda: bool(world.sink.deleted))
        assert world.sink.deleted == [ObjectRef("EndpointSlice", SHOP, "s0")]


async def test_a_cluster_of_many_pages_is_read_in_full(server: Server, tmp_path: Path) -> None:
    """250 slices are three pages."""
    for number in range(250):
        put(server.store, manifest(Kind.ENDPOINT_SLICE, f"many-{number}"))
    async with running(server, tmp_path) as world:
        await world.in_step()
        assert world.cluster.asked("list", Kind.ENDPOINT_SLICE) == 3


async def test_silence_is_measured(server: Server, tmp_path: Path) -> None:
    """The counts tell for how long nothing was heard, for a metric and an alert."""
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        counts = world.source.counts[Kind.NODE]
        heard = counts.heard_at
        assert counts.silence_s(heard + 5) == 5
        assert counts.is_listed
        world.clock.now += 30
        world.cluster.put(Kind.NODE, "s0", changed="yes")
        await eventually(lambda: counts.heard_at >= heard + 30)
        assert msgspec.to_builtins(counts)["events"] >= 1
