"""Who may use a route, and how much, by every data plane."""

import pytest

from onehop.model.address import Cidr
from onehop.model.route import Guard, RateLimit, Respond
from tests.contract.drivers import RunningDriver
from tests.contract.traffic import serve
from tests.driver_envoy.world import (
    backend,
    connected,
    forward,
    free_port,
    host,
    listener,
    members,
    pool,
    route,
)

OFFICE = Cidr("127.0.0.0/24")
INTERN = Cidr("127.0.0.9/32")
MANY = tuple(Cidr(f"198.51.{n}.0/24") for n in range(150))


@pytest.mark.parametrize(
    ("guard", "source", "status"),
    [
        (Guard(), "127.9.9.9", 200),
        (Guard(allow=(OFFICE,)), "127.0.0.5", 200),
        (Guard(allow=(OFFICE,)), "127.9.9.9", 403),
        (Guard(deny=(INTERN,)), "127.0.0.9", 403),
        (Guard(deny=(INTERN,)), "127.0.0.5", 200),
        (Guard(allow=(OFFICE,), deny=(INTERN,)), "127.0.0.9", 403),
        (Guard(allow=(*MANY, OFFICE)), "127.0.0.5", 200),
        (Guard(allow=(*MANY, OFFICE)), "127.9.9.9", 403),
    ],
)
async def test_only_admitted_networks_get_an_answer(
    serving: RunningDriver, guard: Guard, source: str, status: int
) -> None:
    """Empty lists admit everybody, who is denied stays out though allowed; of our answers too."""
    port = free_port()
    async with serving() as driver:
        await serve(
            driver, listener(port), host("*", route(Respond(status=200, body="x"), guard=guard))
        )
        async with connected(port, source=source) as client:
            assert (await client.ask("a.example")).status == status


async def test_each_client_has_a_rate_of_its_own(serving: RunningDriver) -> None:
    """One client's surplus is answered 429, while another one is served."""
    port, web = free_port(), pool()
    guard = Guard(rate_limit=RateLimit(requests=3, per_s=3600, burst=2))
    async with backend("one") as one, serving() as driver:
        await serve(
            driver,
            *(web, members(web, one.endpoint), listener(port)),
            host("*", route(forward(web), guard=guard)),
        )
        for source in ("127.0.0.5", "127.0.0.6"):
            async with connected(port, source=source) as client:
                replies = [await client.ask("a.example") for _ in range(7)]
            assert [reply.status for reply in replies] == [200] * 5 + [429] * 2


async def test_a_body_over_the_limit_is_not_taken(serving: RunningDriver) -> None:
    """413 where its length is said; one of unknown length never arrives if it is too long."""
    port, web = free_port(), pool()
    limited = route(forward(web), guard=Guard(body_limit_bytes=100))
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
    head = "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n"
    async with backend("one") as one, serving() as driver:
        await serve(driver, web, members(web, one.endpoint), listener(port), host("*", limited))
        for size, status in ((0, 200), (100, 200), (101, 413)):
            async with connected(port) as client:
                reply = await client.ask("a.example", method="POST", body=b"x" * size)
                assert reply.status == status
        async with connected(port, preface=head.encode() + chunk * 2) as client:
            client.writer.write(b"0\r\n\r\n")
            assert (await client.reply()).status in {411, 413}  # Length Required will do

    assert all(len(body) <= 100 for body in one.bodies)
