"""Endpoints come and go while requests are under way, and no client notices."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from onehop.model.pool import Balancing, HealthCheck
from onehop.model.route import Retry
from tests.driver_envoy.world import (
    backend,
    connected,
    draining,
    endpoint,
    envoy,
    forward,
    free_port,
    get,
    host,
    listener,
    members,
    pool,
    route,
    tcp_server,
    until,
)

pytestmark = pytest.mark.envoy


@asynccontextmanager
async def load(port: int, clients: int = 4) -> AsyncGenerator[list[int]]:
    """Ask without pause on keep-alive connections; yield the statuses so far."""
    statuses: list[int] = []
    is_over = asyncio.Event()

    async def ask() -> None:
        async with connected(port) as client:
            while not is_over.is_set():
                statuses.append((await client.ask("a.example")).status)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(ask())
        try:
            yield statuses
        finally:
            is_over.set()


async def test_endpoints_shift_under_load_without_a_failed_request() -> None:
    """Each shift takes effect, and none of the requests around it fails, without retries."""
    port, web = free_port(), pool()
    plain = forward(web, retry=Retry(attempts=0))
    async with backend("one") as one, backend("two") as two, envoy() as world:
        await world.serve(web, members(web, one.endpoint), listener(port), host("*", route(plain)))
        async with load(port) as statuses:
            for turn in range(20):
                new = (two, one)[turn % 2]
                world.driver.set_endpoints(members(web, new.endpoint))
                had = len(new.requests)

                async def is_used(had: int = had, to: list[str] = new.requests) -> bool:
                    return len(to) > had + 5

                await until(is_used)

    assert len(statuses) > 100
    assert set(statuses) == {200}


async def test_a_changed_pool_is_there_at_once() -> None:
    """Envoy waits 15 s for the endpoints of a changed cluster, unless they follow it."""
    port = free_port()
    async with backend("one") as one, envoy() as world:
        for seconds in (1.0, 2.0, 3.0):
            web = pool(connect_timeout_s=seconds)
            async with asyncio.timeout(14):
                await world.serve(
                    web, members(web, one.endpoint), listener(port), host("*", route(forward(web)))
                )
            assert (await get(port, "a.example")).body == "one"


async def test_a_pool_is_replaced_without_a_failed_request() -> None:
    """Another policy is another pool: it is made before the old one is broken, again and again."""
    port = free_port()
    pools = [pool(f"web{turn}", connect_timeout_s=1.0 + turn) for turn in range(8)]
    async with backend("one", delay_s=0.002) as one, envoy(drain_grace_s=0.1) as world:

        async def switch_to(turn: int) -> None:
            now = pools[turn]
            receipt = await world.serve(
                now, members(now, one.endpoint), listener(port), host("*", route(forward(now)))
            )
            assert receipt.refused == ()

        await switch_to(0)
        async with load(port) as statuses:
            for turn in range(1, 8):
                await switch_to(turn)
                had = len(statuses)

                async def went_on(had: int = had) -> bool:
                    return len(statuses) > had + 20

                await until(went_on)

        async def only_the_last_is_left() -> bool:
            return list(world.driver.resources.values())[:2] == [1, 1]

        await until(only_the_last_is_left)
    assert set(statuses) == {200}


async def test_a_pool_that_is_wanted_again_is_not_discarded() -> None:
    """Back within the grace: the removal that was put down is forgotten."""
    port, web = free_port(), pool()
    async with backend("one") as one, envoy(drain_grace_s=0.2) as world:
        rows = (web, members(web, one.endpoint), listener(port), host("*", route(forward(web))))
        await world.serve(*rows)
        await world.serve()
        await world.serve(*rows)
        other = pool("other")  # its discarding tells when the other's time would have come
        await world.serve(*rows, other, members(other))
        await world.serve(*rows)

        async def other_is_gone() -> bool:
            return list(world.driver.resources.values())[1] == 1

        await until(other_is_gone)
        assert (await get(port, "a.example")).status == 200


async def test_a_draining_endpoint_gets_no_new_requests() -> None:
    """Unless all of them drain: then they serve (KEP-1669)."""
    port, web = free_port(), pool()
    async with backend("one") as one, backend("two") as two, envoy() as world:
        await world.serve(
            web,
            members(web, one.endpoint, draining(two.port)),
            listener(port),
            host("*", route(forward(web))),
        )
        assert {(await get(port, "a.example")).body for _ in range(20)} == {"one"}

        world.driver.set_endpoints(members(web, draining(one.port), draining(two.port)))

        async def both_serve() -> bool:
            return {(await get(port, "a.example")).body for _ in range(10)} == {"one", "two"}

        await until(both_serve)


async def test_two_of_three_draining_is_no_reason_to_panic() -> None:
    """Envoy's default would send work to all endpoints once fewer than half are healthy."""
    port, web = free_port(), pool()
    async with backend("one") as one, backend("two") as two, backend("three") as three:
        rows = (
            web,
            members(web, one.endpoint, draining(two.port), draining(three.port)),
            listener(port),
            host("*", route(forward(web))),
        )
        async with envoy() as world:
            await world.serve(*rows)
            assert {(await get(port, "a.example")).body for _ in range(30)} == {"one"}


