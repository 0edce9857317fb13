"""Writers on an API: how much is written, and that nobody fights about a route."""

import time
from pathlib import Path

import msgspec
import pytest

from onehop.cluster import Kind
from onehop.cluster.gateway_ref import GROUP
from onehop.cluster.gateway_verdict import GatewayClassVerdict, ParentsVerdict
from onehop.lab.api import PatchType, put
from onehop.lab.api.kind.gateway_crd import RELEASE_1_3
from onehop.model.ident import ObjectRef
from onehop.status import Limits, Report
from onehop.status.gateway_pace import FIRST_S, LONGEST_S, CountPace
from tests.cluster_gateway.objects import BY_KIND
from tests.status.stage import until
from tests.status_gateway.objects import (
    ACCEPTED,
    EDGE,
    EDGE_PARENT,
    OURS,
    THEIRS,
    WEB,
    gateway_report,
    gateway_verdict,
    listener,
    route_report,
)
from tests.status_gateway.stage import GatewayStage, every, gateway_stage, idle

ROUTES = 1000
MOST_GATEWAY_WRITES = 20


def their_report(controller: str = THEIRS) -> Report:
    """Return a report that another controller makes of the same route and parent."""
    report = route_report(EDGE_PARENT)
    assert isinstance(report.verdict, ParentsVerdict)
    verdict = msgspec.structs.replace(report.verdict, controller=controller)
    return msgspec.structs.replace(report, verdict=verdict)


async def test_what_kubectl_reads_is_complete(stage: GatewayStage, tmp_path: Path) -> None:
    """The CRDs take the statuses as they are written: every demanded field is there."""
    stage.create_gateway()
    stage.create_route()
    put(stage.store, BY_KIND["GatewayClass"])
    named = stage.watched(ObjectRef("GatewayClass", "", "onehop"))
    of_class = GatewayClassVerdict(ref=named, sayings=(ACCEPTED,), features=("HTTPRoute",))
    async with stage.writer(tmp_path) as writer:
        stage.report(writer, EDGE, gateway_report(gateway_verdict(listener("http", routes=1))))
        stage.report(writer, WEB, route_report(EDGE_PARENT))
        stage.report(writer, named, Report(verdict=of_class, generation=1))
        await idle(writer)

    edge = stage.read(EDGE)["status"]
    assert edge["addresses"] == [{"type": "IPAddress", "value": "203.0.113.10"}]
    assert [sorted(each) for each in edge["conditions"]] == [
        ["lastTransitionTime", "message", "observedGeneration", "reason", "status", "type"]
    ] * 2
    assert sorted(edge["listeners"][0]) == [
        "attachedRoutes",
        "conditions",
        "name",
        "supportedKinds",
    ]
    assert edge["attachedListenerSets"] == 0
    (parent,) = stage.read(WEB)["status"]["parents"]
    assert parent["parentRef"] == {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "namespace": "infra",
        "name": "edge",
    }
    assert stage.read(named)["status"]["supportedFeatures"] == [{"name": "HTTPRoute"}]
    assert writer.metrics.missing_rights == frozenset()


async def test_an_older_release_is_written_in_the_version_that_it_serves(tmp_path: Path) -> None:
    """TLSRoutes of release 1.3 are v1alpha3: there is no v1 to write to, nor to read again from."""
    tls = ObjectRef("TLSRoute", "shop", "db")
    older = {Kind.TLS_ROUTE: f"{GROUP}/v1alpha3"}
    async with gateway_stage(RELEASE_1_3) as stage:
        put(stage.store, BY_KIND["TLSRoute"] | {"apiVersion": older[Kind.TLS_ROUTE]})
        stage.watched(tls)
        async with stage.writer(tmp_path, api_version=older.__getitem__) as writer:
            stage.report(writer, tls, route_report(EDGE_PARENT))
            await idle(writer)
            stage.patch(tls, PatchType.MERGE, {"status": {"parents": []}}, manager="somebody")
            stage.report(writer, tls, route_report(EDGE_PARENT, generation=2))
            await until(lambda: stage.parents(tls) == [OURS])
            await idle(writer)


async def test_nothing_is_written_when_nothing_differs(stage: GatewayStage, tmp_path: Path) -> None:
    """Once told, it stays told: by the same writer, after a relist, and by the next process."""
    stage.create_gateway()
    stage.create_route()
    for _ in range(2):
        async with stage.writer(tmp_path) as writer:
            for _ in range(3):
                stage.report(writer, EDGE, gateway_report(gateway_verdict()))
                stage.report(writer, WEB, route_report(EDGE_PARENT))
                await idle(writer)
                stage.catch_up(writer)
            await idle(writer)

    assert (stage.writes(Kind.GATEWAY), stage.writes(Kind.HTTP_ROUTE)) == (1, 1)


