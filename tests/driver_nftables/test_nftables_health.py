"""Health checks: who is asked how often, and what becomes of who does not answer."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncGenerator
from functools import partial

import pytest
import structlog

from onehop.driver.nftables.health import HealthChecks, Verdict
from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint
from onehop.model.ident import PoolId
from onehop.model.listener import Transport
from onehop.model.pool import HealthCheck
from tests.driver_nftables.world import (
    PORT,
    Client,
    at,
    closed,
    listener,
    members,
    nftables,
    once,
    pod,
    pool,
    serve,
    spread,
)
from tests.net.crossroads import POD, Crossroads
from tests.net.namespaces import running, until

WEB = PoolId("shop/web:80")


class Server:
    """Answers at every address of loopback, and counts who was asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.port = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Listen for as long as the context lasts."""

        def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.asked[writer.get_extra_info("sockname")[0]] += 1
            writer.close()

        server = await asyncio.start_server(answer, "0.0.0.0", 0, backlog=1000)
        try:
            self.port = server.sockets[0].getsockname()[1]
            yield
        finally:
            await closed(server)

    def endpoints(self, count: int) -> list[Endpoint]:
        """Return so many addresses of it."""
        hosts = (IpAddr(f"127.7.{number >> 8}.{number & 255}") for number in range(count))
        return [Endpoint(address=host, port=self.port) for host in hosts]


async def test_thousands_are_checked_within_the_budget() -> None:
    """Each gets its turn, nobody more often than the others, and it is said that it is less."""
    server, budget, count = Server(), 400.0, 1200
    check = HealthCheck(interval_s=0.1)
    changed: list[PoolId] = []
    checks = HealthChecks(changed.append, budget_per_s=budget)
    with structlog.testing.capture_logs() as logs:
        async with server.listening():
            checks.want(WEB, check, server.endpoints(count))
            loop = asyncio.get_running_loop()
            began = loop.time()
            async with running(checks.run()):
                await until(lambda: len(server.asked) == count)
                took_s = loop.time() - began
            assert server.asked.total() <= budget * (took_s + 1) + 1
            assert max(server.asked.values()) <= 2
            assert checks.describe() == {
                "checked_endpoints": "1200",
                "checks_per_s": "400 of 12000 asked for",
            }
    assert changed == []
    (warned,) = [each for each in logs if each["event"] == "health_checks_less_often"]
    assert (warned["wanted_per_s"], warned["budget_per_s"]) == (12_000, 400)


async def test_who_is_not_wanted_is_not_asked() -> None:
    """Endpoints that have gone, and pools without a check; what is known of others stays."""
    server, checks = Server(), HealthChecks(lambda _: None)
    async with server.listening(), running(checks.run()):
        first, second = server.endpoints(2)
        dead = Endpoint(address=IpAddr("127.8.0.1"), port=1)
        check = HealthCheck(interval_s=0.01, unhealthy_threshold=1)
        checks.want(WEB, check, [first, second, dead])
        await until(lambda: len(server.asked) == 2 and checks.count_failed() == 1)

        checks.want(WEB, check, [first, dead])
        assert checks.failed(WEB) == {(dead.address, dead.port)}
        await until(lambda: server.asked[first.address] > server.asked[second.address] + 2)

        checks.want(WEB, None, [first, dead])
        assert checks.failed(WEB) == frozenset()
        assert checks.describe() == {}


@pytest.mark.parametrize("passed", [True, False])
def test_a_verdict_needs_as_many_checks_as_the_pool_says(*, passed: bool) -> None:
    """In a row: one that says otherwise begins anew."""
    check = HealthCheck(healthy_threshold=2, unhealthy_threshold=2)
    verdict = Verdict(is_healthy=not passed)
    assert not verdict.hear(check, passed=passed)
    assert not verdict.hear(check, passed=not passed)
    assert not verdict.hear(check, passed=passed)
    assert verdict.hear(check, passed=passed)
    assert verdict.is_healthy is passed


@pytest.mark.root
def test_a_dead_pod_leaves_and_comes_back_and_if_all_are_dead_all_serve(roads: Crossroads) -> None:
    """No new connection goes to who is known not to answer; which fits the guide."""

    async def main() -> None:
        check = HealthCheck(interval_s=0.05, unhealthy_threshold=2)
        web = pool(health_check=check)
        async with nftables() as driver, contextlib.AsyncExitStack() as first:
            await first.enter_async_context(pod(roads, 8001))
            async with pod(roads, 8002):
                await serve(driver, web, members(web, at(8001), at(8002)), listener(web))
                await until(lambda: driver.describe()["checked_endpoints"] == "2")
            await until(lambda: driver.describe()["failed_endpoints"] == "1")
            assert set(await spread(roads, 20)) == {8001}
            async with pod(roads, 8002):
                await until(lambda: driver.describe()["failed_endpoints"] == "0")
                async with asyncio.timeout(20):
                    while set(await spread(roads, 20)) != {8001, 8002}:
                        pass
            await first.aclose()
            await until(lambda: driver.describe()["failed_endpoints"] == "2")
            drawn = await asyncio.to_thread(roads.nft, "list", "map", "inet", "onehop_l4", "draw4")
            assert drawn.count(" : ") == 1 + 2  # the type of the map, and both members
            with pytest.raises(ConnectionRefusedError):  # by the Pod itself
                await once(roads)

    roads.balancer.run(main)


@pytest.mark.root
def test_udp_flows_leave_an_endpoint_that_has_failed(roads: Crossroads) -> None:
    """They would go on for as long as their clients send."""
    second = IpAddr("10.244.9.3")
    roads.pod.ip("address", "add", f"{second}/24", "dev", "pod")

    @contextlib.asynccontextmanager
    async def checked(address: str) -> AsyncGenerator[None]:
        sock = roads.pod.do(partial(socket.create_server, (address, 9001)))
        server = await asyncio.start_server(lambda _, writer: writer.close(), sock=sock)
        try:
            yield
        finally:
            await closed(server)

    async def main() -> None:
        check = HealthCheck(port=9001, interval_s=0.05, unhealthy_threshold=1)
        dns = pool(Transport.UDP, health_check=check)
        good, bad = at(8001), Endpoint(address=second, port=8002)
        async with (
            nftables() as driver,
            pod(roads, 8001),
            pod(roads, 8002, address=second),
            checked(POD[4]),
        ):
            async with checked(second):
                await serve(driver, dns, members(dns, bad), listener(dns))
                flow = Client(roads, Transport.UDP, 4, PORT)
                await flow.connect()
                assert (await flow.ask())[0] == 8002
                driver.set_endpoints(members(dns, good, bad))
                await driver.settled()
                assert (await flow.ask())[0] == 8002
            with contextlib.closing(flow):
                await flow.moves_to(8001)

    roads.balancer.run(main)
