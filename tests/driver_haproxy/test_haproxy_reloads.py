"""What is told to a worker that runs, and what a new one is needed for; a real HAProxy."""

import asyncio

import msgspec
import pytest

from onehop.driver import Reloads
from onehop.driver.haproxy.backend import members_by_name
from onehop.driver.haproxy.match import key_of_host
from onehop.driver.haproxy.runtime import Runtime
from onehop.driver.haproxy.share import pool_name
from onehop.model.certificate import ServerName
from onehop.model.endpoint import Endpoint
from onehop.model.listener import ForwardHttp, ForwardTcp, Listener
from onehop.model.model import Row
from onehop.model.pool import BackendProtocol, HealthCheck
from onehop.model.route import HeaderEdit, Respond
from tests.driver_envoy.world import (
    HTTP,
    HTTPS,
    backend,
    connected,
    draining,
    endpoint,
    exact,
    forward,
    free_port,
    get,
    host,
    identity,
    listener,
    members,
    pool,
    prefix,
    route,
    server_name,
    until,
)
from tests.driver_haproxy.world import LONG_S, haproxy

pytestmark = pytest.mark.haproxy


async def test_the_usual_edits_reload_nothing() -> None:
    """Endpoints, hosts, paths, answers, certificates and server names."""
    port, secure = free_port(), free_port()
    web, api = pool("web"), pool("api")
    first, second = (identity(f"site{n}", "a.example", "b.example") for n in range(2))
    base: tuple[Row, ...] = (web, api, listener(port), first.certificate, second.certificate)
    base += (listener(secure, ForwardHttp(router=HTTPS, tls=True)),)
    one_host = host("a.example", route(forward(web)))
    to_api = route(forward(api), prefix("/api"))
    token = route(Respond(status=200, body="token"), exact("/.well-known/acme-challenge/x"))
    edits: tuple[tuple[Row, ...], ...] = (
        (one_host,),
        (one_host, members(web, endpoint(1))),
        (one_host, members(web, endpoint(1), endpoint(2, weight=300))),
        (one_host, members(web, draining(1), endpoint(2))),
        (one_host, members(web, endpoint(2)), members(api, endpoint(3))),
        (host("a.example", to_api, route(forward(web))),),
        (host("a.example", token, to_api, route(forward(web))), host("*", route(forward(api)))),
        (one_host, server_name("a.example", first)),
        (one_host, server_name("a.example", second), server_name("b.example", first)),
        (host("*.wild.example", route(forward(web))), server_name("b.example", first)),
        (),
    )
    async with haproxy() as world:
        await world.serve(*base, one_host)
        assert world.driver.reloads == 1
        for rows in edits:
            await world.serve(*base, *rows)
            assert world.driver.reloads == 1, world.driver.last_reload


async def test_all_that_a_change_needs_goes_into_one_reload() -> None:
    """And the reasons are told."""
    port, more, web = free_port(), free_port(), pool()
    edited = route(forward(web), request_headers=HeaderEdit(set=(("x-a", "b"),)))
    async with haproxy() as world:
        await world.serve(listener(port))
        await world.serve(listener(port), listener(more), web, host("a.example", edited))

        assert world.driver.reloads == 2
        reasons = world.driver.last_reload
        assert f"new frontend f-listener-{more}" in reasons
        assert "new backend b-shop_web_80" in reasons
        assert "1 new or changed policies" in reasons
        assert world.driver.describe()["reloads"] == "2"
        assert world.driver.reload_reasons == {"listener": 2, "pool": 1, "policy": 2}
        assert isinstance(world.driver, Reloads)


async def test_a_host_with_a_slash_is_no_path_of_another() -> None:
    """It is refused (RFC 9112, section 3.2): it would lead around the guard of a path."""
    port, web = free_port(), pool()
    async with haproxy() as world, backend("web") as served:
        routes = (route(Respond(status=403), prefix("/guarded")), route(forward(web)))
        await world.serve(
            *(listener(port), web, members(web, served.endpoint)), host("a.example", *routes)
        )
        key = key_of_host(HTTP, "a.example")

        assert (await get(port, "a.example", "/guarded")).status == 403
        assert (await get(port, f"{key}/open", "/guarded")).status == 400
        assert (await get(port, "a.example", "/open")).body == "web"


