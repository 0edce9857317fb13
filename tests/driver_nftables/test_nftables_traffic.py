"""What becomes of real packets: TCP and UDP through the kernel of a namespace."""

import asyncio
import contextlib
import socket

import pytest

from onehop.model.address import Cidr, IpAddr
from onehop.model.endpoint import Endpoint, Readiness
from onehop.model.listener import Transport
from onehop.model.pool import Balancing, HealthCheck, SourceIpPersistence
from tests.driver_nftables.world import (
    DEADLINE_S,
    at,
    client,
    listener,
    members,
    nftables,
    once,
    pod,
    pool,
    serve,
    spread,
)
from tests.net.crossroads import CLIENT, CLIENTS, POD, VIP, Crossroads
from tests.net.namespaces import until

BALANCER = {4: IpAddr("10.244.9.1"), 6: IpAddr("2001:db8:9::1")}
"""As Pods see it."""
pytestmark = pytest.mark.root


@pytest.fixture
def roads(swept: Crossroads) -> Crossroads:
    return swept


def draining(endpoint: Endpoint) -> Endpoint:
    return Endpoint(address=endpoint.address, port=endpoint.port, readiness=Readiness.DRAINING)


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("version", [4, 6])
def test_clients_reach_pods(roads: Crossroads, version: int, transport: Transport) -> None:
    """And Pods see the load balancer, or the client itself where that was asked for."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, version=version):
            for is_transparent, seen in ((False, BALANCER), (True, CLIENT)):
                web = pool(transport, is_transparent=is_transparent)
                rows = web, members(web, at(8001, version)), listener(web, version=version)
                await serve(driver, *rows)

                assert await once(roads, transport, version) == (8001, seen[version])

    roads.balancer.run(main)


def test_connections_are_shared_by_weight(roads: Crossroads) -> None:
    """A weight of three gets three times as many as a weight of one."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, 8002):
            web = pool()
            await serve(
                driver, web, members(web, at(8001, weight=3), at(8002, weight=1)), listener(web)
            )
            got = await spread(roads, 400)

            assert got[8001] + got[8002] == 400
            assert 240 <= got[8001] <= 355  # 300, and six times the standard deviation

            counts = (await driver.count([web.id]))[web.id]
            assert {each.port: each.requests for each in counts} == dict(got)

    roads.balancer.run(main)


def test_a_client_stays_with_its_pod(roads: Crossroads) -> None:
    """With `ClientIP` every connection goes where the first went, while that gets new ones."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, 8002, 8003):
            for version in (4, 6):
                ends = [at(port, version) for port in (8001, 8002, 8003)]
                web = pool(persistence=SourceIpPersistence(timeout_s=60))
                entrance = listener(web, version=version)
                async with contextlib.AsyncExitStack() as stack:
                    if version == 6:
                        await stack.enter_async_context(pod(roads, 8001, 8002, 8003, version=6))
                    await serve(driver, web, members(web, *ends), entrance)
                    first = {(await once(roads, version=version))[0] for _ in range(20)}
                    assert len(first) == 1

                    leaving = next(each for each in ends if each.port in first)
                    rest = [each for each in ends if each != leaving]
                    driver.set_endpoints(members(web, draining(leaving), *rest))
                    await driver.settled()
                    second = {(await once(roads, version=version))[0] for _ in range(20)}
                    assert len(second) == 1
                    assert second != first

    roads.balancer.run(main)


def test_a_hash_sends_a_client_to_one_pod(roads: Crossroads) -> None:
    """By its address alone, without remembering anything."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, 8002, 8003):
            web = pool(balancing=Balancing.HASH)
            rows = web, members(web, at(8001), at(8002), at(8003)), listener(web)
            await serve(driver, *rows)

            assert len(await spread(roads, 20)) == 1

    roads.balancer.run(main)


