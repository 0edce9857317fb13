"""Leader election under a clock that the test holds: nobody ever leads beside somebody else."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.base.errors import ConfigError, KubeConflict, KubeNotFound, KubeUnavailable
from onehop.kube import Candidacy, Change, Collection, Election, ElectionTimes, Timekeeping
from onehop.kube.lease_record import Lease

TIMES = ElectionTimes()
START = datetime(2026, 1, 1, tzinfo=UTC)


class Leases:
    """One Lease of an API server, with its rules of resourceVersions."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.version = 0
        self.writes: list[dict[str, Any]] = []
        self.is_down = False
        self.loses_answers = False

    async def get(self, _c: Collection[Lease], _namespace: str, _name: str) -> Lease:
        self._check()
        if self.lease is None:
            raise KubeNotFound("no Lease")
        return self.lease

    async def create(self, _c: Collection[Lease], _namespace: str, body: dict[str, Any]) -> Lease:
        self._check()
        if self.lease is not None:
            raise KubeConflict("exists")
        return self._store(body["spec"], body["metadata"]["name"])

    async def merge_patch(
        self, _c: Collection[Lease], _namespace: str, name: str, change: Change
    ) -> Lease:
        self._check()
        assert self.lease is not None
        if change.resource_version != self.lease.metadata.resource_version:
            raise KubeConflict("modified")
        return self._store(msgspec.to_builtins(self.lease.spec) | change.patch["spec"], name)

    def touch(self) -> None:
        """Let somebody else write to the Lease without changing its spec."""
        assert self.lease is not None
        self._store(msgspec.to_builtins(self.lease.spec), self.lease.metadata.name)
        self.writes.pop()

    @property
    def holder(self) -> str:
        return (self.lease.spec.holder_identity or "") if self.lease else ""

    def _check(self) -> None:
        if self.is_down:
            raise KubeUnavailable("down")

    def _store(self, spec: dict[str, Any], name: str) -> Lease:
        self.version += 1
        metadata = {"name": name, "resourceVersion": str(self.version)}
        self.lease = msgspec.convert({"metadata": metadata, "spec": spec}, Lease)
        self.writes.append(spec)
        if self.loses_answers:
            raise KubeUnavailable("the answer was lost")
        return self.lease


class Candidate:
    """An election whose time is the test's, plus an offset and a drift of its own."""

    def __init__(self, leases: Leases, identity: str, world: "World", offset_s: float) -> None:
        self._world = world
        self._wakes_at = 0.0
        self._wake: asyncio.Event | None = None
        self.is_stopped = False
        self.election = Election(
            leases,
            Candidacy(namespace="onehop", name="leader", identity=identity),
            Timekeeping(
                clock=lambda: world.now + offset_s,
                wall=lambda: START + timedelta(seconds=world.now + offset_s),
                sleep=self._sleep,
                random=lambda: 0.5,
            ),
        )

    async def _sleep(self, duration_s: float) -> None:
        self._wakes_at = self._world.now + duration_s
        self._wake = asyncio.Event()
        await self._wake.wait()

    def wake_if_due(self) -> None:
        if self._wake is not None and not self.is_stopped and self._world.now >= self._wakes_at:
            self._wake.set()
            self._wake = None


