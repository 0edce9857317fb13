"""What Envoy refuses is named, left out and reported, and harms nobody else."""

import asyncio

import pytest

from onehop.model.ident import ListenerId
from onehop.model.model import RowKey, Table, key_of
from onehop.model.pool import BackendTls
from onehop.model.route import HeaderEdit, Respond
from tests.driver_envoy.world import (
    ADDRESS,
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

BAD_EDIT = HeaderEdit(set=((":path", "/x"),))


async def test_a_bad_host_among_many_is_found() -> None:
    """Envoy names no culprit for hosts: the batch is halved until it is alone."""
    port = free_port()
    good = [host(f"{number}.example", route(Respond(status=200))) for number in range(40)]
    bad = [
        host(f"bad{number}.example", route(Respond(status=200), request_headers=BAD_EDIT))
        for number in range(3)
    ]
    async with envoy() as world:
        receipt = await world.offer(listener(port), *good, *bad)

        assert {refusal.key for refusal in receipt.refused} == {key_of(each) for each in bad}
        assert set(world.driver.quarantined) == {key_of(each) for each in bad}
        for number in (0, 20, 39):
            assert (await get(port, f"{number}.example")).status == 200
        assert (await get(port, "bad0.example")).status == 404


async def test_a_bad_pool_is_named_by_envoy() -> None:
    """Its routes answer 503, those of all others are served; mended, it is taken."""
    port, web = free_port(), pool()
    bad = pool("bad", tls=BackendTls(ca_pem="this is no certificate"))
    async with backend("one") as one, envoy() as world:
        rows = (
            *(web, members(web, one.endpoint), members(bad, one.endpoint), listener(port)),
            *(host("bad.example", route(forward(bad))), host("a.example", route(forward(web)))),
        )
        receipt = await world.offer(*rows, bad)
        assert [refusal.key for refusal in receipt.refused] == [RowKey(Table.POOL, bad.id)]
        assert (await get(port, "a.example")).status == 200
        assert (await get(port, "bad.example")).status == 503

        again = await world.offer(*rows, bad)
        assert again.refused == receipt.refused

        await world.serve(*rows, pool("bad"))
        assert (await get(port, "bad.example")).status == 200
        assert world.driver.quarantined == {}


async def test_two_listeners_on_one_port_are_told_apart() -> None:
    """The one that is there stays; the other one is refused, and taken when the port is free."""
    port = free_port()
    first, second = listener(port, id=ListenerId("a")), listener(port, id=ListenerId("b"))
    everywhere = host("*", route(Respond(status=200)))
    async with envoy() as world:
        await world.serve(first, everywhere)

        receipt = await world.offer(first, second, everywhere)
        assert [refusal.key for refusal in receipt.refused] == [key_of(second)]
        assert (await get(port, "a.example")).status == 200


async def test_a_port_that_somebody_else_holds_is_taken_when_it_is_free() -> None:
    """The world may change though the row does not: a refused listener is tried again."""
    server = await asyncio.start_server(lambda _r, w: w.close(), ADDRESS, 0)
    port = server.sockets[0].getsockname()[1]
    async with server, envoy(listener_retry_s=0.05) as world:
        everywhere = host("*", route(Respond(status=200)))
        receipt = await world.offer(listener(port), everywhere)
        assert [refusal.key.table for refusal in receipt.refused] == [Table.LISTENER]
        assert "Address already in use" in receipt.refused[0].reason

        server.close()
        await server.wait_closed()

        async def is_served() -> bool:
            try:
                return (await get(port, "a.example")).status == 200
            except (ConnectionError, asyncio.IncompleteReadError):
                return False

        await until(is_served)


async def test_a_host_that_turns_bad_keeps_its_last_good_form_and_its_pool() -> None:
    """The pool of the form that is still served is not discarded, though no row wants it."""
    port, web, api = free_port(), pool("web"), pool("api")
    async with backend("one") as one, backend("two") as two, envoy(drain_grace_s=0.1) as world:
        await world.serve(
            web, members(web, one.endpoint), listener(port), host("*", route(forward(web)))
        )
        turned = host("*", route(forward(api), request_headers=BAD_EDIT))
        receipt = await world.offer(api, members(api, two.endpoint), listener(port), turned)
        assert [refusal.key for refusal in receipt.refused] == [key_of(turned)]

        other = pool("other")
        await world.offer(api, members(api, two.endpoint), listener(port), turned, other)
        await world.offer(api, members(api, two.endpoint), listener(port), turned)

        async def other_is_discarded() -> bool:
            return list(world.driver.resources.values())[1] == 2

        await until(other_is_discarded)
        assert (await get(port, "a.example")).body == "one"
