"""The writer against the in-memory API: what is written, and what never is."""

import time
from pathlib import Path

import msgspec

from onehop.cluster import Service
from onehop.compile.compiler import Compiler
from onehop.compile.options import AddressPool, Options
from onehop.compile.service import FINALIZER
from onehop.compile.verdict import ServiceRelease, ServiceVerdict
from onehop.lab.api.faults import Hang, ServerError, Throttled, Truncated
from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef
from onehop.status import Limits, Report
from onehop.status.metrics import WriteKind, WriteOutcome
from tests.status.objects import VIP, addresses, ingress_report, problem, served_report, verdict
from tests.status.stage import FAST, Stage, until

OPTIONS = Options(
    address_pools=(AddressPool(name="public", ranges=((IpAddr(VIP), IpAddr("203.0.113.20")),)),)
)


def shown_ips(stage: Stage, ref: ObjectRef) -> list[str | None]:
    """Return the addresses in an object's status."""
    live = stage.live(ref)
    return [entry.ip for entry in live.status.load_balancer.ingress or ()]


async def test_a_service_goes_from_created_to_served_to_gone(stage: Stage, tmp_path: Path) -> None:
    """The whole life with the real compiler: finalizer, address, events, release, deletion."""
    async with stage.process(tmp_path):
        compiler = Compiler(OPTIONS)
        ref = stage.create_service()

        def settle(*, is_served: bool) -> None:
            live = stage.live(ref)
            stage.watched(ref)
            compiler.put(live)
            compiler.settle()
            found = compiler.verdict(ref)
            listeners = found.listeners if isinstance(found, ServiceVerdict) else ()
            served = frozenset(listeners) if is_served else frozenset()
            stage.report(ref, Report(verdict=found, served=served))

        settle(is_served=False)
        await until(lambda: FINALIZER in (stage.live(ref).metadata.finalizers or ()))
        settle(is_served=True)
        await until(lambda: shown_ips(stage, ref) == [VIP])
        stage.delete(ref)
        settle(is_served=False)
        await until(lambda: ref.name not in stage_services(stage))
        await until(lambda: "DeletedLoadBalancer" in stage.reasons())

    assert stage.events() == {
        ("web", "EnsuringLoadBalancer", 1): 1,
        ("web", "EnsuredLoadBalancer", 1): 1,
        ("web", "DeletingLoadBalancer", 1): 1,
        ("web", "DeletedLoadBalancer", 1): 1,
    }


async def test_the_status_that_kubectl_reads_is_complete(stage: Stage, tmp_path: Path) -> None:
    """Address, ipMode, ports, two conditions with everything metav1.Condition demands."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.report(ref, served_report())
        await stage.settled()

    status = stage.read(ref)["status"]
    assert status["loadBalancer"] == {
        "ingress": [{"ip": VIP, "ipMode": "Proxy", "ports": [{"port": 80, "protocol": "TCP"}]}]
    }
    assert [sorted(each) for each in status["conditions"]] == [
        ["lastTransitionTime", "message", "reason", "status", "type"]
    ] * 2


async def test_a_restart_writes_nothing_when_nothing_differs(stage: Stage, tmp_path: Path) -> None:
    """Neither statuses nor finalizers nor the warnings that were told before."""
    report = msgspec.structs.replace(served_report(), problems=(problem(),))
    async with stage.process(tmp_path):
        service, ingress = stage.create_service(), stage.create_ingress()
        stage.report(service, report)
        stage.report(ingress, ingress_report(VIP))
        await stage.settled()
    told = stage.events()
    stage.watched(service)
    stage.watched(ingress)
    stage.server.requests.clear()

    async with stage.process(tmp_path):
        stage.report(service, report)
        stage.report(ingress, ingress_report(VIP))
        stage.writer.gained()
        await stage.settled()

    assert stage.writes == 0
    assert stage.events() == told


async def test_our_own_writes_coming_back_by_the_watch_cause_none(
    stage: Stage, tmp_path: Path
) -> None:
    """No echo, whether the watch is late or caught up."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.report(ref, served_report())
        await stage.settled()
        stage.server.requests.clear()

        stage.writer.changed(ref)  # the copy is still the one of before our writes
        await stage.settled()
        stage.catch_up()
        await stage.settled()

    assert stage.writes == 0