class World:
    """Some candidates and the time they live in."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.now = 0.0
        self.leases = Leases()
        self.candidates: dict[str, Candidate] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._group = group

    async def join(self, identity: str, offset_s: float = 0.0) -> Election:
        candidate = Candidate(self.leases, identity, self, offset_s)
        self.candidates[identity] = candidate
        self.tasks[identity] = self._group.create_task(candidate.election.run())
        await self.settle()
        return candidate.election

    async def pass_time(self, duration_s: float) -> None:
        """Let time pass in steps of a quarter of a second, and check the promise at each."""
        for _ in range(round(duration_s * 4)):
            self.now += 0.25
            for candidate in self.candidates.values():
                candidate.wake_if_due()
            await self.settle()

    async def settle(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)
        leaders = [name for name, each in self.candidates.items() if each.election.is_leader]
        assert len(leaders) <= 1, f"{leaders} lead at {self.now}"

    def close(self) -> None:
        for task in self.tasks.values():
            task.cancel()


async def in_world(story: Callable[[World], Any]) -> None:
    async with asyncio.TaskGroup() as group:
        world = World(group)
        await story(world)
        world.close()


async def test_the_first_candidate_creates_the_lease_and_keeps_it() -> None:
    """A record as client-go writes it, renewed every two seconds or so."""

    async def story(world: World) -> None:
        election = await world.join("a")
        assert election.is_leader
        state = election.changes.peek()
        assert state is not None
        assert (state.is_leader, state.holder, state.term) == (True, "a", 0)
        first = world.leases.writes[0]
        assert first == {
            "holderIdentity": "a",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:00:00.000000Z",
            "leaseTransitions": 0,
        }
        await world.pass_time(60)
        assert election.is_leader
        assert 24 <= len(world.leases.writes) <= 30

    await in_world(story)


async def test_a_second_candidate_waits_until_the_first_is_silent() -> None:
    """Fifteen seconds without a change, by its own clock; then the term grows by one."""

    async def story(world: World) -> None:
        first = await world.join("a")
        second = await world.join("b", offset_s=86_400.0)
        await world.pass_time(30)
        assert first.is_leader
        world.candidates["a"].is_stopped = True
        await world.pass_time(10)
        assert not first.is_leader
        assert not second.is_leader
        await world.pass_time(9)
        assert second.is_leader
        state = second.changes.peek()
        assert state is not None
        assert (state.holder, state.term) == ("b", 1)

    await in_world(story)


async def test_a_paused_leader_wakes_up_as_no_leader() -> None:
    """Its clock says so before it has asked anybody, and the API says it afterwards."""

    async def story(world: World) -> None:
        first = await world.join("a")
        second = await world.join("b")
        world.candidates["a"].is_stopped = True
        await world.pass_time(30)
        assert second.is_leader
        assert not first.is_leader
        world.candidates["a"].is_stopped = False
        await world.pass_time(10)
        assert second.is_leader
        state = first.changes.peek()
        assert state is not None
        assert (state.is_leader, state.holder) == (False, "b")

    await in_world(story)


async def test_a_stolen_lease_is_noticed_at_the_next_renewal() -> None:
    """Somebody edited the holder by hand: the conflict is looked into at once."""

    async def story(world: World) -> None:
        election = await world.join("a")
        thief = Change(
            patch={"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 15}},
            resource_version=str(world.leases.version),
        )
        await world.leases.merge_patch(None, "", "leader", thief)  # type: ignore[arg-type]  # unused
        await world.pass_time(3)
        assert not election.is_leader
        assert world.leases.holder == "thief"
        await world.pass_time(20)
        assert election.is_leader

    await in_world(story)


async def test_a_conflict_that_is_no_theft_costs_nothing() -> None:
    """Somebody labelled the Lease: read it again, renew it, stay leader."""

    async def story(world: World) -> None:
        election = await world.join("a")
        for _ in range(10):
            world.leases.touch()
            await world.pass_time(3)
            assert election.is_leader

    await in_world(story)


async def test_without_an_api_leadership_ends_at_the_deadline() -> None:
    """Ten seconds after the last renewal, and readers of `changes` are told then."""

    async def story(world: World) -> None:
        election = await world.join("a")
        await world.pass_time(4)
        world.leases.is_down = True
        await world.pass_time(7)
        assert election.is_leader
        await world.pass_time(3.5)
        assert not election.is_leader
        state = election.changes.peek()
        assert state is not None
        assert (state.is_leader, state.fault) == (False, "down")
        world.leases.is_down = False
        await world.pass_time(3)
        assert election.is_leader

    await in_world(story)


async def test_a_write_whose_answer_was_lost_is_found_again() -> None:
    """The record says that we hold it; reading it is enough to go on."""

    async def story(world: World) -> None:
        world.leases.loses_answers = True
        election = await world.join("a")
        assert not election.is_leader
        world.leases.loses_answers = False
        await world.pass_time(3)
        assert election.is_leader

    await in_world(story)


async def test_a_clean_stop_gives_the_lease_up() -> None:
    """The other candidate leads within seconds instead of fifteen."""

    async def story(world: World) -> None:
        first = await world.join("a")
        second = await world.join("b")
        world.tasks["a"].cancel()
        await world.settle()
        assert not first.is_leader
        assert world.leases.holder == ""
        await world.pass_time(3)
        assert second.is_leader

    await in_world(story)


async def test_a_stop_without_an_api_ends_all_the_same() -> None:
    """The lease runs out by itself."""

    async def story(world: World) -> None:
        await world.join("a")
        world.leases.is_down = True
        world.tasks["a"].cancel()
        await world.settle()
        assert world.tasks["a"].done()

    await in_world(story)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["stop", "go", "down", "up", "lose", "keep", "wait"]),
            st.sampled_from(["a", "b", "c"]),
            st.floats(min_value=0.25, max_value=20),
        ),
        max_size=25,
    ),
    offsets=st.tuples(*[st.floats(min_value=-1e6, max_value=1e6)] * 3),
)
def test_at_most_one_leads_whatever_happens(
    steps: list[tuple[str, str, float]], offsets: tuple[float, float, float]
) -> None:
    """Stopped processes, lost answers, a dead API and clocks that disagree; then one leads."""

    async def story(world: World) -> None:
        for name, offset_s in zip("abc", offsets, strict=True):
            await world.join(name, offset_s)
        for what, name, duration_s in steps:
            match what:
                case "stop" | "go":
                    world.candidates[name].is_stopped = what == "stop"
                case "down" | "up":
                    world.leases.is_down = what == "down"
                case "lose" | "keep":
                    world.leases.loses_answers = what == "lose"
                case _:
                    pass
            await world.pass_time(duration_s)
        world.leases.is_down = world.leases.loses_answers = False
        for candidate in world.candidates.values():
            candidate.is_stopped = False
        await world.pass_time(20)
        assert sum(each.election.is_leader for each in world.candidates.values()) == 1

    asyncio.run(in_world(story))


def test_times_that_cannot_work_are_refused() -> None:
    """A deadline after the lease's end would mean two leaders."""
    with pytest.raises(ConfigError, match="renew deadline"):
        ElectionTimes(renew_deadline_s=20.0)
    assert TIMES.retry_s < TIMES.renew_deadline_s < TIMES.lease_s
