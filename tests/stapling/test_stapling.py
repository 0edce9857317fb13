"""Staples come, are renewed, and go: the task, a real pipeline, and a responder on loopback."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncGenerator, Callable
from typing import Final

import pytest
from aiohttp import web
from cryptography.x509 import ocsp

from onehop.cluster import Secret
from onehop.cluster.kind import ClusterObject
from onehop.cluster.meta import Meta
from onehop.compile.inputs import STAPLES
from onehop.compile.staple import inquiry_of
from onehop.control.memory import Remembered
from onehop.control.stapling.pace import Pace
from onehop.control.stapling.stapling import Stapling
from onehop.control.stapling.trust import Trust
from onehop.model.certificate import Certificate
from onehop.model.ident import ObjectRef
from onehop.model.problem import Reason
from onehop.model.staple import Inquiry
from tests.control.world import ONEHOP_CLASS, World, ingress, running, service, slices
from tests.stapling.ca import Ca, Party, certificate_of
from tests.stapling.responder import Responder, responding

CA: Final = Ca()
HOST: Final = "www.example"
INGRESS: Final = ObjectRef("Ingress", "shop", "www")
PACE: Final = Pace(look_s=0.002, least_s=1.0, backoff_s=(10.0, 100.0))
DAY_S: Final = 86_400.0


class Clock:
    """The time, which passes when it is told to."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 11, 23, tzinfo=dt.UTC).timestamp()

    def __call__(self) -> float:
        return self.now


class Stage:
    """A program with its stapling, and a responder."""

    def __init__(self, world: World, stapling: Stapling, responder: Responder) -> None:
        self.world = world
        self.stapling = stapling
        self.responder = responder
        self.leaf = responder.leaf()
        self.revoked: list[Inquiry] = []

    def show(self, leaf: Party | None = None) -> None:
        """Have a host show a certificate."""
        self.world.say(*objects(leaf or self.leaf))

    async def shown(self) -> Certificate | None:
        """Return what the data plane has."""
        model = await self.world.driver.read_back()
        return next(iter(model.certificates), None)

    async def has_staple(self) -> bool:
        shown = await self.shown()
        return shown is not None and shown.ocsp is not None

    async def has_none(self) -> bool:
        shown = await self.shown()
        return shown is not None and shown.ocsp is None

    def why(self) -> str:
        """Return what keeps the first certificate from having a staple."""
        inquiry = inquiry_of(certificate_of(self.leaf, CA).chain_pem)
        assert inquiry is not None
        staple = self.world.compiler.reader().get(STAPLES, inquiry)
        return staple.why if staple is not None else ""

    def reasons(self) -> list[Reason]:
        return [problem.reason for problem in self.world.compiler.problems_of(INGRESS)]


def objects(leaf: Party) -> tuple[ClusterObject, ...]:
    """Return all that it takes to show a leaf."""
    return (ONEHOP_CLASS, service(), slices(), secret(leaf), ingress(HOST, secret="tls"))


def secret(leaf: Party, name: str = "tls") -> Secret:
    """Return the Secret of a leaf and its issuer."""
    return Secret(
        metadata=Meta(name=name, namespace="shop"),
        type="kubernetes.io/tls",
        data={"tls.crt": (leaf.pem + CA.pem).encode(), "tls.key": leaf.key_pem.encode()},
    )


async def until(holds: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(timeout_s):
        while True:
            found = holds()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.002)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextlib.asynccontextmanager
async def staged(
    clock: Clock,
    *objects: ClusterObject,
    remembered: Remembered | None = None,
    named: bool = True,
    also: str = "",
) -> AsyncGenerator[Stage]:
    """Run it all until the context ends.

    Args:
        clock: what time it is.
        objects: what there is from the start.
        remembered: what was served before.
        named: whether the operator names the responder.
        also: another one that is named.
    """
    world = World()
    async with responding(CA, clock) as responder:
        trust = Trust((responder.origin, also) if named else ())
        revoked: list[Inquiry] = []
        stapling = Stapling(
            world.compiler,
            trust,
            on_revoked=revoked.append,
            pace=PACE,
            clock=clock,
            dice=lambda: 0.0,
        )
        stage = Stage(world, stapling, responder)
        stage.revoked = revoked
        if remembered is not None:
            await world.pipeline.restore(remembered)
            stapling.restore(remembered.rows)
        async with running(world, *objects), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(stapling.run(world.pipeline))
            try:
                yield stage
            finally:
                task.cancel()


