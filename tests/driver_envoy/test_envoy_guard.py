"""Who may use a route, and how much, through a real Envoy."""

import pytest

from onehop.model.address import Cidr
from onehop.model.route import Guard, RateLimit, Respond
from tests.driver_envoy.world import (
    backend,
    connected,
    envoy,
    forward,
    free_port,
    host,
    listener,
    members,
    pool,
    route,
)

pytestmark = pytest.mark.envoy

OFFICE = Cidr("127.0.0.0/24")
INTERN = Cidr("127.0.0.9/32")


@pytest.mark.parametrize(
    ("guard", "source", "status"),
    [
        (Guard(), "127.9.9.9", 200),
        (Guard(allow=(OFFICE,)), "127.0.0.5", 200),
        (Guard(allow=(OFFICE,)), "127.9.9.9", 403),
        (Guard(deny=(INTERN,)), "127.0.0.9", 403),
        (Guard(deny=(INTERN,)), "127.0.0.5", 200),
        (Guard(allow=(OFFICE,), deny=(INTERN,)), "127.0.0.9", 403),
    ],
)
async def test_only_admitted_networks_get_an_answer(guard: Guard, source: str, status: int) -> None:
    """Empty lists admit everybody, and who is denied stays out though allowed."""
    port, web = free_port(), pool()
    async with backend("one") as one, envoy() as world:
        await world.serve(
            web,
            members(web, one.endpoint),
            listener(port),
            host("*", route(forward(web), guard=guard)),
        )
        async with connected(port, source=source) as client:
            assert (await client.ask("a.example")).status == status


async def test_each_client_has_a_rate_of_its_own() -> None:
    """One client's surplus is answered 429, while another one is served."""
    port, web = free_port(), pool()
    guard = Guard(rate_limit=RateLimit(requests=3, per_s=3600, burst=2))
    async with backend("one") as one, envoy() as world:
        await world.serve(
            web,
            members(web, one.endpoint),
            listener(port),
            host("*", route(forward(web), guard=guard)),
        )
        for source in ("127.0.0.5", "127.0.0.6"):
            async with connected(port, source=source) as client:
                replies = [await client.ask("a.example") for _ in range(7)]
            assert [reply.status for reply in replies] == [200] * 5 + [429] * 2


async def test_a_body_over_the_limit_is_answered_413() -> None:
    """Whether its length is said or has to be found out; what fits arrives whole."""
    port, web = free_port(), pool()
    limited = route(forward(web), guard=Guard(body_limit_bytes=100))
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
    head = "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n"
    async with backend("one") as one, envoy() as world:
        await world.serve(web, members(web, one.endpoint), listener(port), host("*", limited))
        for size, status in ((0, 200), (100, 200), (101, 413)):
            async with connected(port) as client:
                reply = await client.ask("a.example", method="POST", body=b"x" * size)
                assert reply.status == status
        for chunks, status in ((1, 200), (2, 413)):
            async with connected(port, preface=head.encode() + chunk * chunks) as client:
                client.writer.write(b"0\r\n\r\n")
                assert (await client.reply()).status == status

    assert one.bodies == [b"", b"x" * 100, b"x" * 100]


async def test_a_guard_also_guards_answers_of_our_own() -> None:
    """A Respond or Redirect behind a guard is not for everybody either."""
    port = free_port()
    guarded = route(Respond(status=200), guard=Guard(allow=(OFFICE,)))
    async with envoy() as world:
        await world.serve(listener(port), host("*", guarded))
        for source, status in (("127.0.0.5", 200), ("127.9.9.9", 403)):
            async with connected(port, source=source) as client:
                assert (await client.ask("a.example")).status == status