async def test_a_wildcard_of_unusual_length_is_looked_for_from_its_coming_on() -> None:
    """It costs a reload; the next one of that length, and all of the usual lengths, cost none."""
    port, web = free_port(), pool()
    async with backend("one") as one, haproxy() as world:
        rows = (listener(port), web, members(web, one.endpoint))
        await world.serve(*rows, host("*.a.example", route(forward(web))))
        assert (await get(port, "deep.www.a.example")).status == 200
        long = host("*.of.many.labels.example", route(forward(web)))
        await world.serve(*rows, long)
        assert (await get(port, "deep.www.of.many.labels.example")).status == 200
        assert (await get(port, "many.labels.example")).status == 404
        await world.serve(*rows, host("*.one.of.the.four", route(forward(web))))
        assert (await get(port, "deep.www.one.of.the.four")).status == 200
        assert world.driver.reload_reasons["wildcard"] == 1
        assert world.driver.reloads == 2


async def test_connections_to_a_server_that_came_by_the_runtime_api_are_kept() -> None:
    """One request after another goes over the same one."""
    port, web = free_port(), pool()
    async with backend("one") as one, haproxy() as world:
        rows = (listener(port), web, host("*", route(forward(web))))
        await world.serve(*rows)
        await world.serve(*rows, members(web, one.endpoint))
        assert world.driver.reloads == 1
        async with connected(port) as client:
            for _ in range(20):
                assert (await client.ask("a")).status == 200
        assert len(set(one.clients)) <= 2


async def test_what_only_goes_waits_for_the_next_reload() -> None:
    """A pool that nothing points at is left without servers, and may come back as it was."""
    port, web = free_port(), pool()
    async with backend("one") as one, haproxy() as world:
        rows = (web, members(web, one.endpoint), host("*", route(forward(web))))
        for wanted, status in ((rows, 200), ((), 404), (rows, 200)):
            await world.serve(listener(port), *wanted)
            assert (await get(port, "a")).status == status
        assert world.driver.reloads == 1


async def test_endpoints_that_come_during_a_reload_are_not_lost() -> None:
    """They are told to the old worker at once, and again to the new one."""
    port, web = free_port(), pool()
    base = (web, listener(port), host("*", route(forward(web))))
    async with backend("one") as one, backend("two") as two, haproxy() as world:
        await world.serve(*base, members(web, one.endpoint))
        async with asyncio.TaskGroup() as group:
            group.create_task(world.serve(*base, members(web, one.endpoint), listener(free_port())))
            await asyncio.sleep(0.02)
            world.driver.set_endpoints(members(web, two.endpoint))

        async def is_two() -> bool:
            return (await get(port, "a")).body == "two"

        await until(is_two)
        assert world.driver.reloads == 2


async def test_each_endpoint_change_arrives() -> None:
    """One after another, each seen in HAProxy's own statistics; those that go are deleted."""
    web = pool()
    async with haproxy() as world:
        await world.serve(web, members(web, endpoint(1)))
        for number in range(2, 22):
            world.driver.set_endpoints(members(web, endpoint(number)))

            async def is_there(port: int = number) -> bool:
                counts = (await world.driver.count((web.id,)))[web.id]
                return [count.port for count in counts] == [port]

            await until(is_there)

        assert world.driver.reloads == 1


async def test_a_server_that_is_still_used_is_deleted_later_than_others() -> None:
    """All that go are deleted by one line, and each has an answer of its own."""
    port, web = free_port(), pool(protocol=BackendProtocol.TCP)
    async with haproxy() as world, backend("one") as one, backend("two") as two:
        rows = (web, listener(port, ForwardTcp(pool=web.id)))
        unused = [endpoint(number) for number in (1, 2, 3)]
        await world.serve(*rows, members(web, one.endpoint))

        async def are_there(*endpoints: Endpoint) -> bool:
            runtime = Runtime(world.driver.options.state_dir / "run-2.sock")
            said = await runtime.ask(f"show servers state {pool_name(web.id)}")
            names = {line.split(" ")[3] for line in said.splitlines()[2:] if line}
            return names == set(members_by_name(web, members(web, *endpoints)))

        async with connected(port) as client:
            assert (await client.ask("a.example")).body == "one"
            await world.serve(*rows, members(web, one.endpoint, *unused))
            await world.serve(*rows, members(web, two.endpoint))
            await until(lambda: are_there(one.endpoint, two.endpoint), LONG_S)
            assert (await client.ask("a.example")).body == "one"

        await until(lambda: are_there(two.endpoint), LONG_S)
        assert world.driver.reloads == 1