async def test_a_certificate_that_names_a_responder_gets_its_staple(clock: Clock) -> None:
    """Without anybody asking for it, and with one question."""
    async with staged(clock) as stage:
        stage.show()
        await until(stage.has_staple)

        assert stage.responder.asked == [stage.leaf.certificate.serial_number]
        assert stage.reasons() == []
        assert stage.stapling.counts() == {"good": 1}


async def test_it_is_renewed_when_half_of_its_time_is_over(clock: Clock) -> None:
    """Not before, and what is shown is the newer one."""
    async with staged(clock) as stage:
        stage.show()
        await until(stage.has_staple)
        first = await stage.shown()

        clock.now += DAY_S / 2 - 1
        for _ in range(20):
            await asyncio.sleep(PACE.look_s)
        assert len(stage.responder.asked) == 1

        clock.now += 2

        async def is_newer() -> bool:
            shown = await stage.shown()
            return shown is not None and shown.ocsp not in {None, first.ocsp if first else None}

        await until(is_newer)
        assert len(stage.responder.asked) == 2


async def test_it_vanishes_when_it_runs_out_and_no_newer_one_comes(clock: Clock) -> None:
    """A responder that is down is no reason to drop it earlier; afterwards it comes back."""

    async def is_down() -> web.StreamResponse:
        return web.Response(status=503)

    async with staged(clock) as stage:
        stage.show()
        await until(stage.has_staple)

        stage.responder.behave = is_down
        clock.now += DAY_S * 0.9
        await until(lambda: len(stage.responder.asked) >= 2)
        assert await stage.has_staple()

        clock.now += DAY_S * 0.2
        await until(stage.has_none)
        assert stage.reasons() == []  # clients ask the CA by themselves
        assert stage.stapling.counts() == {"missing": 1}

        await until(lambda: "answered 503" in stage.why())
        stage.responder.behave = None
        clock.now += 200
        await until(stage.has_staple)


async def test_a_revoked_certificate_is_shown_without_and_its_owner_is_told(clock: Clock) -> None:
    """A suspension may end: then the staple is back."""
    async with staged(clock) as stage:
        revoked_at = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
        stage.responder.says = {"status": ocsp.OCSPCertStatus.REVOKED, "revoked_at": revoked_at}
        stage.show()
        await until(lambda: stage.reasons() == [Reason.CERTIFICATE_REVOKED])

        (problem,) = stage.world.compiler.problems_of(INGRESS)
        assert "was revoked by its CA 2026-11-22T00:00:00+00:00" in problem.message
        assert await stage.has_none()
        assert stage.stapling.counts() == {"revoked": 1}
        assert [each.url for each in stage.revoked] == [stage.responder.url]

        stage.responder.says = {}
        clock.now += DAY_S / 2 + 1
        await until(stage.has_staple)
        assert stage.reasons() == []


@pytest.mark.parametrize("fault", ["garbage", "wrong signer", "500", "redirect", "too long", "cut"])
async def test_nothing_that_is_wrong_is_shown(clock: Clock, fault: str) -> None:
    """It is asked again after a while, and what comes then is shown."""
    answers = {
        "garbage": web.Response(body=b"<html>It works!</html>"),
        "500": web.Response(status=500),
        "redirect": web.Response(status=302, headers={"Location": "/elsewhere"}),
        "too long": web.Response(body=b"x" * 100_000),
        "cut": web.Response(body=b"", headers={"Content-Length": "0"}),
    }

    async def misbehave() -> web.StreamResponse:
        return answers[fault]

    async with staged(clock) as stage:
        if fault == "wrong signer":
            stage.responder.says = {"signer": Ca("Test CA"), "encloses": True}
        else:
            stage.responder.behave = misbehave
        stage.show()
        await until(stage.why)
        assert await stage.has_none()
        assert stage.stapling.counts() == {"missing": 1}
        assert stage.reasons() == []

        stage.responder.behave, stage.responder.says = None, {}
        clock.now += 11
        await until(stage.has_staple)


async def test_a_responder_rests_as_long_as_it_asks_to(clock: Clock) -> None:
    """Retry-After is obeyed, for all certificates that it has to do with."""

    async def later() -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "3000"})

    async with staged(clock) as stage:
        stage.responder.behave = later
        stage.show()
        await until(stage.why)
        stage.responder.behave = None
        other = stage.responder.leaf("b.example")
        stage.world.say(secret(other, "b"), ingress("b.example", secret="b"))
        await until(lambda: stage.stapling.counts() == {"missing": 2})

        clock.now += 2999
        for _ in range(20):
            await asyncio.sleep(PACE.look_s)
        assert len(stage.responder.asked) == 1

        clock.now += 2
        await until(lambda: stage.stapling.counts() == {"good": 2})


