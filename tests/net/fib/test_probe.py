"""Areas that only a default route leads to: somebody answers there, or nobody does."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncGenerator, Iterator

import pytest
import structlog

from onehop.model.address import Cidr, IpAddr
from onehop.model.reach import ProbeResult
from onehop.net.fib import probe
from onehop.net.fib.probe import AT_ONCE, Prober
from tests.net.fib.following import following
from tests.net.fib.iproute import batch
from tests.net.namespaces import DEADLINE_S, Machine, machines, running

HERE = IpAddr("127.0.0.1")
AREA = Cidr("127.0.0.0/26")


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask often, and wait for a short time only."""
    monkeypatch.setattr(probe, "ANSWERED_PAUSE_S", 0.02)
    monkeypatch.setattr(probe, "SILENT_PAUSE_S", 0.02)
    monkeypatch.setattr(probe, "TIMEOUT_S", 0.2)


@pytest.fixture
def router_and_host() -> Iterator[tuple[Machine, Machine]]:
    """Make a host whose default route leads to a router, which has a Pod's address."""
    with machines("host", "router") as (host, router):
        batch(host, ["route add default via 192.0.2.2"])
        batch(host, ["route add default via 2001:db8::2"], "-6")
        batch(router, ["address add 10.1.0.1/32 dev lo", "address add fd00:10::1/128 dev lo"])
        router.ip("route", "add", "blackhole", "10.9.0.0/16")
        yield host, router


@contextlib.asynccontextmanager
async def probing(prober: Prober) -> AsyncGenerator[asyncio.Queue[Cidr]]:
    heard: asyncio.Queue[Cidr] = asyncio.Queue()
    async with running(prober.run(heard.put_nowait)):
        yield heard


def free_port() -> int:
    with socket.create_server((HERE, 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("accepts", [True, False], ids=["accepted", "refused"])
async def test_an_address_that_accepts_or_refuses_has_answered(accepts: bool) -> None:  # noqa: FBT001
    """Both need somebody at the other end of the way."""
    with contextlib.ExitStack() as stack:
        port = free_port()
        if accepts:
            stack.enter_context(socket.create_server((HERE, port)))
        prober = Prober()
        prober.aim(AREA, (HERE, port))
        assert prober.result(AREA) is ProbeResult.NOT_ASKED

        async with asyncio.timeout(DEADLINE_S), probing(prober) as heard:
            assert await heard.get() == AREA

    assert prober.result(AREA) is ProbeResult.ANSWERED


async def test_only_silence_that_persists_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One lost packet changes nothing, two in a row do, and one answer brings it back."""
    answers = iter([True, False, True, None, False, None, False, True])
    results: list[ProbeResult] = []
    is_over = asyncio.Event()

    async def ask(*_: object) -> bool | None:
        results.append(prober.result(AREA))
        answer = next(answers, None)
        if len(results) > 8:
            is_over.set()
        return answer

    monkeypatch.setattr(probe, "_ask", ask)
    prober = Prober()
    prober.aim(AREA, (HERE, 1))
    async with asyncio.timeout(DEADLINE_S), probing(prober) as heard:
        await is_over.wait()

    fine, silent = ProbeResult.ANSWERED, ProbeResult.SILENT
    assert results[:9] == [ProbeResult.NOT_ASKED, *[fine] * 6, silent, fine]
    assert heard.qsize() == 3


async def test_what_is_not_aimed_at_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even an answer that is still on its way counts."""
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def ask(*_: object) -> bool:
        is_asked.set()
        await may_answer.wait()
        return True

    monkeypatch.setattr(probe, "_ask", ask)
    prober, other = Prober(), Cidr("127.0.0.64/26")
    prober.aim(AREA, (HERE, 1))
    async with asyncio.timeout(DEADLINE_S), probing(prober) as heard:
        await is_asked.wait()
        prober.drop(AREA)
        prober.aim(other, (HERE, 1))
        may_answer.set()
        assert await heard.get() == other
        assert prober.result(AREA) is ProbeResult.NOT_ASKED


async def test_no_more_than_so_many_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent cluster must not cost a port for each of its nodes."""
    monkeypatch.setattr(probe, "PER_SECOND", 1_000_000)
    under_way, most, is_full = 0, 0, asyncio.Event()

    async def ask(*_: object) -> bool:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if most == AT_ONCE:
            is_full.set()
        await is_full.wait()
        await asyncio.sleep(0)
        under_way -= 1
        return True

    monkeypatch.setattr(probe, "_ask", ask)
    prober = Prober()
    areas = [Cidr(f"10.0.{number}.0/26") for number in range(AT_ONCE * 3)]
    for area in areas:
        prober.aim(area, (HERE, 1))
    async with asyncio.timeout(DEADLINE_S), probing(prober) as heard:
        assert {await heard.get() for _ in areas} == set(areas)

    assert most == AT_ONCE


async def test_a_fault_of_our_own_says_nothing_of_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file descriptor nothing was asked."""

    def no_socket(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(socket, "socket", no_socket)
    with structlog.testing.capture_logs() as logs:
        assert await probe._ask(HERE, 1) is None

    assert [line["event"] for line in logs] == ["probe_impossible"]


@pytest.mark.root
@pytest.mark.parametrize(
    ("area", "pod", "block"),
    [("10.1.0.0/26", "10.1.0.1", "10.1.0.0/16"), ("fd00:10::/122", "fd00:10::1", "fd00:10::/64")],
    ids=["ipv4", "ipv6"],
)
def test_a_trusted_area_behind_a_default_route_is_probed(
    router_and_host: tuple[Machine, Machine], area: str, pod: str, block: str
) -> None:
    """It answers, it falls silent, it answers; and a route of its own ends the asking."""
    host, router = router_and_host
    targets = {Cidr(area): (IpAddr(pod), 8080)}
    gateway = "2001:db8::2" if ":" in pod else "192.0.2.2"

    async def main() -> None:
        async with following(area, trust=(block,), targets=targets) as followed:

            async def until(result: ProbeResult) -> None:
                await followed.until(lambda: followed.area(area).probe is result)

            await until(ProbeResult.ANSWERED)
            router.ip("link", "set", "lo", "down")
            router.ip("address", "flush", "dev", "lo")
            await until(ProbeResult.SILENT)
            router.ip("link", "set", "lo", "up")
            router.ip("address", "add", pod, "dev", "lo")
            await until(ProbeResult.ANSWERED)
            host.ip("route", "add", block, "via", gateway)
            await until(ProbeResult.NOT_ASKED)
            host.ip("route", "del", block)
            await until(ProbeResult.ANSWERED)

    host.run(main)


@pytest.mark.root
def test_areas_that_need_no_probe_are_left_alone(
    router_and_host: tuple[Machine, Machine],
) -> None:
    """Those that nobody trusts, and those without a target."""
    host, _ = router_and_host
    trusted, other, untold = "10.1.0.0/26", "10.2.0.0/26", "10.1.0.64/26"
    targets = {Cidr(each): (IpAddr("10.1.0.1"), 8080) for each in (trusted, other)}

    async def main() -> None:
        async with following(
            trusted, other, untold, trust=("10.1.0.0/16",), targets=targets
        ) as followed:
            await followed.until(lambda: followed.area(trusted).probe is ProbeResult.ANSWERED)
            assert followed.area(other).probe is ProbeResult.NOT_ASKED
            assert followed.area(untold).probe is ProbeResult.NOT_ASKED

            followed.fib.probe_with({})
            assert followed.want(other) == ()
            (area,) = followed.want(trusted)
            assert area.probe is ProbeResult.NOT_ASKED

    host.run(main)
