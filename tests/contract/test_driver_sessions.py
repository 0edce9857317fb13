"""Endpoints that come, drain and go, and sessions that stay with theirs, by every data plane."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from onehop.model.pool import CookiePersistence, HeaderPersistence, SourceIpPersistence
from tests.contract.drivers import RunningDriver
from tests.contract.traffic import serve
from tests.driver_envoy.world import (
    backend,
    connected,
    draining,
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


async def test_a_cookie_binds_a_client_to_its_endpoint_even_while_that_drains(
    serving: RunningDriver,
) -> None:
    """The cookie has the attributes asked for; without it, a draining endpoint gets nobody."""
    cookie = CookiePersistence(name="sid", path="/", ttl_s=600, secure=True, same_site="Lax")
    port, web = free_port(), pool(persistence=cookie)
    rest = (web, listener(port), host("*", route(forward(web))))
    async with backend("one") as one, backend("two") as two, serving() as driver:
        await serve(driver, members(web, one.endpoint, two.endpoint), *rest)
        first = await get(port, "a.example")
        pair, _, attributes = first.headers["set-cookie"].partition(";")
        shown = {each.strip().lower() for each in attributes.split(";")}
        assert {"path=/", "max-age=600", "secure", "httponly", "samesite=lax"} <= shown

        again = [await get(port, "a.example", cookie=pair) for _ in range(10)]
        assert {reply.body for reply in again} == {first.body}
        assert not any("set-cookie" in reply.headers for reply in again)
        assert {(await get(port, "a.example")).body for _ in range(40)} == {"one", "two"}

        mine, other = (one, two) if first.body == "one" else (two, one)
        await serve(driver, members(web, draining(mine.port), other.endpoint), *rest)
        assert {(await get(port, "a.example", cookie=pair)).body for _ in range(9)} == {mine.name}
        assert {(await get(port, "a.example")).body for _ in range(9)} == {other.name}

        await serve(driver, members(web, draining(mine.port)), *rest)
        assert (await get(port, "a.example")).body == mine.name  # better than nobody (KEP-1669)

        await serve(driver, members(web, other.endpoint), *rest)
        moved = await get(port, "a.example", cookie=pair)
        assert moved.body == other.name
        assert moved.headers["set-cookie"].partition(";")[0] != pair


async def test_a_header_binds_a_client_to_its_endpoint(serving: RunningDriver) -> None:
    """The answer carries what the client shall say."""
    port, web = free_port(), pool(persistence=HeaderPersistence(name="x-session"))
    async with backend("one") as one, backend("two") as two, serving() as driver:
        await serve(
            driver,
            *(web, members(web, one.endpoint, two.endpoint)),
            *(listener(port), host("*", route(forward(web)))),
        )
        first = await get(port, "a.example")
        said = first.headers["x-session"]

        again = {(await get(port, "a.example", x_session=said)).body for _ in range(10)}

        assert again == {first.body}


async def test_a_source_address_binds_a_client_to_its_endpoint(serving: RunningDriver) -> None:
    """However often it comes; and clients differ in where they are."""
    port, web = free_port(), pool(persistence=SourceIpPersistence())
    seen: dict[str, set[str]] = {}
    async with backend("one") as one, backend("two") as two, serving() as driver:
        await serve(
            driver,
            *(web, members(web, one.endpoint, two.endpoint)),
            *(listener(port), host("*", route(forward(web)))),
        )
        for source in (f"127.0.{n}.{n}" for n in range(1, 30)):
            for _ in range(3):
                async with connected(port, source=source) as client:
                    seen.setdefault(source, set()).add((await client.ask("a")).body)

    assert all(len(bodies) == 1 for bodies in seen.values())
    assert set.union(*seen.values()) == {"one", "two"}


async def test_endpoints_shift_under_load_without_a_failed_request(serving: RunningDriver) -> None:
    """By the fast lane, back and forth; each shift takes effect."""
    port, web = free_port(), pool()
    async with backend("one") as one, backend("two") as two, serving() as driver:
        await serve(
            driver,
            *(web, members(web, one.endpoint), listener(port), host("*", route(forward(web)))),
        )
        async with load(port) as answers:
            for each in (two, one, two, one):
                driver.set_endpoints(members(web, each.endpoint))
                start = len(answers)

                async def has_shifted(name: str = each.name, since: int = start) -> bool:
                    return set(answers[since:][-8:]) == {f"200 {name}"}

                await until(has_shifted)

        assert set(answers) == {"200 one", "200 two"}


async def test_pools_and_listeners_come_and_go_under_load(serving: RunningDriver) -> None:
    """What a data plane may have to be reloaded for costs no request either."""
    port, others = free_port(), [free_port() for _ in range(4)]
    async with backend("one") as one, serving() as driver:
        first = pool("web")
        rest = (listener(port), first, members(first, one.endpoint))
        await serve(driver, *rest, host("*", route(forward(first))))
        async with load(port) as answers:
            for number, other in enumerate(others):
                to = pool(f"web{number}")
                await serve(
                    driver,
                    *(*rest, listener(other), to, members(to, one.endpoint)),
                    host("*", route(forward(to))),
                )
                assert (await get(other, "a")).body == "one"
            await serve(driver, *rest, host("*", route(forward(first))))
        assert len(answers) > 10
        assert set(answers) == {"200 one"}


async def test_clients_are_sent_away_and_taken_again(serving: RunningDriver) -> None:
    """With each answer, and no longer."""
    port, web = free_port(), pool()
    async with backend("one") as one, serving() as driver:
        await serve(
            driver,
            *(web, members(web, one.endpoint), listener(port), host("*", route(forward(web)))),
        )
        for is_leaving, said in ((False, None), (True, "close"), (False, None)):
            await driver.send_away(is_leaving=is_leaving)
            reply = await get(port, "a")
            assert (reply.body, reply.headers.get("connection")) == ("one", said)


async def test_members_are_counted_as_requests_come(serving: RunningDriver) -> None:
    """Each request by the member that it went to."""
    port, web = free_port(), pool()
    async with backend("one") as one, serving() as driver:
        await serve(
            driver,
            *(web, members(web, one.endpoint), listener(port), host("*", route(forward(web)))),
        )
        for _ in range(3):
            await get(port, "a")

        async def has_counted() -> bool:
            (count,) = (await driver.count((web.id,)))[web.id]
            return (count.port, count.requests, count.failed) == (one.port, 3, 0)

        await until(has_counted)


@contextlib.asynccontextmanager
async def load(port: int, clients: int = 4) -> AsyncGenerator[list[str]]:
    """Ask without pause; yield the answers so far. A client that is told to close does so."""
    answers: list[str] = []
    is_over = asyncio.Event()

    async def ask() -> None:
        while not is_over.is_set():
            async with connected(port) as client:
                while not is_over.is_set():
                    reply = await client.ask("a.example")
                    answers.append(f"{reply.status} {reply.body}")
                    if reply.headers.get("connection") == "close":
                        break

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(ask())
        try:
            yield answers
        finally:
            is_over.set()