@pytest.mark.parametrize("zones", [("", ""), ("zone-a", "zone-b")])
async def test_endpoints_are_used_by_weight(zones: tuple[str, str]) -> None:
    """Nine to one, whether or not they lie in zones."""
    port, web = free_port(), pool(balancing=Balancing.ROUND_ROBIN)
    async with backend("one") as one, backend("two") as two, envoy() as world:
        await world.serve(
            web,
            members(
                web,
                endpoint(one.port, weight=9, zone=zones[0] or None),
                endpoint(two.port, weight=1, zone=zones[1] or None),
            ),
            listener(port),
            host("*", route(forward(web))),
        )
        async with connected(port) as client:
            for _ in range(100):
                await client.ask("a.example")

    assert len(one.requests) == pytest.approx(90, abs=3)


async def test_an_endpoint_that_fails_its_check_gets_nothing() -> None:
    """The pool is checked before anything points at it, so the first request is served."""
    port = free_port()
    check = HealthCheck(http_path="/healthz", expected=((200, 299),), interval_s=0.1, timeout_s=10)
    web = pool(health_check=check)
    async with backend("good") as good, backend("bad", status=500) as bad, envoy() as world:
        await world.serve(
            web,
            members(web, good.endpoint, bad.endpoint),
            listener(port),
            host("*", route(forward(web))),
        )
        assert {(await get(port, "a.example")).body for _ in range(20)} == {"good"}
        assert bad.requests
        assert all(request.startswith("GET /healthz") for request in bad.requests)


async def test_a_check_may_ask_another_port() -> None:
    """As `healthCheckNodePort` is: the port answers for the endpoint."""
    port = free_port()
    async with backend("good") as good, backend("health") as health, envoy() as world:
        web = pool(health_check=HealthCheck(http_path="/", port=health.port, interval_s=0.1))
        await world.serve(
            web, members(web, good.endpoint), listener(port), host("*", route(forward(web)))
        )
        assert (await get(port, "a.example")).body == "good"
        assert health.requests


async def test_an_endpoint_that_never_answers_is_ejected() -> None:
    """After five failures in a row it is left alone, and no request waits for it any more."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    port, web = free_port(), pool(balancing=Balancing.ROUND_ROBIN)
    plain = forward(web, retry=Retry(attempts=0))
    async with backend("good") as good, tcp_server(hang_up) as broken, envoy() as world:
        await world.serve(
            web,
            members(web, good.endpoint, endpoint(broken)),
            listener(port),
            host("*", route(plain)),
        )

        async def is_left_alone() -> bool:
            return {(await get(port, "a.example")).status for _ in range(10)} == {200}

        await until(is_left_alone)
