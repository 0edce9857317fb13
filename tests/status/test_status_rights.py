"""What a missing right costs: one line, and only what needs it."""

from pathlib import Path

from structlog.testing import capture_logs

from onehop.compile.service import FINALIZER
from onehop.status import NEEDED
from onehop.status.rights import tell_right
from tests.status.objects import VIP, ingress_report, served_report
from tests.status.stage import Stage, until


async def test_a_missing_right_is_said_once_and_tried_again_until_it_is_granted(
    stage: Stage, tmp_path: Path
) -> None:
    """Which right, not which of a thousand objects."""
    stage.denied.add(("patch", "services", "status"))
    with capture_logs() as lines:
        async with stage.process(tmp_path):
            refs = [stage.create_service(f"s{number}") for number in range(20)]
            for ref in refs:
                stage.report(ref, served_report())
            await until(lambda: bool(stage.writer.metrics.missing_rights))
            assert stage.writer.metrics.missing_rights == {"patch services/status"}

            stage.denied.clear()
            await until(lambda: all(stage.live(ref).status.load_balancer.ingress for ref in refs))
            assert stage.writer.metrics.missing_rights == frozenset()

    told = [line for line in lines if line["event"] == "right_missing"]
    assert [line["right"] for line in told] == ["patch services/status"]
    assert [line["event"] for line in lines if line["event"] == "right_granted"]


async def test_what_needs_other_rights_is_written_all_the_same(
    stage: Stage, tmp_path: Path
) -> None:
    """Finalizers of Services and statuses of Ingresses do not wait for a right to Services."""
    stage.denied.add(("patch", "services", "status"))
    async with stage.process(tmp_path):
        service, ingress = stage.create_service(), stage.create_ingress()
        stage.report(service, served_report())
        stage.report(ingress, ingress_report(VIP))
        await until(lambda: FINALIZER in (stage.live(service).metadata.finalizers or ()))
        await until(lambda: bool(stage.live(ingress).status.load_balancer.ingress))


async def test_without_the_right_to_events_everything_else_is_written(
    stage: Stage, tmp_path: Path
) -> None:
    """An event is a courtesy."""
    stage.denied.update({("create", "events", ""), ("get", "events", "")})
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.report(ref, served_report())
        await until(lambda: bool(stage.live(ref).status.load_balancer.ingress))
        await until(lambda: "create events" in stage.writer.metrics.missing_rights)


async def test_the_rights_that_are_asked_for_beforehand_are_the_ones_needed(
    stage: Stage, tmp_path: Path
) -> None:
    """A preflight that asks for less than the program would be worthless."""
    used: set[str] = set()
    stage.on_asked = lambda asked: used.add(
        f"{asked.verb} {asked.resource}{f'.{asked.group}' if asked.group else ''}"
        f"{f'/{asked.subresource}' if asked.subresource else ''}"
    )
    async with stage.process(tmp_path):
        service, ingress = stage.create_service(), stage.create_ingress()
        for last in (10, 11, 10):
            stage.report(service, served_report(f"203.0.113.{last}"))
            stage.report(ingress, ingress_report(f"203.0.113.{last}"))
            await stage.settled()
        for ref in (service, ingress):
            stage.patch(ref, {"metadata": {"labels": {"new": "yes"}}})
        stage.report(service, served_report("203.0.113.12"))
        stage.report(ingress, ingress_report("203.0.113.12"))
        await stage.settled()

    assert used == {tell_right(right) for right in NEEDED}