async def test_only_the_newest_of_many_reports_is_written(stage: Stage, tmp_path: Path) -> None:
    """There is no backlog to work off."""
    async with stage.process(tmp_path):
        ref = stage.create_service(finalizers=(FINALIZER,))
        for last in range(11, 200):
            stage.report(ref, served_report(f"203.0.113.{last}"))
        await stage.settled()

    assert shown_ips(stage, ref) == ["203.0.113.199"]
    assert stage.writer.metrics.requests[WriteKind.STATUS, WriteOutcome.DONE] == 1


async def test_a_data_plane_that_answers_soon_costs_one_status_write(
    stage: Stage, tmp_path: Path
) -> None:
    """`not yet` is not worth a write unless it lasts."""
    patient = Limits(patience_s=3600.0)
    async with stage.process(tmp_path, patient):
        ref = stage.create_service()
        stage.report(ref, Report(verdict=verdict(VIP)))
        await until(lambda: FINALIZER in (stage.live(ref).metadata.finalizers or ()))
        stage.report(ref, served_report())
        await until(lambda: shown_ips(stage, ref) == [VIP])

    assert stage.server.requests.count("patch", "services/status") == 1


async def test_a_data_plane_that_stays_silent_is_reported(stage: Stage, tmp_path: Path) -> None:
    """Silent non-application is the fault that nobody finds."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.report(ref, Report(verdict=verdict(VIP)))
        await stage.settled()

    conditions = stage.read(ref)["status"]["conditions"]
    assert [each["reason"] for each in conditions] == ["Accepted", "Pending"]
    assert shown_ips(stage, ref) == []


async def test_a_conflict_is_decided_anew_from_the_newest_object(
    stage: Stage, tmp_path: Path
) -> None:
    """A finalizer and a condition that the watch has not brought yet are not lost."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        foreign = {
            "type": "other.example/Ready",
            "status": "True",
            "reason": "Fine",
            "message": "",
            "lastTransitionTime": "2025-01-01T00:00:00Z",
        }
        stage.patch(ref, {"metadata": {"finalizers": ["example.com/other"]}})
        stage.patch(ref, {"status": {"conditions": [foreign]}}, subresource="status")

        stage.report(ref, served_report())
        await stage.settled()

    assert stage.live(ref).metadata.finalizers == ("example.com/other", FINALIZER)
    assert stage.read(ref)["status"]["conditions"][0] == foreign
    assert shown_ips(stage, ref) == [VIP]
    requests = stage.writer.metrics.requests
    assert requests[WriteKind.FINALIZER, WriteOutcome.CONFLICT] == 1


async def test_errors_of_the_server_are_retried_until_it_is_well(
    stage: Stage, tmp_path: Path
) -> None:
    """500 and 429 cost time, nothing else; the events of the first attempt are not lost."""
    stage.server.faults.arm(ServerError(), verbs={"patch"}, times=3)
    stage.server.faults.arm(Throttled(retry_after_s=0), "services", verbs={"patch"}, times=2)
    stage.server.faults.arm(ServerError(code=503), "events", times=3)
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.report(ref, served_report())
        await stage.settled()

    assert shown_ips(stage, ref) == [VIP]
    assert stage.reasons() == {"EnsuringLoadBalancer", "EnsuredLoadBalancer"}


async def test_a_request_without_an_answer_is_given_up_and_made_again(
    stage: Stage, tmp_path: Path
) -> None:
    """Also one that the server has carried out: then it turns out to be done already."""
    stage.server.faults.arm(Hang(), verbs={"patch"}, times=2)
    stage.server.faults.arm(Truncated(), "services", verbs={"patch"}, times=1)
    async with stage.process(tmp_path, msgspec.structs.replace(FAST, request_s=0.05)):
        ref = stage.create_service()
        stage.report(ref, served_report())
        await until(lambda: shown_ips(stage, ref) == [VIP])

    assert stage.writer.metrics.requests[WriteKind.FINALIZER, WriteOutcome.FAILED] >= 2


async def test_a_refused_write_is_not_repeated_until_something_changes(
    stage: Stage, tmp_path: Path
) -> None:
    """The same bytes would fail again (422); the next report is tried."""
    stage.server.faults.arm(ServerError(code=422), "services", verbs={"patch"}, times=1)
    limits = msgspec.structs.replace(FAST, longest_retry_s=3600.0)
    async with stage.process(tmp_path, limits):
        ref = stage.create_service()
        stage.report(ref, served_report())
        requests = stage.writer.metrics.requests
        await until(lambda: requests[WriteKind.FINALIZER, WriteOutcome.REJECTED] == 1)
        assert stage.writer.pending == 1

        stage.report(ref, served_report("203.0.113.11"))
        await until(lambda: shown_ips(stage, ref) == ["203.0.113.11"])


