"""The command line as a user meets it, without root and without a cluster."""

import json
import re
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import yaml

import onehop as package
from onehop.lab.api import Settings
from onehop.lab.api.access import Access
from tests.e2e.cluster import cluster_in
from tests.e2e.loopback import HTTP, METRICS, VIP, Folder, folder_in
from tests.e2e.objects import ingress
from tests.e2e.program import onehop, running, write_config

pytestmark = pytest.mark.usefixtures("quiet")

WRONG = {
    "ports: {htp: 80}": "ports.htp: no such key; allowed here are http, https",
    "path: teleport": "path: allowed is auto | pod | local | node, not 'teleport'",
    "listen: {metrics: 127.0.0.1:99999}": (
        "listen.metrics: '127.0.0.1:99999'; allowed is ADDRESS:PORT, such as 127.0.0.1:9080"
    ),
    "cluster: {kubeconfig: /a, allowLoopback: true}": (
        "cluster.allowLoopback: only with cluster.manifests: a cluster's tenants could use it"
    ),
}
"""The whole list is in tests/control/test_configfile.py; these go all the way."""


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncGenerator[Folder]:
    async with folder_in(tmp_path) as one:
        yield one


@pytest.fixture
def config_file(folder: Folder, tmp_path: Path) -> str:
    return str(write_config(tmp_path / "a", folder.config())[0])


async def test_version_names_the_version() -> None:
    """One line, exit code 0."""
    done = await onehop("version")

    assert done == (0, f"onehop {package.__version__}\n", "")


async def test_without_a_command_it_lists_the_commands() -> None:
    """Exit code 2: that was wrong use."""
    done = await onehop()

    assert done.code == 2
    for command in ("run", "demo", "render", "plan", "status", "confirm", "check", "version"):
        assert f" {command} " in done.out + done.err


@pytest.mark.parametrize("text", WRONG)
async def test_a_wrong_configuration_is_refused_with_the_path_of_its_key(
    tmp_path: Path, text: str
) -> None:
    """Exit code 2 and one line: which file, which key, what stands there, what may stand there."""
    path = tmp_path / "onehop.yaml"
    path.write_text(text)

    done = await onehop("run", "--config", str(path))

    assert done == (2, "", f"onehop: {path}: {WRONG[text]}\n")


async def test_what_is_not_there_is_refused_by_its_key(tmp_path: Path) -> None:
    """A missing file, folder, kubeconfig or state directory: exit code 2 and one line."""
    nowhere = tmp_path / "nowhere"
    state = ("--state", str(tmp_path / "s"))
    file = tmp_path / "file"
    file.write_text("")

    config = await onehop("run", "--config", str(nowhere))
    folder = await onehop("run", "--manifests", str(nowhere), *state)
    kubeconfig = await onehop("run", "--kubeconfig", str(nowhere), *state)
    directory = await onehop("run", "--manifests", str(tmp_path), "--state", str(file))

    assert config.err.startswith(f"onehop: {nowhere}: cannot be read:")
    assert folder.err == f"onehop: cluster.manifests: {nowhere} is not a directory\n"
    assert kubeconfig.err == f"onehop: cluster.kubeconfig: {nowhere} is not a file\n"
    assert directory.err.startswith(f"onehop: state: {file}:")
    assert {done.code for done in (config, folder, kubeconfig, directory)} == {2}


@pytest.mark.envoy
async def test_flags_alone_are_enough_to_run(folder: Folder, tmp_path: Path) -> None:
    """`--manifests` and `--state` go over what the file says."""
    other = Folder(tmp_path / "other")
    config = folder.config()
    flags = ("--manifests", str(other.path), "--state", str(tmp_path / "flagged"))
    async with running(tmp_path / "a", config, *flags) as program:
        program.state = tmp_path / "flagged"
        snapshot = await program.snapshot()

    assert snapshot.source == f"manifests {other.path}"
    assert not (tmp_path / "a" / "s").exists()


async def test_render_prints_each_stage_as_yaml(config_file: str) -> None:
    """Model, problems and what Envoy would get; the problems also on stderr."""
    model = await onehop("render", "--config", config_file, "model")
    problems = await onehop("render", "--config", config_file, "problems")
    envoy = await onehop("render", "--config", config_file)
    wrong = await onehop("render", "--config", config_file, "everything")

    hosts = yaml.safe_load(model.out)["hosts"]
    assert [host["hostname"] for host in hosts] == ["shop.example.com"]
    assert yaml.safe_load(problems.out) == []
    assert "shop/web:80" in envoy.out
    assert yaml.safe_load(envoy.out)
    assert {done.code for done in (model, problems, envoy)} == {0}
    assert wrong.code == 2


