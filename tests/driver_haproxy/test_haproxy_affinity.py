"""Clients that are remembered by their address; a real HAProxy."""

import re
from contextlib import AsyncExitStack

import pytest

from onehop.driver.haproxy.affinity import numbers_of
from onehop.driver.haproxy.runtime import Runtime
from onehop.driver.haproxy.share import pool_name
from onehop.model.listener import ForwardHttp, ForwardTcp
from onehop.model.model import Row
from onehop.model.pool import BackendProtocol, Pool, SourceIpPersistence
from tests.contract.scene import dial, named, sources
from tests.driver_envoy.world import (
    HTTP,
    backend,
    connected,
    draining,
    endpoint,
    forward,
    free_port,
    get,
    host,
    listener,
    members,
    pool,
    prefix,
    route,
    until,
)
from tests.driver_haproxy.world import World, haproxy

pytestmark = pytest.mark.haproxy

CLIENTS = tuple(sources(40))
_ENTRY = re.compile(r"key=(\S+) .*server_key=(\S+)")


def kept_stream(timeout_s: int = 10800) -> tuple[Pool, int, Row]:
    """Return a TCP pool that keeps clients, its port, and its listener."""
    web = pool(protocol=BackendProtocol.TCP, persistence=SourceIpPersistence(timeout_s=timeout_s))
    port = free_port()
    return web, port, listener(port, ForwardTcp(pool=web.id))


async def remembered(world: World, of: Pool) -> dict[str, str]:
    """Return the servers of clients, as HAProxy's own table has them."""
    socket = world.driver.options.state_dir / f"run-{world.driver.reloads + 1}.sock"
    return dict(_ENTRY.findall(await Runtime(socket).ask(f"show table {pool_name(of.id)}")))


async def where(port: int, clients: tuple[str, ...] = CLIENTS) -> dict[str, str]:
    """Return who answers each client."""
    return {client: await dial(port, client) for client in clients}


async def test_clients_stay_while_endpoints_come_and_go() -> None:
    """New endpoints and weights move nobody; who loses its endpoint gets another one, and stays."""
    web, port, entry = kept_stream()
    early, late = CLIENTS[:20], CLIENTS[20:]
    async with AsyncExitStack() as stack:
        names = ("one", "two", "three")
        ports = [await stack.enter_async_context(named(name)) for name in names]
        one, two, three = map(endpoint, ports)
        world = await stack.enter_async_context(haproxy())
        await world.serve(web, entry, members(web, one))
        at_first = await where(port, early)
        assert set(at_first.values()) == {"one"}
        await world.serve(web, entry, members(web, draining(ports[0]), two))
        at_first |= await where(port, late)
        assert {at_first[client] for client in late} == {"two"}

        for third in (three, endpoint(ports[2], weight=200)):
            await world.serve(web, entry, members(web, one, two, third))
            assert await where(port) == at_first

        await world.serve(web, entry, members(web, two, three))
        later = await where(port)
        assert {later[client] for client in late} == {"two"}
        assert "one" not in later.values()

        await world.serve(web, entry, members(web, one, two, three))
        assert await where(port) == later
        assert world.driver.reloads == 1


async def test_an_endpoint_that_drains_keeps_its_clients_and_gets_no_others() -> None:
    """As with a cookie; when it is gone they are at another one."""
    web, port, entry = kept_stream()
    known, fresh = CLIENTS[:20], CLIENTS[20:]
    async with named("one") as one, named("two") as two, haproxy() as world:
        await world.serve(web, entry, members(web, endpoint(one)))
        assert set((await where(port, known)).values()) == {"one"}

        await world.serve(web, entry, members(web, draining(one), endpoint(two)))
        assert set((await where(port, known)).values()) == {"one"}
        assert set((await where(port, fresh)).values()) == {"two"}

        await world.serve(web, entry, members(web, endpoint(two)))
        assert set((await where(port)).values()) == {"two"}


async def test_a_client_of_an_endpoint_that_fails_is_given_another_one() -> None:
    """At once, by the connection that finds it out."""
    web, port, entry = kept_stream()
    async with named("two") as two, haproxy() as world:
        async with named("one") as one:
            await world.serve(web, entry, members(web, endpoint(one)))
            assert set((await where(port)).values()) == {"one"}
        await world.serve(web, entry, members(web, endpoint(one), endpoint(two)))

        assert set((await where(port)).values()) == {"two"}
        known = await remembered(world, web)
        assert len(known) == len(CLIENTS)
        assert len(set(known.values())) == 1


