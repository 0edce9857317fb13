"""One change's way from the source to the data plane."""

import asyncio

import pytest

from onehop.cluster import ClusterObject, Secret, ref_of
from onehop.cluster.meta import Meta
from onehop.compile.inputs import Held
from onehop.control import pipeline
from onehop.control.gate import Budget
from onehop.control.memory import Remembered
from onehop.driver.memory import MemoryDriver
from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate, SecretText, challenge_certificate
from onehop.model.ident import CertificateId, ObjectRef
from onehop.model.listener import Listener
from onehop.model.model import Model, Row, Table
from onehop.model.problem import Reason
from onehop.source import Deleted
from tests.compile.pem import chain_pem
from tests.control.world import (
    ONEHOP_CLASS,
    World,
    ingress,
    running,
    service,
    slices,
)


def addresses_of(model: Model) -> dict[str, list[str]]:
    return {row.pool: [e.address for e in row.endpoints] for row in model.endpoints}


async def test_nothing_is_sent_before_every_list_is_read() -> None:
    """Half a cluster is not an order to serve half of it."""
    world = World()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.pipeline.run())
        world.say(ONEHOP_CLASS, service(), slices(), ingress("a.example.com"))
        for _ in range(20):
            await asyncio.sleep(0)

        assert not world.driver.plans
        running.cancel()


async def test_an_endpoint_change_is_with_the_data_plane_before_the_source_is_answered() -> None:
    """The fast lane has no queue and no timer."""
    objects = (ONEHOP_CLASS, service(), slices(), ingress("a.example.com"))
    async with running(World(), *objects) as world:
        world.say(slices(addresses=["10.0.0.2"]))

        (sent,) = world.driver.endpoint_changes
        assert [endpoint.address for endpoint in sent.endpoints] == ["10.0.0.2"]


async def test_a_burst_of_edits_is_few_plans_and_every_edit() -> None:
    """While one plan is carried out, what comes meanwhile becomes one more."""
    async with running(World(), ONEHOP_CLASS, service(), slices()) as world:
        before = len(world.driver.plans)
        names = [f"h{n}.example.com" for n in range(50)]
        for name in names:
            world.say(ingress(name))

        await world.until_served(*names)

        assert len(world.driver.plans) - before <= 3


async def test_a_new_route_waits_a_moment_for_its_endpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """EndpointSlices come by another watch: a host that answers 503 at first helps nobody."""
    monkeypatch.setattr(pipeline, "UNFILLED_S", 30.0)
    async with running(World(), ONEHOP_CLASS, service()) as world:
        before = len(world.driver.plans)
        world.say(ingress("a.example.com"))
        await asyncio.sleep(20 * pipeline.QUIET_S)
        assert len(world.driver.plans) == before
        world.say(slices())

        model = await world.until_served("a.example.com")

        assert len(world.driver.plans) == before + 1
        assert addresses_of(model) == {"shop/web:80": ["10.0.0.1"]}


async def test_a_route_whose_endpoints_never_come_is_served_all_the_same() -> None:
    """Waiting ends: a 503 is the truth then."""
    async with running(World(), ONEHOP_CLASS, service()) as world:
        world.say(ingress("a.example.com"))

        assert addresses_of(await world.until_served("a.example.com")) == {"shop/web:80": []}


async def test_what_was_served_is_served_again_before_the_source_is_read() -> None:
    """A restart without an API serves the last known good at once, and keeps addresses."""
    world = World()
    remembered = Remembered(
        rows=tuple((await _model_of("a.example.com")).rows()),
        held=(Held(ObjectRef("Service", "shop", "lb"), (IpAddr("192.0.2.9"),)),),
    )

    await world.pipeline.restore(remembered)

    assert await world.driver.read_back() == await _model_of("a.example.com")
    assert world.compiler.held() == remembered.held


async def test_a_secret_that_went_bad_while_onehop_was_down_keeps_its_last_good() -> None:
    """The certificate on disk is shown on, and the owner is told."""
    good = Certificate(
        id=CertificateId("shop/tls"),
        chain_pem=chain_pem("a.example.com").decode(),
        key_pem=SecretText("key"),
        fingerprint="00",
        not_after=4102444800,
    )
    bad = Secret(metadata=Meta(name="tls", namespace="shop"))
    world = World()
    await world.pipeline.restore(Remembered(rows=(good,)))
    objects = (ONEHOP_CLASS, service(), slices(), ingress("a.example.com", secret="tls"), bad)
    async with running(world, *objects):
        model = await world.driver.read_back()

        assert model.certificates == (good,)
        assert [name.hostname for name in model.server_names] == ["a.example.com"]
        (problem,) = world.compiler.problems_of(ObjectRef("Ingress", "shop", "a"))
        assert "the last good one is still shown" in problem.message


async def test_what_a_ca_was_shown_before_a_restart_is_not_kept() -> None:
    """The Secret of answers says what is live; no Secret is expected under a challenge's name."""
    shown = Certificate(
        id=challenge_certificate("a.example.com"),
        chain_pem=chain_pem("a.example.com").decode(),
        key_pem=SecretText("key"),
        fingerprint="00",
        not_after=4102444800,
    )
    world = World()
    await world.pipeline.restore(Remembered(rows=(shown,)))

    assert (await world.driver.read_back()).certificates == (shown,)
    assert world.served.certificates() == {}
    assert world.compiler.kept() == {}
    objects = (ONEHOP_CLASS, service(), slices(), ingress("a.example.com"))
    async with running(world, *objects):
        model = await world.until_served("a.example.com")

        assert model.certificates == ()


