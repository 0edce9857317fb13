"""An API that is gone changes nothing that is served, over restarts too."""

import time
from pathlib import Path

import pytest

from onehop.lab.api import Store
from tests.e2e.client import is_served, is_unknown, steady
from tests.e2e.cluster import INGRESSES, cluster_in
from tests.e2e.conftest import WEB_PODS
from tests.e2e.objects import Json, endpoints, ingress, service
from tests.e2e.program import Onehop, running
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy, pytest.mark.usefixtures("pods")]

API_PORT = 6443
FIRST_ANSWER_S = 30.0
"""From the start of the interpreter. On an idle machine it is one second."""


async def _is_saved(program: Onehop) -> bool:
    return (program.state / "last-known-good").exists()


async def test_a_restart_without_an_api_serves_the_last_known_good(
    config: Json, tmp_path: Path
) -> None:
    """At once, healthy and not ready; when the API is back: ready, and what changed meanwhile."""
    store = Store()
    async with cluster_in(tmp_path, store=store, port=API_PORT) as cluster:
        cluster.put(service(), endpoints("web", WEB_PODS["web-1"]), ingress())
        cluster.put(ingress("two", "two.example.com"))
        async with running(tmp_path / "a", config) as first:
            await until(lambda: is_served("two.example.com"), "the shop is served")
            await until(lambda: _is_saved(first), "the last known good is on disk")
            await first.kill()

    began = time.monotonic()
    async with running(tmp_path / "a", config, waits=False) as second:
        await until(is_served, "the shop is served again", timeout_s=FIRST_ANSWER_S)
        first_answer_s = time.monotonic() - began
        async with steady() as requests:
            await until(lambda: second.logged("last_known_good_served"), "it says so")
            without = [(await second.get(path))[0] for path in ("/healthz", "/readyz")]
            snapshot = await second.snapshot()
            await requests.some_more()
            async with cluster_in(tmp_path, store=store, port=API_PORT) as cluster:
                cluster.remove(INGRESSES, "two")
                cluster.put(endpoints("web", WEB_PODS["web-2"]))
                await until(second.is_ready, "it is ready")
                await until(lambda: is_unknown("two.example.com"), "what was deleted is gone")
                await until(lambda: requests.pods["web-2"], "the new Pod is used")

    assert without == [200, 503]
    assert (snapshot.is_ready, snapshot.is_synced) == (False, False)
    assert first_answer_s < FIRST_ANSWER_S


async def test_an_api_that_goes_and_comes_back_disturbs_nobody(
    config: Json, tmp_path: Path
) -> None:
    """No request fails, `onehop status` names the fault, and the first change after it arrives."""
    store = Store()
    async with cluster_in(tmp_path, store=store, port=API_PORT) as cluster:
        cluster.put(service(), endpoints("web", WEB_PODS["web-1"]), ingress())
        program = running(tmp_path / "a", config)
        onehop = await program.__aenter__()
        await until(is_served, "the shop is served")
    try:
        async with steady() as requests:

            async def complains() -> bool:
                problems = (await onehop.snapshot()).problems
                return any(problem.reason == "ApiUnavailable" for problem in problems)

            await until(complains, "the fault is named")
            await requests.some_more()
            async with cluster_in(tmp_path, store=store, port=API_PORT) as cluster:
                cluster.put(endpoints("web", WEB_PODS["web-2"]))
                await until(lambda: requests.pods["web-2"], "the new Pod is used")

                async def is_content() -> bool:
                    return not (await onehop.snapshot()).problems

                await until(is_content, "nothing is wrong any more")
    finally:
        await program.__aexit__(None, None, None)

    assert onehop.removals() == 0


async def test_a_stop_keeps_what_was_served_last(config: Json, tmp_path: Path) -> None:
    """What changed a moment before SIGTERM is what the next start serves, API or not."""
    async with cluster_in(tmp_path) as cluster:
        cluster.put(service(), endpoints("web", WEB_PODS["web-1"]), ingress())
        async with running(tmp_path / "a", config) as first:
            await until(is_served, "the shop is served")
            await until(lambda: _is_saved(first), "the last known good is on disk")
            cluster.put(ingress("two", "two.example.com"))
            await until(lambda: is_served("two.example.com"), "the second host is served")
            assert await first.stop() == 0

    async with running(tmp_path / "a", config, waits=False):
        await until(is_served, "the first host is served again")
        assert await is_served("two.example.com")