async def test_a_thousand_routes_cost_a_gateway_few_writes(
    stage: GatewayStage, tmp_path: Path
) -> None:
    """They come one by one, each counted at once by the compiler; the number is right at the end.

    The bounds are those of the issue: 20 writes. They come as fast as this machine is: the slower,
    the more writes may be due, so what is demanded follows from the pace, and the 20 from it.
    """
    stage.create_gateway()
    refs = [stage.create_route(f"route-{number}") for number in range(ROUTES)]
    async with stage.writer(tmp_path) as writer:
        stage.report(writer, EDGE, gateway_report(gateway_verdict(listener("http"))))
        await idle(writer)
        began, before = time.monotonic(), stage.writes(Kind.GATEWAY)
        for number, ref in enumerate(refs, 1):
            stage.report(writer, ref, route_report(EDGE_PARENT))
            counted = gateway_verdict(listener("http", routes=number))
            stage.report(writer, EDGE, gateway_report(counted))
            await until(lambda ref=ref: OURS in stage.parents(ref))  # type: ignore[misc]  # a default binds it

        def attached() -> bool:
            told = stage.read(EDGE)["status"]["listeners"][0]["attachedRoutes"]
            return bool(told == ROUTES)

        await until(attached)
        took_s = time.monotonic() - began
        await idle(writer)

    written = stage.writes(Kind.GATEWAY) - before
    assert written <= MOST_GATEWAY_WRITES + took_s / LONGEST_S
    assert stage.writes(Kind.HTTP_ROUTE) == ROUTES


async def test_a_condition_does_not_wait_for_numbers(stage: GatewayStage, tmp_path: Path) -> None:
    """Whatever the pace of numbers is, what has become of the Gateway is written at once."""
    stage.create_gateway()
    async with stage.writer(tmp_path, Limits(patience_s=0.0)) as writer:
        stage.report(writer, EDGE, gateway_report(gateway_verdict(listener("http"))))
        await idle(writer)
        for number in range(1, 20):  # by now, numbers wait
            report = gateway_report(gateway_verdict(listener("http", routes=number)))
            stage.report(writer, EDGE, report)
        before = stage.writes(Kind.GATEWAY)
        unserved = Report(verdict=gateway_verdict(listener("http", routes=20)), generation=1)
        stage.report(writer, EDGE, unserved)

        def is_told() -> bool:
            conditions = stage.read(EDGE)["status"]["conditions"]
            return any(each["reason"] == "Pending" for each in conditions)

        await until(is_told)
    assert stage.writes(Kind.GATEWAY) - before <= 2


async def test_two_controllers_share_a_route_without_a_fight(
    stage: GatewayStage, tmp_path: Path
) -> None:
    """Both write the same list at the same moment; each entry is written once, and both stay."""
    stage.create_gateway()
    stage.create_route()
    async with stage.writer(tmp_path) as ours, stage.writer(tmp_path) as theirs:
        stage.report(ours, WEB, route_report(EDGE_PARENT))
        stage.report(theirs, WEB, their_report())
        await idle(ours, theirs)
        assert sorted(stage.parents()) == sorted([OURS, THEIRS])
        settled = stage.writes(Kind.HTTP_ROUTE)
        for _ in range(3):
            stage.catch_up(ours, theirs)
            await idle(ours, theirs)

    assert stage.writes(Kind.HTTP_ROUTE) == settled
    assert ours.metrics.repairs == theirs.metrics.repairs == 0


async def test_edits_of_one_controller_cost_the_other_nothing(
    stage: GatewayStage, tmp_path: Path
) -> None:
    """Theirs changes twenty times, ours is never written again."""
    stage.create_gateway()
    stage.create_route()
    async with stage.writer(tmp_path) as ours, stage.writer(tmp_path) as theirs:
        stage.report(ours, WEB, route_report(EDGE_PARENT))
        await idle(ours)
        stage.catch_up(ours, theirs)
        before = stage.writes(Kind.HTTP_ROUTE)
        for generation in range(2, 22):
            report = msgspec.structs.replace(their_report(), generation=generation)
            stage.report(theirs, WEB, report)
            await idle(theirs)
            stage.catch_up(ours, theirs)
            await idle(ours)

    assert stage.writes(Kind.HTTP_ROUTE) - before == 20
    assert sorted(stage.parents()) == sorted([OURS, THEIRS])


