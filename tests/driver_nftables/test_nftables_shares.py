"""Real packets to listeners that several backends share, and backends that are missing."""

import asyncio
import contextlib
import socket
from collections import Counter
from functools import partial

import msgspec
import pytest

from onehop.driver.nftables import NftablesDriver
from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint
from onehop.model.listener import Listener, StreamShare, Transport, Vip
from onehop.model.pool import Balancing, HealthCheck, Pool, SourceIpPersistence
from tests.compile_gateway.world import compiled, gateway, service, stream_route
from tests.driver_envoy.world import ADDRESS
from tests.driver_nftables.world import (
    DEADLINE_S,
    at,
    bound,
    client,
    listener,
    members,
    nftables,
    once,
    pod,
    pool,
    serve,
    shared,
)
from tests.net.crossroads import CLIENT, POD, VIP, Crossroads
from tests.net.namespaces import until

pytestmark = pytest.mark.root


@pytest.fixture
def roads(swept: Crossroads) -> Crossroads:
    return swept


async def asked(roads: Crossroads, times: int, version: int = 4, port: int = 80) -> Counter[int]:
    """Return which port of the Pod has served how many connections; 0 has refused."""
    got: Counter[int] = Counter()
    for _ in range(times):
        try:
            got[(await once(roads, version=version, port=port))[0]] += 1
        except ConnectionRefusedError:
            got[0] += 1
    return got


@pytest.mark.parametrize("version", [4, 6])
def test_connections_are_shared_out_and_nobodys_are_refused(
    roads: Crossroads, version: int
) -> None:
    """At once and for good: a SYN that is dropped would be sent again, and drawn again.

    The host has a socket of its own there, which gets none of them.
    """

    async def main() -> None:
        web, new = pool(), pool(name="new")
        divided = shared(
            listener(web, version=version),
            StreamShare(web.id, 5),
            StreamShare(new.id, 2),
            StreamShare(None, 3),
        )
        with bound("::", socket.SOCK_STREAM, 80) as host:
            host.listen()
            host.setblocking(False)
            async with nftables() as driver, pod(roads, 8001, 8002, 8003, version=version):
                await serve(
                    driver,
                    *(web, members(web, at(8001, version), at(8002, version))),
                    *(new, members(new, at(8003, version))),
                    divided,
                )
                got = await asked(roads, 400, version)
                counts = await driver.count([web.id, new.id])
            with pytest.raises(BlockingIOError):
                host.accept()

        assert got.total() == 400
        assert 140 <= got[8001] + got[8002] <= 260  # 200, and six times the standard deviation
        assert 32 <= got[8003] <= 128  # 80
        assert 65 <= got[0] <= 175  # 120
        counted = {each.port: each.requests for of in counts.values() for each in of}
        assert counted == {port: count for port, count in got.items() if port}

    roads.balancer.run(main)


@pytest.mark.parametrize("version", [4, 6])
def test_flows_are_shared_out_and_nobodys_are_dropped(roads: Crossroads, version: int) -> None:
    """Without a word, as UDPRouteRule.BackendRefs has it; nor does the host's own socket get them.

    The kernel says how many there were of each: an answer may be lost where many come at once.
    """
    port, times = 5310 + version, 300

    async def main() -> None:
        dns, new = pool(Transport.UDP, name="dns"), pool(Transport.UDP, name="new")
        plain = listener(dns, version=version, port=port)
        rows = dns, members(dns, at(8001, version)), new, members(new, at(8002, version))
        shares = StreamShare(dns.id, 5), StreamShare(new.id, 2), StreamShare(None, 3)
        async with (
            nftables() as driver,
            pod(roads, 8001, 8002, version=version),
            contextlib.AsyncExitStack() as stack,
        ):
            host = stack.enter_context(bound("::", socket.SOCK_DGRAM, port))
            host.setblocking(False)
            await serve(driver, *rows, plain)
            flow = await stack.enter_async_context(client(roads, Transport.UDP, version, port))
            await flow.moves_to(8001)  # and so neighbours know each other
            before = await outcomes(driver, dns, new)
            await serve(driver, *rows, shared(plain, *shares))
            flows = [
                stack.enter_context(roads.client.do(partial(datagram_sent, version, port)))
                for _ in range(times)
            ]
            got = Counter[int]()
            async with asyncio.timeout(3 * DEADLINE_S):
                while got.total() < times:
                    await asyncio.sleep(0.05)
                    got = await outcomes(driver, dns, new) - before
            assert not any(each.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for each in flows)
            with pytest.raises(BlockingIOError):
                host.recv(100)

        assert got.total() == times
        assert 99 <= got[8001] <= 201  # 150, and six times the standard deviation
        assert 19 <= got[8002] <= 101  # 60
        assert 43 <= got[0] <= 137  # 90

    roads.balancer.run(main)