async def test_a_refused_certificate_is_named_and_the_rest_is_served() -> None:
    """By the worker that runs, then by the parser: the culprit alone is put back."""
    port, secure = free_port(), free_port()
    good = identity("good", "good.example")
    bad = identity("bad", "bad.example").certificate
    bad = msgspec.structs.replace(bad, chain_pem=bad.chain_pem.replace("M", "N", 5))
    tls = listener(secure, ForwardHttp(router=HTTPS, tls=True))
    answer = host("*", route(Respond(status=200, body="x")))
    async with haproxy() as world:
        await world.serve(listener(port), tls)

        receipt = await world.offer(
            *(listener(port), tls, answer, good.certificate, bad),
            server_name("good.example", good),
            ServerName(router=HTTPS, hostname="bad.example", certificate=bad.id),
        )

        assert [refusal.key.id for refusal in receipt.refused] == [bad.id]
        assert (await get(port, "a")).body == "x"


async def test_a_listener_whose_port_is_taken_comes_when_it_is_free() -> None:
    """Others are served meanwhile, without a pause."""
    port, taken = free_port(), free_port()
    answer = host("*", route(Respond(status=200, body="x")))
    holder = await asyncio.start_server(lambda _r, _w: None, listener(taken).address, taken)
    async with haproxy() as world:
        receipt = await world.offer(listener(port), listener(taken), answer)
        assert [refusal.key.id for refusal in receipt.refused] == [listener(taken).id]
        assert "already in use" in receipt.refused[0].reason
        assert (await get(port, "a")).body == "x"

        holder.close()
        await holder.wait_closed()

        async def has_come() -> bool:
            try:
                return (await get(taken, "a")).body == "x"
            except ConnectionError:
                return False

        await until(has_come)


async def test_files_are_for_their_owner_alone_and_go_when_they_are_not_wanted() -> None:
    """They hold private keys."""
    site = identity("site", "a.example")
    web = pool(health_check=HealthCheck())
    tls = listener(free_port(), ForwardHttp(router=HTTPS, tls=True))
    async with haproxy() as world:
        folder = world.driver.options.state_dir
        await world.serve(tls, site.certificate, server_name("a.example", site), web)
        assert folder.stat().st_mode & 0o077 == 0
        assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
        assert list(folder.glob("n-*.pem"))

        await world.serve(web)
        assert not list(folder.glob("n-*.pem"))


async def test_http3_is_what_a_listener_is_not_given() -> None:
    """It is served without, and that is said."""
    port, site = free_port(), identity("site", "a.example")
    quic = listener(port, ForwardHttp(router=HTTPS, tls=True, http3=True))
    async with haproxy() as world:
        receipt = await world.offer(quic, site.certificate, server_name("a.example", site))

        (refusal,) = receipt.refused
        assert refusal.is_partial
        assert (await world.driver.read_back()).listeners == (quic,)


async def test_a_socket_that_only_haproxy_cannot_bind_costs_its_listener_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The probe said yes, and somebody was quicker: HAProxy goes on with what it had."""
    monkeypatch.setattr("onehop.driver.haproxy.driver.why_not_bound", _nothing_against)
    port, taken = free_port(), free_port()
    answer = host("*", route(Respond(status=200, body="x")))
    holder = await asyncio.start_server(lambda _r, _w: None, listener(taken).address, taken)
    async with holder, haproxy(listener_retry_s=60.0) as world:
        await world.serve(listener(port), answer)

        receipt = await world.offer(
            listener(port), listener(taken), answer, host("b", route(Respond(status=200, body="y")))
        )

        assert [refusal.key.id for refusal in receipt.refused] == [listener(taken).id]
        assert "bind" in receipt.refused[0].reason
        assert (await get(port, "a")).body == "x"
        assert (await get(port, "b")).body == "y"
        await world.serve(listener(port), listener(free_port()), answer)


async def test_what_the_runtime_api_refuses_a_reload_does() -> None:
    """Somebody has taken a server away behind our back: the next change puts all right."""
    port, web = free_port(), pool()
    async with backend("one") as one, haproxy() as world:
        await world.serve(
            *(web, members(web, one.endpoint), listener(port), host("*", route(forward(web))))
        )
        (name,) = members_by_name(web, members(web, one.endpoint))
        there = f"{pool_name(web.id)}/{name}"
        runtime = Runtime(next(world.driver.options.state_dir.glob("run-2.sock")))
        await runtime.tell((f"set server {there} state maint", f"del server {there}"))
        assert (await get(port, "a")).status == 503

        world.driver.set_endpoints(
            members(web, msgspec.structs.replace(one.endpoint, weight=7), endpoint(1, weight=9))
        )

        async def is_served() -> bool:
            return (await get(port, "a")).body == "one"

        await until(is_served)
        assert world.driver.reload_reasons["runtime"] == 1
        assert "No such server" in world.driver.last_reload


def _nothing_against(_listener: Listener, *, shares: bool) -> None:
    """Stand for a probe that finds nobody."""
    del shares