async def test_who_wipes_our_entry_is_answered_ever_more_slowly(
    stage: GatewayStage, tmp_path: Path
) -> None:
    """A controller that writes the whole list as its own: repaired at once, then less and less."""
    stage.create_gateway()
    stage.create_route()
    theirs = {"parentRef": {"name": "edge", "namespace": "infra"}, "controllerName": THEIRS}
    said = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}
    condition = said | {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    body = {"status": {"parents": [theirs | {"conditions": [condition]}]}}
    limits = Limits(repair_first_s=60.0)
    async with stage.writer(tmp_path, limits) as ours:
        stage.report(ours, WEB, route_report(EDGE_PARENT))
        await idle(ours)
        stage.patch(WEB, PatchType.MERGE, body, manager="theirs")
        stage.catch_up(ours)
        await until(lambda: stage.parents() == [THEIRS, OURS])
        stage.patch(WEB, PatchType.MERGE, body, manager="theirs")
        stage.catch_up(ours)
        other = stage.create_route("other")
        stage.report(ours, other, route_report(EDGE_PARENT))
        await until(lambda: stage.parents(other) == [OURS])  # the writer has been there meanwhile

        assert ours.pending == 1  # put off, for a minute
        assert stage.parents() == [THEIRS]
    assert ours.metrics.repairs == 1


async def test_a_policy_says_what_each_controller_says(stage: GatewayStage, tmp_path: Path) -> None:
    """`ancestors` is a list of all controllers: each sets its own entry and leaves the others'."""
    policy = ObjectRef("BackendTLSPolicy", "apps", "web")
    put(stage.store, BY_KIND[policy.kind])
    async with stage.writer(tmp_path) as ours, stage.writer(tmp_path) as theirs:
        for writer, report in ((theirs, their_report()), (ours, route_report(EDGE_PARENT))):
            assert isinstance(report.verdict, ParentsVerdict)
            verdict = msgspec.structs.replace(report.verdict, ref=policy)
            stage.watched(policy)
            stage.report(writer, policy, msgspec.structs.replace(report, verdict=verdict))
            await idle(writer)

    entries = stage.read(policy)["status"]["ancestors"]
    assert [each["controllerName"] for each in entries] == [THEIRS, OURS]
    assert {each["ancestorRef"]["name"] for each in entries} == {EDGE.name}


async def test_a_thousand_routes_of_others_cost_no_write(
    stage: GatewayStage, tmp_path: Path
) -> None:
    """Nothing is reported of them, so whatever happens to them, nobody looks."""
    refs = [stage.create_route(f"route-{number}") for number in range(100)]
    async with stage.writer(tmp_path) as ours, stage.writer(tmp_path) as theirs:
        for ref in refs:
            stage.report(theirs, ref, their_report())
        await until(every(lambda ref: stage.parents(ref) == [THEIRS], refs))
        await idle(theirs)
        stage.catch_up(ours)
        await idle(ours)

    assert stage.writes(Kind.HTTP_ROUTE) == len(refs)
    assert not ours.metrics.requests


@pytest.mark.parametrize("order", [(OURS, THEIRS), (THEIRS, OURS)], ids="-".join)
async def test_server_side_apply_would_take_the_list_from_whoever_had_it(
    stage: GatewayStage, order: tuple[str, str]
) -> None:
    """Why we merge: `parents` is atomic, so who applies a list of its own owns it whole.

    This is what ADR 0032 rests on: the second controller's entry replaces the first one's.
    """
    stage.create_route()
    said = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}
    condition = said | {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    for controller in order:
        parent = {"name": "edge", "namespace": "infra"}
        entry = {"parentRef": parent, "controllerName": controller, "conditions": [condition]}
        body = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": WEB.name, "namespace": WEB.namespace},
            "status": {"parents": [entry]},
        }
        stage.patch(WEB, PatchType.APPLY, body, manager=controller)

    assert stage.parents() == [order[1]]


def test_numbers_are_written_at_a_growing_distance_and_anew_after_a_silence() -> None:
    """Twice as long each time, up to the longest; who has been silent for longer begins again."""
    pace, now_s, waits = CountPace(), 100.0, list[float]()
    for _ in range(7):
        pace.wrote(now_s)
        waits.append(round(pace.wait_s(now_s), 3))
        now_s += pace.wait_s(now_s)

    assert waits == [FIRST_S, 0.1, 0.2, 0.4, LONGEST_S, LONGEST_S, LONGEST_S]
    assert pace.wait_s(now_s) == 0
    pace.wrote(now_s + LONGEST_S + 0.1)
    assert round(pace.wait_s(now_s + LONGEST_S + 0.1), 3) == FIRST_S