def datagram_sent(version: int, port: int) -> socket.socket:
    """Return a socket with a port that no other has, which has sent one datagram to the VIP."""
    flow = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    flow.bind((CLIENT[version], 0))
    flow.connect((VIP[version], port))
    flow.send(b"?")
    return flow


async def outcomes(driver: NftablesDriver, *pools: Pool) -> Counter[int]:
    """Return how many flows each port of the Pod was given, and under 0 how many nobody."""
    counts = await driver.count(each.id for each in pools)
    given = Counter({each.port: each.requests for of in counts.values() for each in of})
    return given + Counter({0: driver.connections.get("refused", 0)})


def test_a_backend_without_endpoints_is_as_a_missing_one(roads: Crossroads) -> None:
    """And each change of one backend's endpoints counts at once, for all that is shared."""

    async def main() -> None:
        web, new = pool(), pool(name="new")
        divided = shared(listener(web), StreamShare(web.id), StreamShare(new.id))
        async with nftables() as driver, pod(roads, 8001, 8002):
            await serve(
                driver, *(web, members(web, at(8001)), new, members(new, at(8002))), divided
            )
            assert set(await asked(roads, 60)) == {8001, 8002}
            driver.set_endpoints(members(new))
            await driver.settled()
            assert set(await asked(roads, 60)) == {8001, 0}
            driver.set_endpoints(members(web))
            await driver.settled()
            assert set(await asked(roads, 20)) == {0}
            driver.set_endpoints(members(new, at(8002)))
            await driver.settled()
            assert set(await asked(roads, 60)) == {8002, 0}

    roads.balancer.run(main)


def test_a_client_on_this_host_is_refused_as_well(roads: Crossroads) -> None:
    """Its connections begin elsewhere in the kernel."""

    async def main() -> None:
        web = pool()
        divided = shared(listener(web), StreamShare(web.id), StreamShare(None))
        async with nftables() as driver, pod(roads, 8001):
            await serve(driver, web, members(web, at(8001)), divided)
            got: Counter[bool] = Counter()
            for _ in range(60):
                try:
                    async with asyncio.timeout(DEADLINE_S):
                        _, writer = await asyncio.open_connection(VIP[4], 80)
                    writer.close()
                    got[True] += 1
                except ConnectionRefusedError:
                    got[False] += 1
            assert set(got) == {True, False}

    roads.balancer.run(main)


def test_a_client_that_is_remembered_is_never_nobodys(roads: Crossroads) -> None:
    """Once it has a Pod it stays there, whichever backend that is of; until then it is drawn."""
    lasting = SourceIpPersistence(timeout_s=60)

    async def main() -> None:
        web, new = pool(persistence=lasting), pool(name="new", persistence=lasting)
        divided = shared(
            listener(web), StreamShare(web.id), StreamShare(new.id), StreamShare(None, 8)
        )
        async with nftables() as driver, pod(roads, 8001, 8002):
            await serve(
                driver, *(web, members(web, at(8001)), new, members(new, at(8002))), divided
            )
            async with asyncio.timeout(3 * DEADLINE_S):
                while not (first := set(await asked(roads, 1)) - {0}):
                    pass
            assert set(await asked(roads, 30)) == first

    roads.balancer.run(main)