async def test_what_is_gone_from_the_cluster_goes_after_the_restart() -> None:
    """The last known good is a beginning, not a truth."""
    world = World()
    await world.pipeline.restore(
        Remembered(rows=tuple((await _model_of("a.example.com", "b.example.com")).rows()))
    )
    objects = (ONEHOP_CLASS, service(), slices(), ingress("b.example.com"))
    async with running(world, *objects):
        await world.until_served("b.example.com")


async def test_an_unreachable_data_plane_gets_the_newest_state_when_it_is_back() -> None:
    """A failed plan is not lost and not replayed: what is wanted by then is applied."""
    async with running(World(), ONEHOP_CLASS, service(), slices()) as world:
        world.driver.is_reachable = False
        world.say(ingress("a.example.com"))
        await asyncio.sleep(0.02)
        world.say(Deleted(ref_of(ingress("a.example.com"))), ingress("b.example.com"))
        world.driver.is_reachable = True

        await world.until_served("b.example.com")


async def test_a_plan_that_is_made_again_does_not_bring_back_older_endpoints() -> None:
    """What the fast lane said while the data plane was away counts."""
    async with running(World(), ONEHOP_CLASS, service(), slices()) as world:
        world.driver.is_reachable = False
        world.say(ingress("a.example.com"))
        await asyncio.sleep(0.02)
        world.say(slices(addresses=["10.0.0.2"]))
        world.driver.is_reachable = True

        model = await world.until_served("a.example.com")

        assert addresses_of(model) == {"shop/web:80": ["10.0.0.2"]}


async def test_a_wipe_is_withheld_until_somebody_confirms_it() -> None:
    """Traffic goes on; `onehop confirm` lets the removals go."""
    names = [f"h{n}.example.com" for n in range(10)]
    objects: list[ClusterObject] = [ONEHOP_CLASS, service(), slices(), *map(ingress, names)]
    async with running(World(budget=Budget(percent=10, rows=2)), *objects) as world:
        world.say(*(Deleted(ref_of(ingress(name))) for name in names))
        await asyncio.sleep(0.1)
        assert len((await world.driver.read_back()).hosts) == 10
        assert world.gate.withheld[Table.HOST] == 10

        assert world.pipeline.confirm() >= 10

        await world.until_served()


async def test_a_wipe_of_endpoints_is_withheld_on_the_fast_lane_as_well() -> None:
    """An empty list of EndpointSlices must not empty the pools."""
    names = [f"s{n}" for n in range(10)]
    objects = [
        item
        for name in names
        for item in (service(name), slices(name), ingress(f"{name}.example.com", name))
    ]
    async with running(World(budget=Budget(percent=10, rows=2)), ONEHOP_CLASS, *objects) as world:
        world.say(*(Deleted(ref_of(slices(name))) for name in names))
        await asyncio.sleep(0.1)

        assert all(addresses_of(await world.driver.read_back()).values())


async def test_a_refused_row_is_told_to_its_owner_and_the_rest_is_served() -> None:
    """One bad object harms only itself."""

    def refuses(row: Row) -> str | None:
        return "no such thing" if getattr(row, "hostname", "") == "bad.example.com" else None

    objects = (ONEHOP_CLASS, service(), slices(), ingress("bad.example.com"))
    async with running(World(MemoryDriver(refuses=refuses)), *objects) as world:
        world.say(ingress("good.example.com"))
        await world.until_served("good.example.com")

        (problem,) = world.refusals.problems_of(ObjectRef("Ingress", "shop", "bad"))
        assert problem.reason is Reason.DATA_PLANE_REFUSED
        assert "no such thing" in problem.message
        assert any(ObjectRef("Ingress", "shop", "bad") in r for r in world.write_back.reports)


async def test_owners_are_reported_on_only_after_the_data_plane_answered() -> None:
    """Programmed means programmed."""
    async with running(World(), ONEHOP_CLASS, service(), slices()) as world:
        world.write_back.reports.clear()
        world.driver.is_reachable = False
        world.say(ingress("a.example.com"))
        await asyncio.sleep(0.05)
        assert not any(world.write_back.reports)

        world.driver.is_reachable = True
        await world.until_served("a.example.com")
        await asyncio.sleep(0)

        assert ObjectRef("Ingress", "shop", "a") in frozenset().union(*world.write_back.reports)


async def test_the_shared_listeners_are_there_from_the_start() -> None:
    """They wait for hosts, not hosts for them."""
    async with running(World()) as world:
        listeners: list[Listener] = list((await world.driver.read_back()).listeners)

        assert [listener.id for listener in listeners] == ["http@192.0.2.1", "https@192.0.2.1"]


async def _model_of(*hostnames: str) -> Model:
    objects: list[ClusterObject] = [ONEHOP_CLASS, service(), slices(), *map(ingress, hostnames)]
    async with running(World(), *objects) as world:
        return await world.driver.read_back()
