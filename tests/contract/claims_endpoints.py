"""What is claimed of pools and their endpoints.

What layer 4 knows as well is tried there, for the kernel knows nothing else.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from onehop.driver import Capability
from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint
from onehop.model.ident import CertificateId
from onehop.model.listener import ForwardUdp
from onehop.model.model import Row
from onehop.model.pool import (
    AltName,
    BackendProtocol,
    BackendTls,
    Balancing,
    CookiePersistence,
    HeaderPersistence,
    HealthCheck,
    SourceIpPersistence,
)
from tests.contract.scene import Scene, dial, entrance, named, proves, sources, stream
from tests.contract.test_driver_tls import PASSED, POD, SITE, pod_with_tls
from tests.driver_envoy.http2 import H2Client, h2_backend
from tests.driver_envoy.world import (
    ADDRESS,
    backend,
    connected,
    draining,
    endpoint,
    forward,
    free_port,
    get,
    host,
    members,
    pool,
    route,
    udp_listener,
    until,
)

ELSEWHERE = IpAddr(".".join(("127.252", *ADDRESS.split(".")[2:])))
"""An address of this process alone that its endpoints are not at."""


@asynccontextmanager
async def two_named() -> AsyncGenerator[tuple[int, int]]:
    """Serve two endpoints for TCP, `one` and `two`."""
    async with named("one") as one, named("two") as two:
        yield one, two


def web(scene: Scene, *endpoints: Endpoint, **fields: Any) -> tuple[Row, ...]:
    """Return a host with a pool."""
    behind = pool("web", **fields)
    to_it = host("*", route(forward(behind)))
    both = endpoints or (scene.one.endpoint, scene.two.endpoint)
    return behind, members(behind, *both), entrance(scene), to_it


@proves(Capability.WEIGHTED_ENDPOINTS)
async def the_heavier_endpoint_gets_more(scene: Scene) -> None:
    async with two_named() as (one, two):
        await scene.serve(*stream(scene, endpoint(one, weight=9), endpoint(two)))
        port = scene.traffic()
        async with AsyncExitStack() as held:
            clients = [await held.enter_async_context(connected(port)) for _ in range(40)]
            async with asyncio.timeout(30):
                taken = Counter([await client.reader.read(100) for client in clients])
    assert taken[b"one"] > 2 * taken[b"two"] > 0


@proves(Capability.DRAINING)
async def an_endpoint_that_drains_gets_nothing_new(scene: Scene) -> None:
    async with two_named() as (one, two):
        await scene.serve(*stream(scene, endpoint(one), draining(two)))
        port = scene.traffic()
        assert {await dial(port) for _ in range(10)} == {"one"}


@proves(Capability.ROUND_ROBIN)
async def all_get_the_same(scene: Scene) -> None:
    async with two_named() as (one, two):
        rows = stream(scene, endpoint(one), endpoint(two), balancing=Balancing.ROUND_ROBIN)
        await scene.serve(*rows)
        port = scene.traffic()
        taken = Counter([await dial(port) for _ in range(20)])
    assert min(taken["one"], taken["two"]) >= 8


async def _clients_stay(scene: Scene, **fields: Any) -> None:
    async with two_named() as (one, two):
        await scene.serve(*stream(scene, endpoint(one), endpoint(two), **fields))
        port = scene.traffic()
        by = {each: {await dial(port, each) for _ in range(2)} for each in sources(25)}
    assert all(len(names) == 1 for names in by.values())
    assert set.union(*by.values()) == {"one", "two"}


@proves(Capability.HASH)
async def a_clients_address_chooses(scene: Scene) -> None:
    await _clients_stay(scene, balancing=Balancing.HASH)


@proves(Capability.SOURCE_PERSISTENCE)
async def a_client_stays_with_its_endpoint(scene: Scene) -> None:
    await _clients_stay(scene, persistence=SourceIpPersistence())


@proves(Capability.SOURCE_PERSISTENCE_TIMEOUT)
async def a_client_stays_for_its_time(scene: Scene) -> None:
    await _clients_stay(scene, persistence=SourceIpPersistence(timeout_s=600))


async def _cookie_binds(scene: Scene, name: str) -> None:
    await scene.serve(*web(scene, persistence=CookiePersistence(name=name)))
    port = scene.traffic()
    first = await get(port, "a.example")
    pair = first.headers["set-cookie"].partition(";")[0]
    assert pair.startswith(f"{name}=")
    again = {(await get(port, "a.example", cookie=pair)).body for _ in range(10)}
    assert again == {first.body}


@proves(Capability.COOKIE_PERSISTENCE)
async def a_cookie_binds_a_client(scene: Scene) -> None:
    await _cookie_binds(scene, "onehop")


@proves(Capability.COOKIE_NAME)
async def the_cookie_is_called_as_asked_for(scene: Scene) -> None:
    await _cookie_binds(scene, "sid")


@proves(Capability.HTTP_PERSISTENCE_HEADER)
async def a_header_binds_a_client(scene: Scene) -> None:
    await scene.serve(*web(scene, persistence=HeaderPersistence(name="x-session")))
    port = scene.traffic()
    first = await get(port, "a.example")
    said = first.headers["x-session"]
    again = {(await get(port, "a.example", x_session=said)).body for _ in range(10)}
    assert again == {first.body}


def _eager(**fields: Any) -> HealthCheck:
    return HealthCheck(interval_s=0.3, timeout_s=2.0, unhealthy_threshold=1, **fields)


async def _only(port: int, name: str, ask: Callable[[int], Any]) -> None:
    """Wait until nobody else answers for a while."""

    async def is_alone() -> bool:
        return {await ask(port) for _ in range(12)} == {name}

    await until(is_alone, 30)


async def _body(port: int) -> str:
    return (await get(port, "a.example")).body


@proves(Capability.HEALTH_CHECK_TCP)
async def who_does_not_accept_gets_nothing(scene: Scene) -> None:
    async with named("one") as one:
        dead = endpoint(free_port())
        await scene.serve(*stream(scene, endpoint(one), dead, health_check=_eager()))
        await _only(scene.traffic(), "one", dial)


@proves(Capability.HEALTH_CHECK_HTTP)
async def who_answers_badly_gets_nothing(scene: Scene) -> None:
    async with backend("bad", status=503) as bad:
        asked = _eager(http_path="/healthz", http_host="a.example")
        await scene.serve(*stream(scene, scene.one.endpoint, bad.endpoint, health_check=asked))
        await _only(scene.traffic(), "one", _body)


@proves(Capability.HEALTH_CHECK_PORT)
async def another_port_is_asked(scene: Scene) -> None:
    """It answers at the address of the one, and nobody has it at that of the other."""
    async with named("one") as one, named("check") as checked:
        away = Endpoint(address=ELSEWHERE, port=one)
        asked = _eager(port=checked)
        await scene.serve(*stream(scene, endpoint(one), away, health_check=asked))
        await _only(scene.traffic(), "one", dial)


@proves(Capability.HEALTH_CHECK_RECOVERY)
async def several_good_checks_make_healthy_again(scene: Scene) -> None:
    port = free_port()
    check = _eager(healthy_threshold=3)
    async with named("one") as one:
        rows = stream(scene, endpoint(one), endpoint(port), health_check=check)
        await scene.serve(*rows)
        await _only(scene.traffic(), "one", dial)


@proves(Capability.HEALTH_CHECK_UDP)
async def nobody_can_ask_a_udp_port(scene: Scene) -> None:
    behind = pool("dns", protocol=BackendProtocol.UDP, health_check=_eager())
    handler = ForwardUdp(pool=behind.id)
    await scene.serve(
        behind, members(behind, endpoint(free_port())), udp_listener(scene.port, handler)
    )


@proves(Capability.CONNECT_TIMEOUT)
async def an_endpoint_that_never_accepts_is_given_up(scene: Scene) -> None:
    dead = Endpoint(address=IpAddr("127.255.255.1"), port=free_port())
    await scene.serve(*web(scene, dead, connect_timeout_s=0.5))
    assert (await get(scene.traffic(), "a.example")).status == 503


@proves(Capability.POOL_CONNECTION_LIMIT)
async def endpoints_never_have_more_connections(scene: Scene) -> None:
    """What comes beyond waits, or is answered 503."""
    async with backend("slow", delay_s=0.3) as slow:
        await scene.serve(*web(scene, slow.endpoint, max_connections=1))
        port = scene.traffic()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(get(port, "a.example")) for _ in range(3)]
        statuses = [each.result().status for each in asked]
        assert 200 in statuses
        assert set(statuses) <= {200, 503}


@proves(Capability.HTTP2_BACKENDS)
async def endpoints_are_spoken_to_in_http2(scene: Scene) -> None:
    async with h2_backend() as (h2_port, seen):
        await scene.serve(*web(scene, endpoint(h2_port), protocol=BackendProtocol.GRPC))
        async with connected(scene.traffic()) as connection:
            client = H2Client(connection.reader, connection.writer)
            call = ("a.example", "/pkg.Service/Method", b"\0\0\0\0\0", {"te": "trailers"})
            reply = await client.post(*call)
    assert (reply.status, reply.trailers) == (200, {"grpc-status": "0"})
    assert seen[0][":path"] == "/pkg.Service/Method"


async def _speaks_tls(scene: Scene, good: BackendTls, bad: BackendTls | None = None) -> None:
    async with pod_with_tls() as pod:
        await scene.serve(*web(scene, pod.endpoint, tls=good))
        assert await _body(scene.traffic()) == "pod"
        if bad is not None:
            other = pool("other", tls=bad)
            to_it = host("*", route(forward(other)))
            await scene.serve(other, members(other, pod.endpoint), entrance(scene), to_it)
            assert (await get(scene.traffic(), "a.example")).status == 503


@proves(Capability.BACKEND_TLS)
async def endpoints_are_asked_over_tls(scene: Scene) -> None:
    await _speaks_tls(scene, BackendTls())


@proves(Capability.BACKEND_TLS_CA)
async def endpoints_must_show_a_certificate_of_the_ca(scene: Scene) -> None:
    good, bad = (BackendTls(ca_pem=each.chain_pem) for each in (POD, SITE))
    await _speaks_tls(scene, good, bad)


@proves(Capability.BACKEND_TLS_NAME)
async def endpoints_must_show_a_certificate_of_the_name(scene: Scene) -> None:
    good, bad = (
        BackendTls(ca_pem=POD.chain_pem, server_name=each) for each in (PASSED, "other.example")
    )
    await _speaks_tls(scene, good, bad)


@proves(Capability.BACKEND_CLIENT_CERTIFICATE)
async def endpoints_are_shown_a_certificate_or_nobody_connects(scene: Scene) -> None:
    async with pod_with_tls(clients=SITE) as pod:
        shown = BackendTls(client=SITE.certificate.id)
        await scene.serve(SITE.certificate, *web(scene, pod.endpoint, tls=shown))
        assert await _body(scene.traffic()) == "pod"
        bare = pool("bare", tls=BackendTls(client=CertificateId("shop/not-there")))
        to_it = host("*", route(forward(bare)))
        await scene.serve(bare, members(bare, pod.endpoint), entrance(scene), to_it)
        assert (await get(scene.traffic(), "a.example")).status == 503


@proves(Capability.BACKEND_TLS_SYSTEM)
async def endpoints_must_show_a_certificate_of_a_ca_that_the_host_trusts(scene: Scene) -> None:
    """No host trusts a CA of these tests."""
    async with pod_with_tls() as pod:
        trusting = BackendTls(trusts_system=True, server_name=PASSED)
        await scene.serve(*web(scene, pod.endpoint, tls=trusting))
        assert (await get(scene.traffic(), "a.example")).status == 503


@proves(Capability.BACKEND_TLS_IDENTITY)
async def endpoints_may_show_a_certificate_of_another_name(scene: Scene) -> None:
    good, bad = (
        BackendTls(ca_pem=POD.chain_pem, server_name="sent.example", names=(AltName(each),))
        for each in (PASSED, "other.example")
    )
    await _speaks_tls(scene, good, bad)
