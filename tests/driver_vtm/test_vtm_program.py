"""The whole program before an imitated unit: from YAML to objects, and its commands."""

import asyncio
import contextlib
import re
import shutil
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from onehop.base.errors import ConfigError
from onehop.control import pipeline
from onehop.control.config import Config
from onehop.control.configfile import parse_config
from onehop.control.planes import data_plane_version, make_driver, render_data_plane
from onehop.control.program import Program, open_program
from onehop.lab.vtm.behaviour import ONE_WAY
from onehop.lab.vtm.functions import Request, UsePool
from onehop.lab.vtm.trafficscript import run_request_rule
from onehop.model.ident import ObjectRef
from onehop.model.model import Model
from onehop.model.problem import Problem, Reason
from tests.driver_vtm.stage import Stage, stage, until

SHOP = Path(__file__).parents[2] / "examples" / "shop"
PLAIN: dict[str, Any] = {
    "addresses": {"shared": "203.0.113.10", "bind": {"none": True}},
    "path": "pod",
    "listen": {"metrics": "127.0.0.1:0"},
}


def config(**changed: Any) -> Config:
    return parse_config(yaml.safe_dump({**PLAIN, **changed}), name="test")


def _for(unit: Stage, folder: Path) -> Config:
    vtm = {"urls": list(unit.urls), "passwordFile": str(unit.options.password_file)}
    return config(
        cluster={"name": "prod", "manifests": str(folder / "objects"), "allowLoopback": True},
        state=str(folder / "state"),
        dataPlane={"driver": "vtm", "vtm": vtm},
    )


@contextlib.asynccontextmanager
async def _running(made: Config) -> AsyncGenerator[Program]:
    async with open_program(made) as program, asyncio.TaskGroup() as tasks:
        going = tasks.create_task(program.run())
        try:
            await until(program.is_ready, "the program is ready")
            yield program
        finally:
            going.cancel()


async def test_an_ingress_becomes_objects_of_the_unit(tmp_path: Path) -> None:
    """The shop of the examples: its rule sends requests to its pools, and nothing is amiss."""
    shutil.copytree(SHOP, tmp_path / "objects")
    async with stage() as unit:
        made = _for(unit, tmp_path)
        async with _running(made) as program:
            assert unit.first.errors() == []
            rules = {
                name: text
                for (collection, name), text in unit.first.objects.items()
                if collection == "rules" and isinstance(text, str) and "$host" in text
            }
            asked = Request(url="/", headers={"host": "shop.example.com"})
            outcomes = [run_request_rule(text, asked) for text in rules.values()]
            assert any(isinstance(outcome, UsePool) for outcome in outcomes)
            assert program.snapshot().data_plane["connected"] == "yes"
        assert unit.first.objects, "the unit serves on when onehop has ended"
        unit.cluster.writes.clear()

        async with _running(made):
            assert unit.cluster.writes == []


async def test_what_is_amiss_is_in_status_and_metrics(tmp_path: Path) -> None:
    """A unit that goes away, endpoints it refuses: problems, conditions' source, and counters."""
    shutil.copytree(SHOP, tmp_path / "objects")
    async with stage() as unit, _running(_for(unit, tmp_path)) as program:
        told = program.render_metrics().decode()
        assert "onehop_unit_is_connected 1.0" in told
        assert 'onehop_unit_calls_total{outcome="written"}' in told
        assert 'onehop_unit_endpoint_lag_seconds_bucket{le="+Inf"} 0.0' in told
        for member in unit.cluster.members:
            member.faults.refuse |= {
                f"pools/{name}" for kind, name in unit.first.objects if kind == "pools"
            }
        slices = tmp_path / "objects" / "shop.yaml"
        slices.write_text(slices.read_text().replace("127.0.11.", "127.0.21."))

        def reasons() -> dict[Reason, Problem]:
            return {problem.reason: problem for problem in program.problems()}

        await until(lambda: Reason.DATA_PLANE_REFUSED in reasons(), "a pool is refused")
        refused = reasons()[Reason.DATA_PLANE_REFUSED]
        assert refused.subject == ObjectRef("Service", "shop", "web")

        for member in unit.cluster.members:
            member.faults.is_down = True
        slices.write_text(slices.read_text().replace("127.0.21.", "127.0.31."))
        await until(lambda: Reason.DATA_PLANE_UNAVAILABLE in reasons(), "it is told")
        assert program.snapshot().data_plane["connected"] == "no"
        assert "onehop_unit_is_connected 0.0" in program.render_metrics().decode()