def test_a_draining_pod_keeps_its_connections(roads: Crossroads) -> None:
    """And gets no new ones; if all drain, they serve."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, 8002):
            web = pool()
            await serve(driver, web, members(web, at(8001)), listener(web))
            async with client(roads) as old:
                assert (await old.ask())[0] == 8001

                driver.set_endpoints(members(web, draining(at(8001)), at(8002)))
                assert set(await spread(roads, 20)) == {8002}
                assert (await old.ask())[0] == 8001

                driver.set_endpoints(members(web, draining(at(8001)), draining(at(8002))))
                assert set(await spread(roads, 20)) == {8001, 8002}

    roads.balancer.run(main)


@pytest.mark.parametrize("version", [4, 6])
def test_nobody_else_gets_in(roads: Crossroads, version: int) -> None:
    """A client outside the source ranges is refused at once, one inside is served."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, version=version):
            web = pool()
            others = (Cidr("198.18.0.0/15"), Cidr("2001:db8:77::/64"))
            inside = (*others, CLIENTS[version], CLIENTS[version])
            ends = members(web, at(8001, version))
            await serve(driver, web, ends, listener(web, version=version, sources=others))
            with pytest.raises(ConnectionRefusedError):
                await once(roads, version=version)

            await serve(driver, web, ends, listener(web, version=version, sources=inside))
            assert (await once(roads, version=version))[0] == 8001

            await serve(driver, web, ends, listener(web, version=version))
            assert (await once(roads, version=version))[0] == 8001

    roads.balancer.run(main)


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("version", [4, 6])
def test_without_endpoints_clients_are_told(
    roads: Crossroads, version: int, transport: Transport
) -> None:
    """By a RST or by ICMP, at once; and served as soon as there is an endpoint."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, version=version):
            web = pool(transport)
            await serve(driver, web, members(web), listener(web, version=version))
            with pytest.raises(ConnectionRefusedError):
                await once(roads, transport, version)

            driver.set_endpoints(members(web, at(8001, version)))
            assert (await once(roads, transport, version))[0] == 8001

    roads.balancer.run(main)


def test_a_udp_flow_leaves_an_endpoint_that_is_gone(roads: Crossroads) -> None:
    """Though it never ends: its client goes on sending from the same port."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, 8002):
            web = pool(Transport.UDP)
            await serve(driver, web, members(web, at(8001)), listener(web))
            async with client(roads, Transport.UDP) as flow:
                assert (await flow.ask())[0] == 8001

                driver.set_endpoints(members(web, draining(at(8001)), at(8002)))
                assert (await flow.ask())[0] == 8001

                driver.set_endpoints(members(web, at(8002)))
                await flow.moves_to(8002)

    roads.balancer.run(main)


def test_a_client_on_this_host_is_served(roads: Crossroads) -> None:
    """From its own address, even where others are not masqueraded."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001):
            web = pool(is_transparent=True)
            await serve(driver, web, members(web, at(8001)), listener(web))
            async with asyncio.timeout(DEADLINE_S):
                reader, writer = await asyncio.open_connection(VIP[4], 80)
                writer.write(b"?")
                assert await reader.read(100) == f"8001 {BALANCER[4]}".encode()
                writer.close()

    roads.balancer.run(main)


@pytest.mark.parametrize("http_path", [None, "/healthz"])
def test_a_pod_that_does_not_answer_is_left_out(roads: Crossroads, http_path: str | None) -> None:
    """After as many checks as the pool says; and taken back when it answers."""
    check = HealthCheck(
        http_path=http_path, port=9000, interval_s=0.05, timeout_s=1.0, unhealthy_threshold=2
    )
    alive = Endpoint(address=POD[4], port=8001)
    dead = Endpoint(address=BALANCER[4], port=8002)  # nobody listens there

    async def healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    def listening(machine: str, address: str) -> socket.socket:
        on = roads.pod if machine == "pod" else roads.balancer
        return on.do(lambda: socket.create_server((address, 9000)))

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001):
            answers = await asyncio.start_server(healthy, sock=listening("pod", POD[4]))
            async with answers:
                web = pool(health_check=check)
                await serve(driver, web, members(web, alive, dead), listener(web))
                await until(lambda: driver.describe()["failed_endpoints"] == "1")
                assert set(await spread(roads, 20)) == {8001}

                other = await asyncio.start_server(healthy, sock=listening("balancer", BALANCER[4]))
                async with other:
                    await until(lambda: driver.describe()["failed_endpoints"] == "0")

    roads.balancer.run(main)


def test_if_every_check_fails_everybody_serves(roads: Crossroads) -> None:
    """It is more likely that the check is wrong than that everything is down."""
    check = HealthCheck(port=9000, interval_s=0.05, unhealthy_threshold=1)

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, 8002):
            web = pool(health_check=check)
            await serve(driver, web, members(web, at(8001), at(8002)), listener(web))
            await until(lambda: driver.describe()["failed_endpoints"] == "2")

            assert set(await spread(roads, 20)) == {8001, 8002}

    roads.balancer.run(main)
