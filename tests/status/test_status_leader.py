"""Who does not lead writes nothing, whenever the lead is lost."""

import time
from pathlib import Path

import msgspec

from onehop.lab.api.faults import Slow
from onehop.model.ident import ObjectRef
from onehop.status import Limits
from onehop.status.metrics import WriteKind, WriteOutcome
from tests.status.objects import VIP, problem, served_report
from tests.status.stage import DEADLINE_S, Stage, until


def is_shown(stage: Stage, ref: ObjectRef) -> bool:
    """Tell whether a Service shows its address."""
    return any(entry.ip == VIP for entry in stage.live(ref).status.load_balancer.ingress or ())


async def test_a_follower_asks_the_api_nothing_and_a_new_leader_writes_everything(
    stage: Stage, tmp_path: Path
) -> None:
    """All reports of before count when the lead is gained."""
    stage.leads = False
    async with stage.process(tmp_path):
        refs = [stage.create_service(f"s{number}") for number in range(5)]
        for ref in refs:
            stage.report(ref, served_report())
        await stage.settled()
        assert stage.server.requests.count(agent="onehop") == 0

        stage.leads = True
        stage.writer.gained()
        await until(lambda: all(is_shown(stage, ref) for ref in refs))


async def test_a_lease_that_lapsed_and_was_renewed_loses_no_report(
    stage: Stage, tmp_path: Path
) -> None:
    """Nobody else led meanwhile, so nobody says `gained`."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.leads = False
        stage.report(ref, served_report())
        await stage.settled()

        stage.leads = True
        await until(lambda: is_shown(stage, ref))


async def test_a_leader_that_loses_the_lease_between_two_writes_stops_there(
    stage: Stage, tmp_path: Path
) -> None:
    """The lead is looked at before each request, not once for a whole object."""
    looks = 0

    def leads_for_two_looks() -> bool:
        nonlocal looks
        looks += 1
        return looks <= 2  # one by the worker, one before the finalizer

    stage.is_leader = leads_for_two_looks
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.report(ref, served_report())
        requests = stage.writer.metrics.requests
        await until(lambda: requests[WriteKind.STATUS, WriteOutcome.FENCED] == 1)

    assert stage.writes == 1
    assert stage.live(ref).metadata.finalizers is not None
    assert not is_shown(stage, ref)


async def test_a_new_leader_believes_the_watch_and_not_its_memory(
    stage: Stage, tmp_path: Path
) -> None:
    """Another leader has taken the address away meanwhile; ours is written again, at once."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.report(ref, served_report())
        await stage.settled()
        stage.leads = False
        stage.patch(ref, {"status": {"loadBalancer": {"ingress": None}}}, subresource="status")
        stage.watched(ref)

        stage.leads = True
        stage.writer.gained()
        await until(lambda: is_shown(stage, ref))

    assert stage.writer.metrics.repairs == 0


async def test_events_of_the_leader_before_are_not_told_again(stage: Stage, tmp_path: Path) -> None:
    """Two processes, one warning."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.report(ref, msgspec.structs.replace(served_report(), problems=(problem(),)))
        await stage.settled()
        before = stage.events()
        stage.watched(ref)

        stage.writer.gained()
        await stage.settled()

    assert stage.events() == before


async def test_the_writer_ends_at_once_when_it_is_cancelled(stage: Stage, tmp_path: Path) -> None:
    """Also in the middle of a request that is not answered."""
    stage.server.faults.arm(Slow(delay_s=DEADLINE_S * 2))
    async with stage.process(tmp_path, Limits()):
        ref = stage.create_service()
        stage.report(ref, served_report())
        await until(lambda: stage.server.requests.count(agent="onehop") == 1)
        ended = time.monotonic()

    assert time.monotonic() - ended < Limits().request_s