async def test_a_first_apply_is_not_cut_while_it_gets_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes several times what a data plane may stand still, and ends at the first try."""
    monkeypatch.setattr(pipeline, "APPLY_TIMEOUT_S", 1.0)
    shutil.copytree(SHOP, tmp_path / "objects")
    slow = msgspec.structs.replace(ONE_WAY, call_s=0.4)
    async with stage(slow) as unit, _running(_for(unit, tmp_path)) as program:
        told = program.render_metrics().decode()
        assert 'onehop_applies_total{outcome="done"} 1.0' in told
        assert 'outcome="failed"' not in told
        assert unit.first.errors() == []


async def test_what_would_be_written_is_shown_without_a_unit() -> None:
    """`onehop render --driver vtm` needs neither urls nor a password."""
    rendered = render_data_plane(Model(), config(dataPlane={"driver": "vtm"}))

    assert rendered == {}


async def test_the_check_names_every_member() -> None:
    """With its version and the traffic managers of its cluster."""
    async with stage() as unit:
        vtm = {"urls": list(unit.urls), "passwordFile": str(unit.options.password_file)}
        said = await data_plane_version(config(dataPlane={"driver": "vtm", "vtm": vtm}))

    assert all(f"{url}: REST 8.3, tm-1 tm-2" in said for url in unit.urls)


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"path": "auto"}, "path: auto looks at this host's routes"),
        ({"addresses": {"bind": {"interface": "eth0"}}}, "addresses.bind.interface: not with"),
        ({"bgp": {"asn": 1, "upstream": [{"address": "192.0.2.1", "asn": 2}]}}, "bgp.upstream"),
        ({"tls": {"http3": True}}, "tls.http3"),
        ({"cluster": {"name": "Our Prod"}}, "cluster.name: 'Our Prod'"),
        ({"vtm": {"urls": []}}, "dataPlane.vtm.urls: is needed"),
        ({"vtm": {"urls": ["http://192.0.2.1:9070"]}}, "dataPlane.vtm.urls[0]"),
        ({"vtm": {"urls": ["https://vtm.example"]}}, "dataPlane.vtm.urls[0]"),
        ({"vtm": {"urls": ["https://vtm.example:9070/api"]}}, "dataPlane.vtm.urls[0]"),
        ({"vtm": {"passwordFile": None}}, "dataPlane.vtm.passwordFile: is needed"),
        ({"vtm": {"owner": "x\ny"}}, "dataPlane.vtm.owner"),
    ],
)
def test_what_does_not_go_with_a_unit_is_refused_by_its_key(changed: Any, key: str) -> None:
    """At the start, before anything is written."""
    vtm = {"urls": ["https://vtm.example:9070"], "passwordFile": "/x", **changed.pop("vtm", {})}
    made = config(**changed, dataPlane={"driver": "vtm", "vtm": vtm})

    with pytest.raises(ConfigError, match=re.escape(key)):
        make_driver(made)


async def test_the_imitation_can_be_started_by_hand() -> None:
    """`python -m onehop.lab.vtm` tells where it is and with which password, and ends when told."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "onehop.lab.vtm", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            said = [await process.stdout.readline() for _ in range(3)]
        process.terminate()
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert re.fullmatch(rb"urls: http://127\.0\.0\.1:\d+ http://127\.0\.0\.1:\d+\n", said[0])
    assert said[2] == b"password: open sesame\n"
