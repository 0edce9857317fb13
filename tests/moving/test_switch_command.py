"""`onehop switch` and SIGHUP: as an operator has another data plane, on a host that serves."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from onehop.lab.pod import serve_http
from tests.e2e.loopback import HTTP, POD, VIP, Folder
from tests.e2e.objects import HOST, Json, balancer, endpoints, ingress, ingress_class, service
from tests.e2e.program import Onehop, onehop, running
from tests.e2e.waiting import until
from tests.moving.world import Site, load

pytestmark = pytest.mark.haproxy

SITE = Site(VIP, HTTP, HOST)
SWITCH_S = 60.0


class Shop(NamedTuple):
    """A running onehop, its manifests, and its configuration."""

    program: Onehop
    folder: Folder
    config: Json

    def name(self, driver: str, **more: Json | str) -> None:
        """Name another data plane in the file."""
        planes = self.config["dataPlane"] | {"driver": driver} | more
        text = yaml.safe_dump(self.config | {"dataPlane": planes})
        self.program.config_file.write_text(text)

    async def command(self, *words: str) -> tuple[int, str]:
        """Run a command of onehop's with this configuration; return its exit code and words."""
        done = await onehop(*words, "--config", str(self.program.config_file))
        return done.code, done.out + done.err


@pytest.fixture
async def shop(temporary: Path) -> AsyncGenerator[Shop]:
    """A shop that Envoy serves, without root."""
    folder = Folder(temporary / "manifests")
    folder.write("class.yaml", ingress_class())
    folder.write("shop.yaml", service(), endpoints("web", POD), ingress())
    async with (
        serve_http("web", "web-1", POD, 8080),
        running(temporary / "a", folder.config()) as program,
    ):
        config = yaml.safe_load(program.config_file.read_text())
        yield Shop(program, folder, config)


async def test_a_switch_there_and_back_loses_no_request(shop: Shop) -> None:
    """By the command, and back by SIGHUP; status, metrics and folders tell what runs.

    What cannot be is answered before: a HAProxy that is not there, keys that exclude each other.
    """
    async with load(SITE) as clients:
        await clients.more(20)
        shop.name("haproxy", haproxy={"binary": "/nowhere/haproxy"})
        code, said = await shop.command("switch")
        assert (code, "/nowhere/haproxy" in said, said.split()[-3]) == (1, True, "envoy"), said
        shop.name("envoy", layer4="kernel")
        shop.program.send(signal.SIGHUP)
        await until(lambda: len(_switches(shop)) == 2, "it is answered")
        assert "dataPlane.layer4" in _switches(shop)[-1]["said"]

        shop.name("haproxy")
        async with connected():
            assert await shop.command("switch") == (0, "haproxy serves\n")
            _, said = await shop.command("status")
            assert "\nhaproxy " in said
            assert "\nenvoy (beside) " in said
            assert await shop.program.metric("onehop_data_planes", driver="envoy") == 1
        assert (await shop.program.snapshot()).driver == "haproxy"
        assert await shop.program.metric("onehop_build_info", driver="haproxy") == 1
        await until(lambda: _places(shop) == ["haproxy"], "Envoy has ended", timeout_s=SWITCH_S)

        shop.name("envoy")
        shop.program.send(signal.SIGHUP)
        await until(lambda: len(_switches(shop)) == 4, "it is back", timeout_s=SWITCH_S)
        await clients.more(20)
    assert clients.failures == {}
    assert (await shop.program.snapshot()).driver == "envoy"
    assert await shop.program.metric("onehop_data_plane_switches_total", outcome="done") == 2


async def test_what_would_be_refused_stays_where_it_is(shop: Shop) -> None:
    """A UDP Service keeps Envoy, exit code 1; `--force` gives it up, and it becomes a Problem.

    Back at Envoy it is served again, though HAProxy never had it. To a HAProxy that the operator
    runs there is no way at all.
    """
    ports = ({"name": "dns", "port": 53 + HTTP, "targetPort": 8080, "protocol": "UDP"},)
    slices = endpoints("dns", POD, ports=({"name": "dns", "port": 8080, "protocol": "UDP"},))
    shop.folder.write("dns.yaml", balancer("dns", *ports), slices)

    async def has_both() -> bool:
        return (await shop.program.snapshot()).served.get("listener") == 3

    await until(has_both, "the UDP Service is served")
    theirs: Json = {"master": "/run/haproxy-master.sock", "include": "/etc/haproxy/onehop"}
    shop.name("haproxy", haproxy=theirs)
    for words in (("switch",), ("plan", "--driver", "haproxy")):
        code, said = await shop.command(*words)
        assert (code, "is not moved to or from while it serves" in said) == (1, True), said
    shop.name("haproxy")
    async with load(SITE) as clients:
        code, said = await shop.command("switch")
        assert code == 1
        assert "UDP" in said
        assert said.endswith("envoy goes on\n")
        assert not (await shop.program.snapshot()).problems

        assert await shop.command("switch", "--force") == (0, "haproxy serves\n")
        await clients.more(20)
    problems = (await shop.program.snapshot()).problems
    assert {str(each.subject) for each in problems} == {"Service/shop/dns"}
    assert clients.failures == {}

    shop.name("envoy")
    assert await shop.command("switch") == (0, "envoy serves\n")
    assert (await shop.program.snapshot()).problems == ()


async def test_a_start_after_a_crash_in_a_switch_serves_by_what_the_file_says(
    shop: Shop, temporary: Path
) -> None:
    """Killed between two data planes: the next start clears what is left of either."""
    shop.name("haproxy")
    shop.program.send(signal.SIGHUP)
    await until(lambda: shop.program.logged("data_plane_moves"), "the switch has begun")
    await shop.program.kill()
    config = yaml.safe_load(shop.program.config_file.read_text())
    async with running(temporary / "a", config) as again, load(SITE) as clients:
        await clients.more(5)
        assert (await again.snapshot()).driver == "haproxy"
        assert _places(Shop(again, shop.folder, config)) == ["haproxy"]


@contextlib.asynccontextmanager
async def connected() -> AsyncGenerator[None]:
    """Hold a connection open that has asked once already."""
    reader, writer = await asyncio.open_connection(VIP, HTTP)
    writer.write(f"GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode())
    assert (await reader.readline()).split()[1] == b"200"
    try:
        yield
    finally:
        writer.close()


def _switches(shop: Shop) -> list[Json]:
    return shop.program.logged("data_plane_switch")


def _places(shop: Shop) -> list[str]:
    return sorted(path.name for path in shop.program.state.iterdir() if path.is_dir())
