"""Switches beside the kernel, and to it and back: `dataPlane.layer4`."""

import asyncio
import json
import time
from collections.abc import Generator
from pathlib import Path

import pytest
import yaml

from onehop.model.listener import Transport
from tests.driver_nftables.test_nftables_program import configured
from tests.driver_nftables.world import client, forwarding, once, pod
from tests.e2e.program import Onehop, onehop, running
from tests.net.crossroads import Crossroads

_ENVOY_KEEPS_S = 15.0
"""How long a connection goes on at least after Envoy's listener has gone."""

pytestmark = [pytest.mark.root, pytest.mark.envoy, pytest.mark.haproxy, pytest.mark.slow]


@pytest.fixture
def roads() -> Generator[Crossroads]:
    with forwarding() as machines:
        yield machines


async def switch(program: Onehop, **keys: str) -> tuple[int, str]:
    """Change keys of `dataPlane` in the file, and run `onehop switch`."""
    written = yaml.safe_load(program.config_file.read_text())
    written["dataPlane"] |= keys
    program.config_file.write_text(yaml.safe_dump(written))
    done = await onehop("switch", "--config", str(program.config_file))
    return done.code, done.out + done.err


async def is_served(roads: Crossroads) -> bool:
    """Tell whether the Pod answers a new client, by TCP and by UDP."""
    return {(await once(roads, each))[0] for each in Transport} == {8001}


def test_what_the_kernel_serves_stays_there_when_the_proxy_changes(
    roads: Crossroads, temporary: Path
) -> None:
    """A connection goes on, UDP is not refused by HAProxy, and nothing would be lost by a plan."""

    async def main() -> None:
        config = configured(temporary, "kernel")
        async with pod(roads, 8001), running(temporary, config) as program, client(roads) as one:
            assert (await one.ask())[0] == 8001
            words = ("--config", str(program.config_file), "--driver", "haproxy", "-o", "json")
            planned = await onehop("plan", *words)
            assert planned.code == 0, planned
            assert json.loads(planned.out)["switch"]["have"] == "envoy+nftables"

            assert await switch(program, driver="haproxy") == (0, "haproxy+nftables serves\n")
            snapshot = await program.snapshot()
            assert (snapshot.driver, snapshot.problems) == ("haproxy+nftables", ())
            assert snapshot.data_plane["kernel_entrances"] == "2"
            assert (await one.ask())[0] == 8001
            assert await is_served(roads)

            code, said = await switch(program, layer4="proxy")
            assert (code, "UDP" in said) == (1, True), said
            assert said.endswith("haproxy+nftables goes on\n")
            assert (await one.ask())[0] == 8001
            assert await is_served(roads)

    roads.balancer.run(main)


def test_layer_4_goes_to_the_kernel_and_back_while_it_is_served(
    roads: Crossroads, temporary: Path
) -> None:
    """Connections go on where they are, and new ones are served by whoever has the listener."""

    async def ask_on() -> None:
        while True:
            assert (await once(roads))[0] == 8001

    async def main() -> None:
        config = configured(temporary, "proxy")
        async with (
            pod(roads, 8001),
            running(temporary, config) as program,
            asyncio.TaskGroup() as tasks,
        ):
            asking = tasks.create_task(ask_on())
            async with client(roads) as by_envoy:
                assert (await by_envoy.ask())[0] == 8001
                begun = time.monotonic()
                assert await switch(program, layer4="kernel") == (0, "envoy+nftables serves\n")
                assert (await program.snapshot()).data_plane["kernel_entrances"] == "2"
                assert await is_served(roads)
                async with client(roads) as by_kernel:
                    assert (await by_kernel.ask())[0] == 8001
                    assert await switch(program, layer4="proxy") == (0, "envoy serves\n")
                    assert await is_served(roads)
                    assert (await by_kernel.ask())[0] == 8001
                    if time.monotonic() - begun < _ENVOY_KEEPS_S:  # a slow machine is too late
                        assert (await by_envoy.ask())[0] == 8001
            snapshot = await program.snapshot()
            assert (snapshot.driver, snapshot.problems) == ("envoy", ())
            asking.cancel()

    roads.balancer.run(main)