def test_a_hash_may_lead_to_nobody(roads: Crossroads) -> None:
    """Then always: it is the same client, with the same address."""

    async def main() -> None:
        web = pool(balancing=Balancing.HASH)
        divided = shared(listener(web), StreamShare(web.id), StreamShare(None))
        async with nftables() as driver, pod(roads, 8001):
            await serve(driver, web, members(web, at(8001)), divided)
            assert len(await asked(roads, 20)) == 1

    roads.balancer.run(main)


def test_a_backend_is_checked_by_its_own_checks(roads: Crossroads) -> None:
    """Its failing Pods are left out; its share stays what it is."""
    check = HealthCheck(port=9000, interval_s=0.05, unhealthy_threshold=1)

    async def main() -> None:
        web, new = pool(), pool(name="new", health_check=check)
        divided = shared(listener(web), StreamShare(web.id), StreamShare(new.id))
        alone = roads.pod.do(lambda: socket.create_server((POD[4], 9000)))
        dead = Endpoint(address=IpAddr("10.244.9.1"), port=8003)  # nobody listens there
        with alone:
            async with nftables() as driver, pod(roads, 8001, 8002):
                rows = web, members(web, at(8001)), new, members(new, at(8002), dead)
                await serve(driver, *rows, divided)
                await until(lambda: driver.describe()["failed_endpoints"] == "1")
                assert set(await asked(roads, 60)) == {8001, 8002}

    roads.balancer.run(main)


def test_weights_change_and_backends_go_without_a_refused_connection(roads: Crossroads) -> None:
    """From one backend to two and to the other, as a rollout goes; open connections stay."""

    async def main() -> None:
        web, new = pool(), pool(name="new")
        rows = web, members(web, at(8001)), new, members(new, at(8002))
        alone = listener(web)
        async with nftables() as driver, pod(roads, 8001, 8002):
            await serve(driver, *rows, alone)
            async with client(roads) as old:
                assert (await old.ask())[0] == 8001
                for weight in (1, 50, 99):
                    shares = StreamShare(web.id, 100 - weight), StreamShare(new.id, weight)
                    await serve(driver, *rows, shared(alone, *shares))
                    assert set(await asked(roads, 20)) <= {8001, 8002}
                await serve(driver, *rows[2:], shared(listener(new), StreamShare(new.id)))
                assert set(await asked(roads, 10)) == {8002}
                assert (await old.ask())[0] == 8001

    roads.balancer.run(main)


@pytest.mark.parametrize("transport", list(Transport))
def test_routes_of_several_backends_are_the_kernels(
    roads: Crossroads, transport: Transport
) -> None:
    """Compiled for HAProxy with the kernel beside it; one of the backends is not there."""
    kind, port = f"{transport}Route", 5320
    refs = ", ".join(f"{{name: {name}, port: 80}}" for name in ("one", "two", "absent"))
    route = stream_route(kind, "one", listener="any").replace("{name: one, port: 80}", refs)
    compiler = compiled(
        gateway(f"name: any, port: {port}, protocol: {transport}"),
        route,
        *(
            service(name, number, protocol=transport).replace(f"{ADDRESS}", POD[4])
            for name, number in (("one", 8001), ("two", 8002))
        ),
        driver="haproxy+nftables",
    )
    rows = [
        msgspec.structs.replace(row, address=VIP[4]) if isinstance(row, Vip | Listener) else row
        for row in compiler.model().rows()
    ]

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, 8002):
            await serve(driver, *rows)
            if transport is Transport.TCP:
                assert set(await asked(roads, 90, port=port)) == {8001, 8002, 0}
                return
            for _ in range(90):
                roads.client.do(partial(datagram_sent, 4, port)).close()
            pools = [row for row in rows if isinstance(row, Pool)]
            async with asyncio.timeout(3 * DEADLINE_S):
                while set(await outcomes(driver, *pools)) != {8001, 8002, 0}:  # noqa: ASYNC110  nobody says when
                    await asyncio.sleep(0.05)

    roads.balancer.run(main)
