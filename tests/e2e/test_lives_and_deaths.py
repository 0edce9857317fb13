"""Signals: what ends, what must end with it, and what goes on."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.e2e.client import SHARED, accepts, ask, is_served, steady
from tests.e2e.cluster import Cluster
from tests.e2e.objects import Json, endpoints, ingress, service
from tests.e2e.program import Onehop, children_of, running
from tests.e2e.program import onehop as command
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]


def _is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_killed_it_leaves_no_envoy_and_serves_again_when_started(
    shop: Onehop, config: Json, tmp_path: Path
) -> None:
    """Kill -9: the kernel takes Envoy along; the lock, the sockets and the ports are free."""
    envoy = await shop.envoy_pid()
    children = children_of(shop.pid)
    await shop.kill()
    await until(lambda: not _is_alive(envoy), "Envoy is gone, too")

    async def is_closed() -> bool:  # its last thread takes the sockets along
        return not await accepts(SHARED, 80)

    await until(is_closed, "nobody listens any more")
    async with running(tmp_path / "a", config):
        await until(is_served, "it is served again")

    assert envoy in children
    assert not any(_is_alive(child) for child in children)


async def test_asked_to_end_it_lets_the_request_in_flight_finish(
    cluster: Cluster, shop: Onehop
) -> None:
    """SIGTERM: exit code 0, nothing left, and the slow answer arrives whole."""
    async with _slow_pod("10.244.1.9") as (arrived, may_answer):
        cluster.put(service("slow"), endpoints("slow", "10.244.1.9"))
        cluster.put(ingress("slow", "slow.example.com", backend="slow"))
        await until(lambda: _has_host(shop, 2), "the slow host is served")
        await until(lambda: _has_endpoint(shop, "10.244.1.9:8080"), "its Pod is known")
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(_read_slowly())
            await arrived.wait()
            shop.send(signal.SIGTERM)
            await until(lambda: shop.logged("stopping"), "it is stopping")
            may_answer.set()
        code = await shop.ended()

    assert asking.result() == (200, "late, but whole")
    assert code == 0
    assert not await accepts(SHARED, 80)
    assert not [line for line in shop.log() if line.get("level") == "error"]
    assert not (shop.state / "control.sock").exists()


async def _has_host(onehop: Onehop, number: int) -> bool:
    return (await onehop.snapshot()).served.get("host", 0) == number


async def _has_endpoint(onehop: Onehop, socket: str) -> bool:
    return any(each.endswith(socket) for each in (await onehop.served())["endpoints"])


async def _read_slowly() -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{SHARED}/", headers={"Host": "slow.example.com"}) as response,
    ):
        return response.status, await response.text()


@contextlib.asynccontextmanager
async def _slow_pod(address: str) -> AsyncGenerator[tuple[asyncio.Event, asyncio.Event]]:
    """Run a Pod that answers when it is allowed to; yields "a request has come", "answer it"."""
    arrived, may_answer = asyncio.Event(), asyncio.Event()

    async def answer(_request: web.BaseRequest) -> web.Response:
        arrived.set()
        await may_answer.wait()
        return web.Response(text="late, but whole")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, address, 8080).start()
        yield arrived, may_answer
    finally:
        await runner.cleanup()


async def test_an_envoy_that_dies_is_started_again(cluster: Cluster, shop: Onehop) -> None:
    """Everything it served is served again, and changes reach the new one."""
    envoy = await shop.envoy_pid()
    os.kill(envoy, signal.SIGKILL)
    await until(lambda: not _is_alive(envoy), "the old Envoy is gone")
    await until(is_served, "the shop is served again")
    cluster.put(ingress("two", "two.example.com"))
    await until(lambda: is_served("two.example.com"), "a new host is served")

    said = (await shop.snapshot()).data_plane
    assert said["restarts"] == "1"
    assert said["pid"] != str(envoy)
    assert shop.removals() == 0


async def test_a_second_one_on_the_same_state_says_so_and_ends(shop: Onehop) -> None:
    """Exit code 2, one line that says why; the first goes on."""
    async with steady():
        second = await command("run", "--config", str(shop.config_file))

    assert second.code == 2
    assert second.err == f"onehop: state: {shop.state} is in use by another onehop\n"
    assert (await ask()).status == 200
