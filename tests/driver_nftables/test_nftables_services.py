"""What Services ask for, in packets: ports, affinity with its time, ranges, kept sources."""

import asyncio
import contextlib

import msgspec
import pytest

from onehop.model.address import Cidr
from onehop.model.endpoint import Path, Readiness
from onehop.model.ident import PoolId
from onehop.model.listener import Transport
from onehop.model.model import Row
from onehop.model.pool import SourceIpPersistence
from tests.driver_nftables.world import (
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
from tests.net.crossroads import CLIENT, CLIENTS, Crossroads
from tests.net.namespaces import until

pytestmark = pytest.mark.root


@pytest.fixture
def roads(swept: Crossroads) -> Crossroads:
    return swept


def ports(count: int) -> list[Row]:
    """Return a Service of several ports, of TCP and UDP in turn, each with a port of the Pod."""
    rows: list[Row] = []
    for number in range(count):
        transport = list(Transport)[number % 2]
        of = msgspec.structs.replace(pool(transport), id=PoolId(f"shop/web:{7000 + number}"))
        rows += [of, members(of, at(8001 + number)), listener(of, port=7000 + number)]
    return rows


def test_each_port_of_a_service_leads_to_its_own(roads: Crossroads) -> None:
    """Kubernetes has no ranges of ports: each is named, and there may be many."""
    count = 20

    async def main() -> None:
        numbers = range(count)
        async with nftables() as driver, pod(roads, *(8001 + number for number in numbers)):
            await serve(driver, *ports(count))
            for number in numbers:
                transport = list(Transport)[number % 2]
                asked = await once(roads, transport, port=7000 + number)
                assert asked[0] == 8001 + number
            await serve(driver, *ports(count)[: -3 * 2])
            for number in (count - 2, count - 1):
                transport = list(Transport)[number % 2]
                assert await is_refused(roads, transport, 7000 + number)

    roads.balancer.run(main)


async def is_refused(roads: Crossroads, transport: Transport, port: int) -> bool:
    try:
        await once(roads, transport, port=port)
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("version", [4, 6])
def test_a_client_is_forgotten_when_its_time_is_over(
    roads: Crossroads, version: int, transport: Transport
) -> None:
    """And stays with its Pod until then, though others are there to be drawn."""

    async def main() -> None:
        every = (8001, 8002, 8003, 8004)
        async with nftables() as driver, pod(roads, *every, version=version):
            web = pool(transport, persistence=SourceIpPersistence(timeout_s=3600))
            ends = members(web, *(at(port, version) for port in every))
            await serve(driver, web, ends, listener(web, version=version))
            assert len({(await once(roads, transport, version))[0] for _ in range(10)}) == 1

            # Another policy is another pool (`Pool`), and nobody is remembered there yet.
            short = msgspec.structs.replace(
                web, id=PoolId(f"{web.id}-1s"), persistence=SourceIpPersistence(timeout_s=1)
            )
            ends = msgspec.structs.replace(ends, pool=short.id)
            await serve(driver, short, ends, listener(short, version=version))
            seen: set[int] = set()
            async with asyncio.timeout(30):
                while len(seen) < 2:  # three of four times, after a pause
                    seen.add((await once(roads, transport, version))[0])
                    await asyncio.sleep(1.1)

    roads.balancer.run(main)


@pytest.mark.parametrize("version", [4, 6])
def test_datagrams_from_elsewhere_are_refused(roads: Crossroads, version: int) -> None:
    """A client outside the source ranges is told by ICMP, one inside is served."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, version=version):
            dns = pool(Transport.UDP)
            ends = members(dns, at(8001, version))
            others = (Cidr("198.18.0.0/15"), Cidr("2001:db8:77::/64"))
            await serve(driver, dns, ends, listener(dns, version=version, sources=others))
            with pytest.raises(ConnectionRefusedError):
                await once(roads, Transport.UDP, version)
            inside = (*others, CLIENTS[version])
            await serve(driver, dns, ends, listener(dns, version=version, sources=inside))
            assert (await once(roads, Transport.UDP, version))[0] == 8001

    roads.balancer.run(main)


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("version", [4, 6])
def test_node_ports_get_by_weight_and_see_the_client(
    roads: Crossroads, version: int, transport: Transport
) -> None:
    """As with `externalTrafficPolicy: Local`: three Pods on the one node, one on the other."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, 8002, version=version):
            web = pool(transport, is_transparent=True)
            nodes = (
                msgspec.structs.replace(at(8001, version, weight=3), path=Path.LOCAL, node="n1"),
                msgspec.structs.replace(at(8002, version, weight=1), path=Path.LOCAL, node="n2"),
            )
            # A port of its own: there may be flows of earlier tests to the usual one.
            entrance = listener(web, version=version, port=8400)
            await serve(driver, web, members(web, *nodes), entrance)
            asked = [await once(roads, transport, version, port=8400) for _ in range(200)]

            assert {seen for _, seen in asked} == {CLIENT[version]}
            first = sum(port == 8001 for port, _ in asked)
            assert 113 <= first <= 187  # 150, and six times the standard deviation
            # Not all 200: a socket of UDP may have the port, and so the flow, of an earlier one.
            await until(lambda: driver.connections.get("source-kept", 0) >= 100)
            assert driver.connections["masqueraded"] == 0

    roads.balancer.run(main)


def test_a_connection_to_an_endpoint_that_was_removed_goes_on(roads: Crossroads) -> None:
    """TCP ends by itself: as long as the Pod answers, nobody cuts it; new ones go elsewhere."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, 8002):
            web = pool()
            await serve(driver, web, members(web, at(8001)), listener(web))
            async with client(roads) as old:
                assert (await old.ask())[0] == 8001
                driver.set_endpoints(members(web, at(8002)))
                assert set(await spread(roads, 5)) == {8002}
                assert (await old.ask())[0] == 8001
                driver.set_endpoints(members(web))
                assert await is_refused(roads, Transport.TCP, 80)
                assert (await old.ask())[0] == 8001

    roads.balancer.run(main)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("services", [1, 20])
def test_flows_of_one_service_are_moved_and_others_left(
    roads: Crossroads, services: int, version: int
) -> None:
    """Picked by name if they are few, and among all of UDP if they are many."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, 8002, version=version):
            rows: list[Row] = []
            moved: list[Row] = []
            for number in range(services):
                dns = pool(Transport.UDP, name=f"dns-{number}")
                entrance = listener(dns, version=version, port=5300 + number)
                rows += [dns, members(dns, at(8001, version)), entrance]
                moved += [dns, members(dns, at(8002, version)), entrance]
            still = pool(Transport.UDP, name="still")
            others: list[Row] = [still, members(still, at(8001, version))]
            others.append(listener(still, version=version, port=9999))
            await serve(driver, *rows, *others)
            async with contextlib.AsyncExitStack() as stack:
                flow = await stack.enter_async_context(
                    client(roads, Transport.UDP, version, 5300 + services - 1)
                )
                other = await stack.enter_async_context(client(roads, Transport.UDP, version, 9999))
                assert (await flow.ask())[0] == (await other.ask())[0] == 8001
                await serve(driver, *moved, *others)
                await flow.moves_to(8002)
                assert (await other.ask())[0] == 8001

    roads.balancer.run(main)


def test_a_draining_udp_endpoint_keeps_its_flows_and_a_gone_one_none(roads: Crossroads) -> None:
    """Until it has gone; nobody left: the client is told."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001):
            dns = pool(Transport.UDP)
            await serve(driver, dns, members(dns, at(8001)), listener(dns))
            async with client(roads, Transport.UDP) as flow:
                leaving = msgspec.structs.replace(at(8001), readiness=Readiness.DRAINING)
                assert (await flow.ask())[0] == 8001
                driver.set_endpoints(members(dns, leaving, at(8002)))
                assert (await flow.ask())[0] == 8001
                driver.set_endpoints(members(dns))
                await flow.moves_to(None)

    roads.balancer.run(main)
