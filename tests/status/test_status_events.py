"""Events in the API: once each, counted when they happen again, never too many."""

from functools import partial
from pathlib import Path

import msgspec
import pytest

from onehop.cluster import Secret
from onehop.compile.verdict import ServiceRelease
from onehop.lab.api import put
from onehop.lab.api.faults import ServerError
from onehop.model.ident import ObjectRef
from onehop.model.problem import Reason
from onehop.status import Report
from tests.status.objects import VIP, problem, served_report
from tests.status.stage import FAST, Stage, until


async def test_a_problem_is_told_once_however_often_it_is_reported(
    stage: Stage, tmp_path: Path
) -> None:
    """The same fault on every pass of the compiler is one event with count 1."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        for _ in range(20):
            stage.report(ref, with_problems("no address is free"))
            await stage.settled()

    assert stage.events()["web", "PoolExhausted", 1] == 1


async def test_a_problem_that_comes_back_is_found_and_not_told_twice(
    stage: Stage, tmp_path: Path
) -> None:
    """A fault that flaps is as many events as it has messages."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        for message in ("a", "b", "a", "b"):
            stage.report(ref, with_problems(message))
            await stage.settled()

    assert stage.events()["web", "PoolExhausted", 1] == 2


async def test_what_happens_again_is_counted(stage: Stage, tmp_path: Path) -> None:
    """One line in `kubectl describe`, with how often and when last."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        for ip in (VIP, "203.0.113.11", "203.0.113.12"):
            stage.report(ref, served_report(ip))
            await stage.settled()

    assert stage.events()["web", "EnsuredLoadBalancer", 3] == 1


async def test_one_object_may_not_flood_the_events(stage: Stage, tmp_path: Path) -> None:
    """A burst, then silence; the condition still says the newest (client-go's spam filter)."""
    limits = msgspec.structs.replace(FAST, event_burst=5, event_every_s=3600.0)
    async with stage.process(tmp_path, limits):
        ref = stage.create_service()
        for number in range(30):
            stage.report(ref, with_problems(f"message {number}"))
            await until(partial(says, stage, ref, f"spec: message {number}"))

        await until(lambda: sum(stage.events().values()) == 5)
        stage.create_service("quiet")
        quiet = ObjectRef("Service", "shop", "quiet")
        stage.report(quiet, served_report())
        await until(lambda: stage.events()["quiet", "EnsuredLoadBalancer", 1] == 1)

    assert sum(number for (name, *_), number in stage.events().items() if name == "web") == 5


async def test_a_deletion_is_told_although_the_object_is_gone(stage: Stage, tmp_path: Path) -> None:
    """Whoever deleted it reads that it was cleaned up; and then it is forgotten."""
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.report(ref, served_report())
        await stage.settled()
        stage.watched(ref)
        stage.delete(ref)
        stage.watched(ref)
        stage.report(ref, Report(verdict=ServiceRelease(ref, clears_status=False)))
        del stage.copies[ref]
        stage.copies[ref] = stage.live(ref)
        await until(lambda: "DeletedLoadBalancer" in stage.reasons())
        stage.writer.update(ref, Report())
        await stage.settled()

    assert stage.events()["web", "DeletedLoadBalancer", 1] == 1


async def test_events_in_a_dying_namespace_are_given_up(stage: Stage, tmp_path: Path) -> None:
    """Its API answers 403 for a reason that no ClusterRole mends, so no right is missing."""
    async with stage.process(tmp_path):
        ref = stage.create_service(finalizers=("example.com/other",))
        namespaces = stage.store.registry.named("namespaces")
        stage.store.delete(namespaces, ("", "shop"))
        stage.watched(ref)

        stage.report(ref, with_problems("no address is free"))
        await stage.settled()

    assert stage.events() == {}
    assert stage.writer.metrics.missing_rights == frozenset()


async def test_an_event_that_is_refused_does_not_hold_up_the_others(
    stage: Stage, tmp_path: Path
) -> None:
    """A server that finds fault with one text (422) gets the next one."""
    stage.server.faults.arm(ServerError(code=422), "events", verbs={"create"}, times=1)
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.report(ref, with_problems("no address is free"))
        await stage.settled()

    assert stage.reasons() == {"EnsuringLoadBalancer", "EnsuredLoadBalancer"}


async def test_without_the_right_to_read_events_they_are_told_all_the_same(
    stage: Stage, tmp_path: Path
) -> None:
    """Their names keep them from being told twice even then."""
    stage.denied.add(("get", "events", ""))
    ref = stage.create_service()
    for _ in range(2):
        async with stage.process(tmp_path):
            stage.report(stage.watched(ref), with_problems("no address is free"))
            await stage.settled()

    assert stage.events()["web", "PoolExhausted", 1] == 1


async def test_what_was_not_told_when_the_lead_was_lost_is_left_to_the_next_leader(
    stage: Stage, tmp_path: Path
) -> None:
    """What stands is told by whoever leads; what happened long ago is not news any more."""
    stage.server.faults.arm(ServerError(), "events")
    async with stage.process(tmp_path):
        ref = stage.create_service()
        stage.report(ref, with_problems("no address is free"))
        await until(lambda: stage.server.requests.count(resource="events") > 2)
        stage.leads = False
        stage.server.faults.disarm()
        stage.watched(ref)

        stage.leads = True
        stage.writer.gained()
        await stage.settled()

    assert stage.events() == {("web", "PoolExhausted", 1): 1}


@pytest.mark.parametrize("namespace", ["shop", "kube-system"])
async def test_an_event_is_what_kubectl_describe_looks_for(
    stage: Stage, tmp_path: Path, namespace: str
) -> None:
    """`involvedObject` names kind, name, namespace and uid; it lives beside its object."""
    ref = ObjectRef("Secret", namespace, "tls")
    put(
        stage.store,
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls", "namespace": namespace}},
    )
    resource = stage.store.registry.named("secrets")
    stored = stage.store.get(resource, (namespace, "tls")).object(resource)
    stage.copies[ref] = msgspec.convert(stored, Secret)
    found = problem(Reason.CERTIFICATE_EXPIRED, "expired yesterday", subject=ref)
    async with stage.process(tmp_path):
        stage.report(ref, Report(problems=(found,)))
        await stage.settled()

    events = stage.store.registry.named("events")
    (event,) = [each.decode() for each in stage.store.collection(events).all()]
    assert event["metadata"]["namespace"] == namespace
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Secret",
        "namespace": namespace,
        "name": "tls",
        "uid": stage.copies[ref].metadata.uid,
    }
    assert (event["type"], event["reason"]) == ("Warning", "CertificateExpired")
    assert event["message"] == "spec: expired yesterday"
    assert event["source"] == {"component": "onehop", "host": "lb-1"}
    assert event["firstTimestamp"] == event["lastTimestamp"]


def with_problems(message: str) -> Report:
    """Return the report on a served Service that has a problem as well."""
    return msgspec.structs.replace(served_report(), problems=(problem(message=message),))


def says(stage: Stage, ref: ObjectRef, message: str) -> bool:
    """Tell whether the condition Accepted carries the message."""
    conditions = stage.read(ref)["status"].get("conditions", [])
    return any(each["message"] == message for each in conditions)