async def test_clients_are_forgotten_after_their_time() -> None:
    """Then they go wherever a new one would."""
    web, port, entry = kept_stream(timeout_s=2)
    async with named("one") as one, named("two") as two, haproxy() as world:
        await world.serve(web, entry, members(web, endpoint(one)))
        assert set((await where(port)).values()) == {"one"}
        await world.serve(web, entry, members(web, endpoint(one), endpoint(two)))

        async def is_forgotten() -> bool:
            return await remembered(world, web) == {}

        await until(is_forgotten, 30)
        assert set((await where(port)).values()) == {"one", "two"}


async def test_clients_are_remembered_by_the_next_worker() -> None:
    """Reload after reload, the first of which comes before the first worker would teach."""
    web, port, entry = kept_stream()
    rows: tuple[Row, ...] = (web, entry)
    async with named("one") as one, named("two") as two, haproxy(start_timeout_s=30.0) as world:
        await world.serve(*rows, members(web, endpoint(one)))
        at_first = await where(port)
        assert set(at_first.values()) == {"one"}
        both = members(web, endpoint(one), endpoint(two))
        known = await remembered(world, web)
        assert len(known) == len(CLIENTS)

        async def has_learnt() -> bool:
            return await remembered(world, web) == known

        for reloads in (2, 3, 4):
            rows = (*rows, listener(free_port(), ForwardTcp(pool=web.id)))
            await world.serve(*rows, both)
            assert world.driver.reloads == reloads
            await until(has_learnt, 30)
            assert await where(port) == at_first


async def test_two_hosts_send_a_client_to_the_same_endpoint() -> None:
    """Which neither has seen before, in whatever order endpoints came to them."""
    web, port, entry = kept_stream()
    there, other = free_port(), listener(free_port(), ForwardTcp(pool=web.id))
    elsewhere = listener(there, ForwardTcp(pool=web.id))
    async with named("one") as one, named("two") as two:
        both = members(web, endpoint(one), endpoint(two))
        async with haproxy() as here:
            await here.serve(web, entry, both)
            at_first = await where(port)
        async with haproxy() as away:
            await away.serve(web, other, members(web, endpoint(two)))
            await away.serve(web, elsewhere, other, both)
            assert await where(there) == at_first


async def test_the_client_is_whom_trusted_proxies_tell_of() -> None:
    """By X-Forwarded-For, of either family; and a path costs no reload."""
    web, port = pool(persistence=SourceIpPersistence()), free_port()
    entry = listener(port, ForwardHttp(router=HTTP, trusted_hops=1))
    to_web = route(forward(web))
    told = [*(f"192.0.2.{n}" for n in range(1, 20)), *(f"2001:db8::{n}" for n in range(1, 20))]

    async def answers() -> set[str]:
        return {(await get(port, "a", x_forwarded_for=client)).body for client in told}

    async with backend("one") as one, backend("two") as two, haproxy() as world:
        await world.serve(web, entry, host("*", to_web), members(web, one.endpoint))
        assert await answers() == {"one"}

        both = members(web, one.endpoint, two.endpoint)
        await world.serve(web, entry, host("*", route(forward(web), prefix("/b")), to_web), both)
        assert await answers() == {"one"}
        assert world.driver.reloads == 1
        keys = {key.removeprefix("::ffff:") for key in await remembered(world, web)}
        assert keys == set(told)


async def test_the_client_is_whom_a_proxy_header_tells_of() -> None:
    """Of either family, in front of a TCP Service."""
    web, port, _ = kept_stream()
    entry = listener(port, ForwardTcp(pool=web.id), accepts_proxy_protocol=True)
    told = (("TCP4", "192.0.2.7", "192.0.2.1"), ("TCP6", "2001:db8::7", "2001:db8::1"))
    async with named("one") as one, haproxy() as world:
        await world.serve(web, entry, members(web, endpoint(one)))
        for family, client, here in told:
            preface = f"PROXY {family} {client} {here} 4000 80\r\n".encode()
            async with connected(port, preface=preface) as connection:
                assert await connection.reader.read(100) == b"one"

        assert (await remembered(world, web)).keys() == {"::ffff:192.0.2.7", "2001:db8::7"}


def test_a_server_has_the_same_number_everywhere() -> None:
    """Whoever stands beside it; HAProxy takes no more than 31 bits, and none of them twice."""
    names = [f"s{n:016x}" for n in range(2000)]
    numbers = numbers_of(names)

    assert numbers_of(names[7:8]) == {names[7]: numbers[names[7]]}
    assert len(set(numbers.values())) == len(numbers) == len(names)
    assert all(0 < number < 2**31 for number in numbers.values())