@pytest.mark.envoy
async def test_plan_shows_the_difference_to_what_is_served(
    folder: Folder, config_file: str, tmp_path: Path
) -> None:
    """Everything at first; nothing once it is served; then what an edit would change."""
    first = await onehop("plan", "--config", config_file)
    async with running(tmp_path / "a", folder.config()):
        pass
    same = await onehop("plan", "--config", config_file)
    folder.write("two.yaml", ingress("two", "two.example.com"))
    more = await onehop("plan", "--config", config_file)
    (folder.path / "two.yaml").unlink()
    folder.write("shop.yaml")
    less = await onehop("plan", "--config", config_file)

    assert "+ host shared-http/shop.example.com" in first.out
    assert same.out == "nothing would change\n"
    assert "+ host shared-http/two.example.com" in more.out
    assert "- host shared-http/shop.example.com" in less.out
    assert {done.code for done in (first, same, more, less)} == {0}


@pytest.mark.envoy
async def test_status_tells_the_same_to_people_and_to_programs(
    folder: Folder, config_file: str, tmp_path: Path
) -> None:
    """Exit code 0 when ready, 1 when nobody answers."""
    folder.write("bad.yaml", ingress("bad", "bad.example.com", backend="missing"))
    async with running(tmp_path / "a", folder.config()):
        text = await onehop("status", "--config", config_file)
        said = await onehop("status", "--config", config_file, "--output", "json")
        checked = await onehop("check", "--config", config_file)
    nobody = await onehop("status", "--config", config_file)

    whole = json.loads(said.out)
    assert (text.code, said.code, nobody.code) == (0, 0, 1)
    assert re.search(r"ready +yes", text.out)
    assert "2 host" in text.out
    assert "Ingress/shop/bad" in text.out
    assert "missing" in text.out
    assert whole["is_ready"] is True
    assert whole["served"]["host"] == 2
    assert [p["subject"]["name"] for p in whole["problems"]] == ["bad"]
    assert "no onehop answers" in nobody.err
    assert f"ok   shared VIP {VIP}:{HTTP}: taken, by the onehop that runs here" in checked.out


async def test_check_finds_what_would_keep_it_from_working(
    folder: Folder, config_file: str
) -> None:
    """All is well: 0. A port is taken and a Service is missing: 1, with advice for each."""
    good = await onehop("check", "--config", config_file)
    folder.write("bad.yaml", ingress("bad", "bad.example.com", backend="missing"))
    with socket.create_server((VIP, HTTP)):
        bad = await onehop("check", "--config", config_file)
        findings = json.loads((await onehop("check", "--config", config_file, "-o", "json")).out)

    assert good.code == 0, good.out
    assert "FAIL" not in good.out
    assert bad.code == 1
    assert f"FAIL shared VIP {VIP}:{HTTP}: Address already in use" in bad.out
    assert "-> stop what listens there" in bad.out
    assert "FAIL Ingress/shop/bad" in bad.out
    assert f"ok   metrics {VIP}:{METRICS}: free" in bad.out
    assert {f["check"] for f in findings if not f["is_good"]} == {
        f"shared VIP {VIP}:{HTTP}",
        "objects",
        "Ingress/shop/bad",
    }


async def test_check_names_the_rights_that_are_missing(folder: Folder, tmp_path: Path) -> None:
    """A role that may not write status or read Secrets, and an API server that is not there."""

    def allows(access: Access) -> bool:
        return access.resource != "secrets" and access.subresource != "status"

    config = folder.config()
    config["cluster"] = {"kubeconfig": str(tmp_path / "kubeconfig")}
    async with cluster_in(tmp_path, settings=Settings(allows=allows)):
        path, _ = write_config(tmp_path / "b", config)
        lacking = await onehop("check", "--config", str(path))
    absent = await onehop("check", "--config", str(path))

    missing = next(line for line in lacking.out.splitlines() if " rights: " in line)
    assert lacking.code == 1
    assert missing.startswith("FAIL rights: missing: ")
    for right in ("list secrets", "watch secrets", "patch services/status"):
        assert right in missing
    assert "list services" not in missing
    assert "-> kubectl apply -f deploy/rbac.yaml" in lacking.out
    assert absent.code == 1
    assert "FAIL" in absent.out


@pytest.mark.envoy
async def test_the_demo_shows_who_answered(temporary: Path) -> None:
    """Every sample request with its answer and its Pod; it leaves nothing behind."""
    done = await onehop("demo", "--once", TMPDIR=str(temporary))

    assert done.code == 0, done.err
    for words in (
        ("GET http://shop.example.com/", "200, web saw /", "web-1"),
        ("GET http://shop.example.com/api/orders", "200, api saw /api/orders", "api-"),
        ("GET http://nobody.example.com/", "404, no rule takes it", "-"),
        ("TCP ", "queue-", "queue-"),
        ("UDP ", "dns-", "dns-"),
        ("GET https://shop.example.com/", "200, web saw /", "web-", "onehop test CA"),
        ("GET https://api.example.com/", "200, api saw /", "api-", "onehop test CA"),
    ):
        assert any(all(word in line for word in words) for line in done.out.splitlines()), words
    assert list(temporary.iterdir()) == []
