"""A switch of the proxy beside `dataPlane.layer4: kernel`, which keeps what it has."""

import json
from collections.abc import Generator
from pathlib import Path

import pytest
import yaml

from onehop.model.listener import Transport
from tests.driver_nftables.test_nftables_program import configured
from tests.driver_nftables.world import client, forwarding, once, pod
from tests.e2e.program import onehop, running
from tests.net.crossroads import Crossroads

pytestmark = [pytest.mark.root, pytest.mark.envoy, pytest.mark.haproxy, pytest.mark.slow]


@pytest.fixture
def roads() -> Generator[Crossroads]:
    with forwarding() as machines:
        yield machines


def test_what_the_kernel_serves_stays_there_when_the_proxy_changes(
    roads: Crossroads, tmp_path: Path
) -> None:
    """A connection goes on, UDP is not refused by HAProxy, and nothing would be lost by a plan."""

    async def main() -> None:
        config = configured(tmp_path, "kernel")
        async with pod(roads, 8001), running(tmp_path, config) as program, client(roads) as one:
            assert (await one.ask())[0] == 8001
            planes = config["dataPlane"] | {"driver": "haproxy"}
            written = yaml.safe_load(program.config_file.read_text()) | {"dataPlane": planes}
            program.config_file.write_text(yaml.safe_dump(written))
            words = ("--config", str(program.config_file))
            planned = await onehop("plan", *words, "-o", "json")
            assert planned.code == 0, planned
            assert json.loads(planned.out)["switch"]["have"] == "envoy+nftables"

            assert (await onehop("switch", *words)).out == "haproxy serves\n"
            snapshot = await program.snapshot()
            assert (snapshot.driver, snapshot.problems) == ("haproxy+nftables", ())
            assert snapshot.data_plane["kernel_entrances"] == "2"
            assert (await one.ask())[0] == 8001
            assert (await once(roads))[0] == 8001
            assert (await once(roads, Transport.UDP))[0] == 8001

    roads.balancer.run(main)
