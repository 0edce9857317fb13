"""Never wipe, at the start: the last known good is served until a list may be believed."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from onehop.control.configfile import load_config
from onehop.control.program import Program, open_program
from tests.e2e.client import Target, is_served, steady
from tests.e2e.cluster import WATCHED, Cluster
from tests.e2e.everything import LIST_FAULTS, everything_in, verbs_of
from tests.e2e.objects import Json
from tests.e2e.program import running, served_by, write_config
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]


@contextlib.asynccontextmanager
async def _program(config_file: Path) -> AsyncGenerator[Program]:
    """Run the program in this process: fifty-six starts of an interpreter take too long."""
    async with open_program(load_config(config_file)) as program, asyncio.TaskGroup() as tasks:
        going = tasks.create_task(program.run())
        try:
            yield program
        finally:
            going.cancel()


def _has_met(program: Program, resource: str, cluster: Cluster, fault: str) -> bool:
    """Tell whether the program has made up its mind about what it found."""
    if fault == "no answer":
        return cluster.requests.count("list", resource) > 0
    return program.is_ready() or any(
        problem.subject.kind in ("List", "Secret") for problem in program.snapshot().problems
    )


@pytest.mark.parametrize("fault", LIST_FAULTS)
async def test_a_list_that_lies_at_the_start_removes_nothing(
    cluster: Cluster, config: Json, tmp_path: Path, fault: str
) -> None:
    """Of every kind in turn; healed, the program becomes ready and serves the same."""
    async with everything_in(cluster) as targets:
        async with running(tmp_path / "first", config) as first:
            await _all_served(targets)
            await until((first.state / "last-known-good").exists, "it is on disk")
            before = await first.served()
        for resource in WATCHED:
            folder = tmp_path / resource.partition(".")[0]
            config_file, _ = write_config(folder, config)
            (folder / "s").mkdir()
            shutil.copy(first.state / "last-known-good", folder / "s")
            cluster.requests.clear()
            cluster.faults.arm(LIST_FAULTS[fault], resource, verbs=verbs_of(LIST_FAULTS[fault]))
            async with _program(config_file) as program:
                await _all_served(targets)
                async with steady(*targets) as requests:
                    await until(
                        lambda r=resource, p=program: _has_met(p, r, cluster, fault),
                        f"{resource} is met",
                    )
                    await requests.some_more(5)
                    during = await served_by(folder / "s")
                    cluster.faults.disarm()
                    if fault != "no answer":
                        await until(program.is_ready, f"ready after {fault} of {resource}")
                after = await served_by(folder / "s")
            assert during == before, resource
            assert after == before, resource


async def _all_served(targets: tuple[Target, ...]) -> None:
    for host, _, tls in targets:
        await until(lambda h=host, t=tls: is_served(h, t), f"{host} is served")
