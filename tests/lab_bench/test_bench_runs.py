"""The comparison as a user runs it, made small: what holds however fast the machine is."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import pytest

from onehop.base.errors import ConfigError
from onehop.driver.envoy.binary import find_envoy
from onehop.lab.bench.plane import ENVOY, HAPROXY, KERNEL, Plane
from onehop.lab.bench.proxy import edge, responder
from onehop.lab.bench.result import Result
from onehop.lab.bench.run import QUICK, compare
from onehop.lab.bench.way import BALANCED, WAYS
from onehop.lab.world.process import inhabitants
from onehop.lab.world.state import State
from onehop.lab.world.world import silent
from tests.e2e.waiting import until
from tests.lab_world.conftest import remains

_PLANES: Final = (HAPROXY, KERNEL)
"""A lab begins with Envoy, which is looked at on all ways before it hands over."""


@pytest.mark.envoy
@pytest.mark.parametrize("part", ["responder", "edge"])
def test_envoy_takes_the_configurations(part: str, tmp_path: Path) -> None:
    """Its own parser is asked."""
    pods = ("10.244.1.2", "10.244.2.2")
    config = responder("echo-1", pods[0]) if part == "responder" else edge("10.244.1.3", pods)
    file = tmp_path / "envoy.json"
    file.write_bytes(msgspec.json.encode(config))

    done = subprocess.run(
        [str(find_envoy()), "--mode", "validate", "-c", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
async def measured(name: str) -> tuple[Result, ...]:
    """Run `onehop lab bench` on these data planes with tiny rounds, and read what it prints."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("onehop"),
        *("lab", "bench", "--quick", "--rounds", "1", "--seconds", "0.2", "--json"),
        *("--name", name),
        *(word for plane in _PLANES for word in ("--driver", plane.name)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(240):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode == 0, err.decode()
    assert remains(name) == []
    return msgspec.json.decode(out, type=tuple[Result, ...])


@pytest.mark.root
@pytest.mark.envoy
@pytest.mark.slow
async def test_each_way_is_what_it_says(measured: tuple[Result, ...]) -> None:
    """By what Pods saw and what passed the nodes: none of it is a matter of speed."""
    assert [result.plane for result in measured] == [plane.name for plane in _PLANES]
    for result, plane in zip(measured, _PLANES, strict=True):
        _check_paths(result)
        _check_cells(result, plane)


def _check_paths(result: Result) -> None:
    paths = {path.way: path for path in result.paths}
    saw = {way: set(path.saw.values()) for way, path in paths.items()}
    assert saw["two-tiers"] == {"pod-echo-4"}
    assert saw["node"] <= {"node1", "node2", "node3"}
    assert saw["local"] == saw["direct"] == {"lb1"}
    assert saw["none"] == {"client"}

    assert paths["direct"].hops == pytest.approx(1, abs=0.1)
    assert paths["local"].hops == pytest.approx(2, abs=0.1)
    assert 2 <= paths["node"].hops <= 3.1
    assert 3 <= paths["two-tiers"].hops <= 4.1
    assert paths["local"].links == pytest.approx(1, abs=0.1)
    assert paths["direct"].translations == pytest.approx(0, abs=0.1)
    assert paths["local"].translations == pytest.approx(1, abs=0.1)
    assert paths["node"].translations == pytest.approx(2, abs=0.1)


def _check_cells(result: Result, plane: Plane) -> None:
    assert result.failed == 0
    assert {(cell.way, cell.load) for cell in result.cells} == {
        (way.name, load.name) for way in WAYS for load in plane.loads
    }
    for load in plane.loads:
        for way in BALANCED:
            cell = result.cell(way, load)
            assert cell.requests > 0
            assert (cell.cost.balancer_us == 0) == plane.is_kernel
            # Only behind a second tier is there anything of weight that the second tier does.
            ends_us = cell.cost.client_us + cell.cost.pods_us
            assert (cell.cost.edge_us > ends_us / 5) == way.is_two_tiers


@pytest.mark.root
@pytest.mark.slow
async def test_who_is_told_to_end_takes_the_lab_down(name: str) -> None:
    """By SIGTERM, while load is running; the exit code tells."""
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("onehop"), "lab", "bench", "--name", name),
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    client = [Path("/run/netns") / f"{name}-client"]

    def load() -> list[str]:
        return [each.who for each in inhabitants(client) if each.who == "wrk"]

    try:
        async with asyncio.timeout(60):
            while b"counting" not in (line := await process.stderr.readline()):
                assert line, "it has ended"
        await until(load, "load is running")
    finally:
        process.terminate()
        async with asyncio.timeout(60):
            await process.communicate()

    assert process.returncode == 128 + signal.SIGTERM
    assert remains(name) == []


@pytest.mark.root
async def test_a_lab_of_somebody_else_is_let_be(name: str) -> None:
    """The comparison wants one of its own."""
    state = State(name)
    state.make()

    with pytest.raises(ConfigError, match=f"onehop lab down --name {name}"):
        await compare(name, (ENVOY,), QUICK, say=silent)

    assert state.exists()