async def test_an_object_that_is_gone_is_forgotten(stage: Stage, tmp_path: Path) -> None:
    """A 404 ends the matter, even before the watch tells of the deletion."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.delete(ref)
        stage.report(ref, served_report())
        await stage.settled()
        stage.server.requests.clear()
        stage.writer.gained()
        await stage.settled()

    assert stage.server.requests.count(agent="onehop") == 0


async def test_a_service_of_the_same_name_made_anew_is_not_touched_by_the_old_report(
    stage: Stage, tmp_path: Path
) -> None:
    """A report speaks of one uid."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        report = msgspec.structs.replace(served_report(), uid=stage.copies[ref].metadata.uid)
        stage.delete(ref)
        stage.create_service()
        stage.server.requests.clear()

        stage.writer.update(ref, report)
        await stage.settled()

    assert stage.writes == 0


async def test_a_service_taken_from_us_loses_address_conditions_and_finalizer(
    stage: Stage, tmp_path: Path
) -> None:
    """In that order, and only after the data plane has let go."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        report = served_report()
        stage.report(ref, report)
        await stage.settled()
        release = Report(verdict=ServiceRelease(ref, clears_status=True), served=report.served)
        stage.watched(ref)
        stage.server.requests.clear()

        stage.report(ref, release)
        await stage.settled()
        assert stage.server.requests.writes(resource="services", agent="onehop") == 0
        assert stage.server.requests.writes(resource="services/status", agent="onehop") == 0
        stage.report(ref, msgspec.structs.replace(release, served=frozenset()))
        await stage.settled()

    live = stage.live(ref)
    assert isinstance(live, Service)
    assert live.metadata.finalizers is None
    assert live.status.conditions is None
    assert live.status.load_balancer.ingress is None


async def test_a_thousand_objects_are_written_in_a_few_seconds(
    stage: Stage, tmp_path: Path
) -> None:
    """A fail-over with every status wrong; the bound is generous, for machines are shared."""
    async with stage.process(tmp_path, Limits()):
        refs = [stage.create_ingress(f"i{number}") for number in range(1000)]
        started = time.monotonic()
        for ref in refs:
            stage.report(ref, ingress_report(VIP))
        await stage.settled()
        took_s = time.monotonic() - started

    assert all(shown_ips(stage, ref) == [VIP] for ref in refs)
    assert stage.writes == 1000
    assert took_s < 15


async def test_a_foreign_patch_is_undone_as_soon_as_the_watch_tells(
    stage: Stage, tmp_path: Path
) -> None:
    """A status that says another address sends clients to somebody else (CVE-2020-8554)."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.report(ref, served_report())
        await stage.settled()
        foreign = {"loadBalancer": {"ingress": [{"ip": "198.51.100.66"}]}}
        stage.patch(ref, {"status": foreign}, subresource="status")

        stage.catch_up()
        await stage.settled()

    live = stage.live(ref)
    assert live.status.load_balancer == addresses(VIP)
    assert stage.writer.metrics.repairs == 1
    assert stage.writer.problems() == ()


async def test_a_controller_that_keeps_overwriting_us_is_reported_and_not_fought(
    stage: Stage, tmp_path: Path
) -> None:
    """Each repair waits longer than the one before, and the owner reads why."""
    limits = msgspec.structs.replace(FAST, repair_first_s=0.01, longest_retry_s=3600.0)
    foreign = {"status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.66"}]}}}
    async with stage.process(tmp_path, limits):
        ref = stage.create_service()
        stage.report(ref, served_report())
        await stage.settled()

        for _ in range(4):
            before = stage.writer.metrics.repairs
            stage.patch(ref, foreign, subresource="status")
            stage.catch_up()
            await until(lambda: shown_ips(stage, ref) == [VIP])
            assert stage.writer.metrics.repairs == before + 1

        (told,) = stage.writer.problems()
        await until(lambda: "Conflict" in stage.reasons())
    assert told.subject == ref
    assert told.field == "status"


def stage_services(stage: Stage) -> set[str]:
    """Return the names of all Services."""
    resource = stage.store.registry.named("services")
    return {each.key[1] for each in stage.store.collection(resource).all()}
