"""A stream that breaks: Envoy keeps what it has, comes back, and is told what it missed."""

import os
import signal

import pytest

from onehop.base.errors import DriverUnavailable
from onehop.driver.envoy import progress, server
from onehop.driver.envoy.session import Session
from onehop.model.model import change_between, model_of
from onehop.plan import make_plan
from tests.driver_envoy.world import (
    World,
    backend,
    envoy,
    forward,
    free_port,
    get,
    host,
    listener,
    members,
    pool,
    route,
    until,
)

pytestmark = pytest.mark.envoy


@pytest.fixture
def short_lived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server end each connection after a second, as a network may."""
    ages = (("grpc.max_connection_age_ms", 1000), ("grpc.max_connection_age_grace_ms", 1))
    monkeypatch.setattr(server, "_CHANNEL_OPTIONS", (*server._CHANNEL_OPTIONS, *ages))


async def another_stream(world: World, old: Session | None) -> Session:
    """Return the next stream with Envoy, once it has asked for everything."""

    async def is_there() -> bool:
        session = world.driver._server.session
        return session is not None and session is not old and world.driver.is_connected

    await until(is_there)
    session = world.driver._server.session
    assert session is not None
    return session


@pytest.mark.usefixtures("short_lived")
async def test_hosts_change_on_a_stream_that_is_not_the_first() -> None:
    """Changed ones, new ones and ones that went: all of it reaches an Envoy that came back."""
    port, web = free_port(), pool()
    async with backend("one") as one, envoy() as world:
        rows = web, members(web, one.endpoint), listener(port)
        await world.serve(*rows, host("a.example", route(forward(web))))
        assert (await get(port, "a.example")).status == 200
        session = world.driver._server.session

        for number in range(3):
            session = await another_stream(world, session)
            name = f"{number}.example"
            receipt = await world.serve(*rows, host(name, route(forward(web))))
            assert receipt.refused == ()
            assert receipt.duration_s < 14  # Envoy waits 15 s for what does not come
            assert (await get(port, name)).status == 200
            assert (await get(port, "a.example")).status == 404


async def test_what_envoy_did_not_acknowledge_is_waited_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plan that is made once more is not done because it was sent: Envoy has to take it."""
    port, web = free_port(), pool()
    async with backend("one") as one, envoy() as world:
        rows = web, members(web, one.endpoint), listener(port)
        await world.serve(*rows, host("a.example", route(forward(web))))
        want = model_of((*rows, host("b.example", route(forward(web)))))
        plan = make_plan(change_between(await world.driver.read_back(), want))
        pid = world.driver.pid
        assert pid is not None

        os.kill(pid, signal.SIGSTOP)
        try:
            with monkeypatch.context() as hasty:
                hasty.setattr(progress, "ACK_TIMEOUT_S", 0.3)
                for _ in range(2):
                    with pytest.raises(DriverUnavailable):
                        await world.driver.apply(plan)
        finally:
            os.kill(pid, signal.SIGCONT)
        await world.driver.apply(plan)

        assert (await get(port, "b.example")).status == 200
        assert (await get(port, "a.example")).status == 404