async def test_a_slow_responder_holds_up_nobody_else(clock: Clock) -> None:
    """And is not asked a second question meanwhile."""
    hold = asyncio.Event()

    async def slow() -> web.StreamResponse:
        await hold.wait()
        return web.Response(status=500)

    async with responding(CA, clock) as other, staged(clock, also=other.origin) as stage:
        stage.responder.behave = slow
        stage.show()
        more = stage.responder.leaf("more.example")
        quick = other.leaf("quick.example")
        stage.world.say(secret(more, "more"), ingress("more.example", secret="more"))
        await until(lambda: stage.responder.asked)
        stage.world.say(secret(quick, "quick"), ingress("quick.example", secret="quick"))
        await until(lambda: stage.stapling.counts() == {"good": 1, "missing": 2})
        assert stage.responder.most_at_once == 1
        hold.set()


async def test_a_tenants_responder_is_not_asked(clock: Clock) -> None:
    """Its certificate is served all the same, and nobody is told off for it."""
    async with staged(clock, named=False) as stage:
        stage.show()
        await until(lambda: "is this host" in stage.why())
        assert await stage.has_none()

        clock.now += 3600
        for _ in range(20):
            await asyncio.sleep(PACE.look_s)
        assert stage.responder.asked == []
        assert stage.reasons() == []


async def test_a_certificate_that_demands_a_staple_waits_for_it(clock: Clock) -> None:
    """Until then the one before it is shown, and the owner is told why."""

    async def is_down() -> web.StreamResponse:
        return web.Response(status=503)

    async with staged(clock) as stage:
        old, new = stage.leaf, stage.responder.leaf(must_staple=True)
        stage.show(old)
        await until(stage.has_staple)
        stage.responder.behave = is_down
        stage.world.say(secret(new))
        await until(lambda: stage.reasons() == [Reason.STAPLE_MISSING])
        await until(lambda: len(stage.responder.asked) == 2)
        await until(lambda: "answered 503" in str(stage.world.compiler.problems_of(INGRESS)))
        shown = await stage.shown()
        assert shown is not None
        assert shown.chain_pem == old.pem + CA.pem

        stage.responder.behave = None
        clock.now += 11
        await until(lambda: stage.reasons() == [])
        await until(stage.has_staple)
        shown = await stage.shown()
        assert shown is not None
        assert shown.chain_pem == new.pem + CA.pem


async def test_a_staple_outlives_a_restart(clock: Clock) -> None:
    """What was shown is shown on, and nobody is asked before it is time."""
    async with staged(clock) as stage:
        stage.show()
        await until(stage.has_staple)
        rows = stage.world.served.rows()
        leaf = stage.leaf

    async with staged(clock, *objects(leaf), remembered=Remembered(rows=rows)) as stage:
        await until(lambda: stage.stapling.counts() == {"good": 1})
        assert await stage.has_staple()
        assert stage.responder.asked == []


async def test_a_staple_that_ran_out_while_onehop_was_down_is_not_taken_back(
    clock: Clock,
) -> None:
    """It is asked anew."""
    async with staged(clock) as stage:
        stage.show()
        await until(stage.has_staple)
        rows = stage.world.served.rows()
        leaf = stage.leaf

    clock.now += 2 * DAY_S
    async with staged(clock, *objects(leaf), remembered=Remembered(rows=rows)) as stage:
        await until(lambda: stage.stapling.counts() == {"missing": 1})
        await until(stage.has_none)


async def test_what_nobody_shows_any_more_is_not_asked_about(clock: Clock) -> None:
    """The Secret gets another certificate: the old one is forgotten."""
    async with staged(clock) as stage:
        stage.show()
        await until(stage.has_staple)
        stage.world.say(secret(stage.responder.leaf()))
        await until(lambda: len(stage.responder.asked) == 2)
        await until(stage.has_staple)

        clock.now += DAY_S / 2 + 1
        await until(lambda: len(stage.responder.asked) == 3)
        assert stage.responder.asked[1] == stage.responder.asked[2]
        assert stage.stapling.counts() == {"good": 1}
