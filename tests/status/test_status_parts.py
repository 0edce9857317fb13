"""The parts of the writer that keep state: queue, bucket, memory of answers, contests, waits."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.cluster import Service
from onehop.model.ident import ObjectRef
from onehop.status import Limits
from onehop.status.bucket import TokenBucket
from onehop.status.contest import Contest
from onehop.status.form import LONGEST_NAME, event_name
from onehop.status.queue import WorkQueue
from onehop.status.seen import Seen
from onehop.status.write import EmitEvent, EventType
from tests.status.objects import WEB, service

OTHER = ObjectRef("Service", "shop", "other")


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def at_version(version: str) -> Service:
    """Return shop/web at some resourceVersion."""
    live = service()
    metadata = msgspec.structs.replace(live.metadata, resource_version=version)
    return msgspec.structs.replace(live, metadata=metadata)


async def test_a_name_that_is_put_twice_comes_once() -> None:
    """The queue holds names, so a burst of reports is one piece of work."""
    queue = WorkQueue(Clock())
    for ref in (WEB, OTHER, WEB):
        queue.put(ref)

    assert [await queue.take(), await queue.take()] == [WEB, OTHER]
    queue.done(WEB)
    queue.done(OTHER)
    assert len(queue) == 0


async def test_a_name_in_work_comes_again_only_when_the_work_is_done() -> None:
    """Two writes of one object never overlap."""
    queue = WorkQueue(Clock())
    queue.put(WEB)
    await queue.take()

    queue.put(WEB)
    queue.put(OTHER)

    assert await queue.take() == OTHER
    queue.done(WEB)
    assert await queue.take() == WEB


async def test_a_name_put_off_comes_when_it_is_due_and_the_sooner_of_two_times_counts() -> None:
    """A wait for a data plane does not lengthen a wait after a failure, nor the reverse."""
    clock = Clock()
    queue = WorkQueue(clock)
    queue.put_after(WEB, 50.0)
    queue.put_after(WEB, 20.0)
    queue.put_after(WEB, 90.0)
    queue.put_after(OTHER, 30.0)

    clock.now_s += 60.0

    assert [await queue.take(), await queue.take()] == [WEB, OTHER]
    assert len(queue) == 2  # both in work, and nothing left over


async def test_names_that_go_first_wait_for_no_others() -> None:
    """A Gateway's address is not behind a thousand routes, whether put now or put off before."""
    clock = Clock()
    queue = WorkQueue(clock, lambda ref: ref == OTHER)
    queue.put_after(OTHER, 10.0)
    queue.put(WEB)
    clock.now_s += 20.0

    assert await queue.take() == OTHER
    queue.done(OTHER)
    queue.put(OTHER)
    queue.put_after(OTHER, 5.0)
    assert len(queue) == 2
    assert [await queue.take(), await queue.take()] == [OTHER, WEB]


async def test_who_waits_for_a_name_is_woken_by_it() -> None:
    """Also while an earlier name is put off for long."""
    queue = WorkQueue(Clock())
    queue.put_after(OTHER, 1000.0)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(queue.take())
        group.create_task(asyncio.to_thread(lambda: None))
        await asyncio.sleep(0)
        queue.put(WEB)

    assert waiting.result() == WEB


async def test_a_name_that_is_put_is_no_longer_put_off() -> None:
    """The later time would otherwise cost an idle look."""
    clock = Clock()
    queue = WorkQueue(clock)
    queue.put_after(WEB, 10.0)
    queue.put(WEB)
    queue.done(await queue.take())

    clock.now_s += 20.0
    queue.put(OTHER)

    assert await queue.take() == OTHER
    queue.done(OTHER)
    assert len(queue) == 0


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    """A token bucket, as in client-go's flowcontrol."""
    clock = Clock()
    bucket = TokenBucket(rate_per_s=2.0, burst=2, clock=clock)

    assert [bucket.take() for _ in range(4)] == [0.0, 0.0, 0.5, 1.0]
    clock.now_s += 100.0
    assert [bucket.take(), bucket.take(), bucket.wait_s()] == [0.0, 0.0, 0.5]


def test_our_own_answer_is_believed_until_the_watch_has_moved_on() -> None:
    """Right after a write the watch's copy is the object of before."""
    seen = Seen()
    seen.answered(at_version("5"), at_version("6"))
    seen.answered(at_version("6"), at_version("9"))

    assert seen.newest(at_version("5")) == at_version("9")
    assert seen.newest(at_version("6")) == at_version("9")
    assert seen.newest(at_version("9")) == at_version("9")
    assert seen.newest(at_version("5")) == at_version("5")  # a new object, or a list from of old


def test_an_object_that_is_gone_is_gone_whatever_it_answered() -> None:
    """The watch's word on a deletion counts."""
    seen = Seen()
    seen.answered(at_version("5"), at_version("6"))

    assert seen.newest(None) is None


def test_a_foreign_change_is_undone_at_once_and_then_ever_more_slowly() -> None:
    """Two controllers that undo each other must not keep an API server busy."""
    limits = Limits(repair_first_s=1.0, longest_retry_s=8.0)
    contest = Contest(limits)
    now_s, waits = 0.0, []
    for _ in range(6):
        wait_s = contest.wait_s(now_s)
        waits.append(wait_s)
        now_s += wait_s
        contest.repaired(now_s)

    assert waits == [0.0, 1.0, 2.0, 4.0, 8.0, 8.0]
    told = contest.problem(WEB, now_s)
    assert told is not None
    assert told.reason == "Conflict"


def test_a_contest_is_over_after_a_long_quiet_time() -> None:
    """Then a single foreign patch is undone at once again, and no problem is shown."""
    contest = Contest(Limits(longest_retry_s=8.0))
    for second in range(5):
        contest.repaired(float(second))

    assert contest.problem(WEB, 5.0) is not None
    assert contest.problem(WEB, 30.0) is None
    assert contest.wait_s(30.0) == 0.0
    contest.repaired(30.0)
    assert contest.problem(WEB, 30.0) is None


def test_two_repairs_are_no_contest_yet() -> None:
    """Somebody who patches by hand is not reported as a controller."""
    contest = Contest(Limits())
    contest.repaired(0.0)
    contest.repaired(1.0)

    assert contest.problem(WEB, 1.0) is None


@pytest.mark.parametrize(
    ("failures", "chance", "expected"),
    [(1, 0.0, 0.5), (1, 1.0, 1.0), (4, 1.0, 8.0), (9, 1.0, 256.0), (10_000, 1.0, 300.0)],
)
def test_waits_after_failures_double_up_to_five_minutes(
    failures: int, chance: float, expected: float
) -> None:
    """Exponential with a spread; the longest is cloud-provider's maxRetryDelay."""
    assert Limits().retry_s(failures, chance) == expected


@given(name=st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", fullmatch=True))
def test_an_event_has_a_valid_name_that_follows_from_what_it_says(name: str) -> None:
    """Equal news, equal name: so the API server knows what was told before a restart."""

    def event(message: str) -> EmitEvent:
        return EmitEvent(
            ref=ObjectRef("Ingress", "shop", name),
            uid="u1",
            reason="Conflict",
            type=EventType.WARNING,
            message=message,
            is_standing=True,
        )

    assert event_name(event("a")) == event_name(event("a"))
    assert event_name(event("a")) != event_name(event("b"))
    assert len(event_name(event("a"))) <= LONGEST_NAME
    assert ".." not in event_name(event("a")).removeprefix(name)
