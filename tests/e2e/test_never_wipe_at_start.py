"""Never wipe, at the start: the last known good is served until a list may be believed."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import pytest

from onehop.control.configfile import load_config
from onehop.control.program import Program, open_program
from onehop.lab.api.faults import Hang
from tests.e2e.client import Target, ask, is_served, is_unknown, steady
from tests.e2e.cluster import INGRESSES, WATCHED, Cluster
from tests.e2e.everything import LIST_FAULTS, everything_in, verbs_of
from tests.e2e.objects import Json, endpoints, ingress
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


def _has_met(program: Program, cluster: Cluster, resource: str) -> bool:
    """Tell whether the program has made up its mind about what it found, or waits for it."""
    if any(isinstance(armed.fault, Hang) for armed in cluster.faults.armed):
        return cluster.requests.count("list", resource) > 0
    return program.is_ready() or any(
        problem.subject.kind in ("List", "Secret") for problem in program.snapshot().problems
    )


@pytest.mark.parametrize("fault", LIST_FAULTS)
async def test_a_list_that_lies_at_the_start_removes_nothing(
    cluster: Cluster, config: Json, tmp_path: Path, fault: str
) -> None:
    """Of every kind in turn; healed, the program becomes ready and serves the same."""
    lie = LIST_FAULTS[fault]
    async with everything_in(cluster) as targets:
        async with running(tmp_path / "first", config) as first:
            await _all_served(targets)
            before = await first.served()
        for resource in WATCHED:
            config_file, _ = write_config(tmp_path / resource.partition(".")[0], config)
            state = config_file.with_name("s")
            state.mkdir()
            shutil.copy(first.state / "last-known-good", state)
            cluster.requests.clear()
            cluster.faults.arm(lie, resource, verbs=verbs_of(lie))
            async with _program(config_file) as program:
                await _all_served(targets)
                async with steady(*targets) as requests:
                    await until(partial(_has_met, program, cluster, resource), f"{resource} is met")
                    await requests.some_more(5)
                    during = await served_by(state)
                    cluster.faults.disarm()
                    if fault != "no answer":  # a list that hangs is given up after a minute
                        await until(program.is_ready, f"ready after {fault} of {resource}")
                after = await served_by(state)
            assert during == before, resource
            assert after == before, resource


async def test_what_was_deleted_meanwhile_goes_when_the_list_is_believed(
    cluster: Cluster, config: Json, tmp_path: Path
) -> None:
    """One of two Ingresses and a Pod: asked for by name, they are not there, and leave at once."""
    cluster.put(ingress(), ingress("two", "two.example.com"))
    async with running(tmp_path / "a", config):
        await _all_served((Target(), Target("two.example.com")))
    cluster.remove(INGRESSES, "two")
    cluster.put(endpoints("web", "10.244.1.2"))
    async with running(tmp_path / "a", config):
        pod = (await ask()).pod
        await until(lambda: is_unknown("two.example.com"), "what was deleted is gone")

    assert pod == "web-2"


async def _all_served(targets: tuple[Target, ...]) -> None:
    for host, _, tls in targets:
        await until(partial(is_served, host, tls), f"{host} is served")
