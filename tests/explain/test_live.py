"""A running onehop says where requests go, and that is where they go."""

import contextlib
import json
import os
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import pytest
from yarl import URL

from onehop.lab.pod import Answer, serve_http
from tests.e2e.loopback import HTTP, POD, VIP, Folder, folder_in
from tests.e2e.network import private_network
from tests.e2e.objects import SHOP, Json, endpoints, ingress, service
from tests.e2e.program import onehop, running, write_config
from tests.e2e.waiting import until

pytestmark = [pytest.mark.envoy, pytest.mark.usefixtures("quiet")]

RULES: Final = {
    "exact": ("a.example.com", "/foo", "Exact"),
    "prefix": ("a.example.com", "/foo", "Prefix"),
    "longer": ("a.example.com", "/foo/bar", "Prefix"),
    "root": ("a.example.com", "/", "Prefix"),
    "wild": ("*.example.com", "/w", "Prefix"),
    "deep": ("*.b.example.com", "/", "Prefix"),
    "any": ("", "/any", "Prefix"),
}
"""One application for each rule, so that who answers tells which rule took the request."""

REQUESTS: Final = (
    ("a.example.com", "/foo"),
    ("a.example.com", "/foo/"),
    ("a.example.com", "/foo?x=/bar"),
    ("a.example.com", "/foobar"),
    ("a.example.com", "/foo/bar"),
    ("a.example.com", "/foo/barn"),
    ("a.example.com", "/foo//bar/x"),
    ("a.example.com", "/x/../foo/./bar"),
    ("A.Example.Com", "/foo"),
    ("z.example.com", "/w/1"),
    ("z.example.com", "/any"),
    ("y.z.example.com", "/any"),
    ("x.b.example.com", "/w"),
    ("b.example.com", "/w"),
    ("b.example.com", "/"),
    ("nobody.test", "/any/thing"),
    ("nobody.test", "/"),
)


@pytest.fixture
def quiet() -> Iterator[None]:
    """Keep to a network of our own where we may."""
    if os.geteuid() != 0:
        yield
        return
    with private_network():
        yield


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncGenerator[Folder]:
    """The shop, and an application for each rule."""
    base = POD.rpartition(".")[0]
    async with contextlib.AsyncExitStack() as stack:
        one = await stack.enter_async_context(folder_in(tmp_path))
        for number, app in enumerate(RULES, 100):
            address = f"{base}.{number}"
            await stack.enter_async_context(serve_http(app, f"{app}-1", address, 8080))
            one.write(f"{app}.yaml", service(app), endpoints(app, address), _ingress(app))
        yield one


def _ingress(app: str) -> Json:
    host, path, kind = RULES[app]
    written = ingress(app, host, backend=app)
    rule = written["spec"]["rules"][0]
    rule["http"]["paths"][0] |= {"path": path, "pathType": kind}
    if not host:
        del rule["host"]
    return written


async def _explained(folder: Path, target: str) -> tuple[int, Any]:
    done = await onehop("explain", target, "--config", str(folder / "onehop.yaml"), "-o", "json")
    return done.code, json.loads(done.out)


async def _answers(host: str, path: str) -> str:
    """Return which application answers; empty if none."""
    url = f"http://{VIP}:{HTTP}{path}"
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
        session.get(URL(url, encoded=True), headers={"Host": host}) as response,
    ):
        body = await response.read()
        return msgspec.json.decode(body, type=Answer).app if response.status == 200 else ""


async def test_the_rule_that_is_explained_is_the_one_that_takes_the_request(
    folder: Folder, tmp_path: Path
) -> None:
    """For names and paths of every kind, by Envoy's own answer."""
    async with running(tmp_path / "a", folder.config()) as program:
        await until(lambda: _has(("a.example.com", "/foo"), "exact"), "the rules are served")
        said, done = {}, {}
        for request in REQUESTS:
            host, path = request
            answer = await _ask_socket(program.state, f"http://{host}{path}")
            pools = [pool["service"].rpartition("/")[2] for pool in answer["pools"]]
            said[request], done[request] = "".join(pools), await _answers(host, path)

    assert said == done
    assert set(done.values()) == {*RULES, ""}


async def _has(request: tuple[str, str], app: str) -> bool:
    return await _answers(*request) == app


async def _ask_socket(state: Path, target: str) -> Any:
    connector = aiohttp.UnixConnector(str(state / "control.sock"))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://onehop/explain", params={"target": target}) as response,
    ):
        return json.loads(await response.read())


async def test_traffic_is_counted_where_it_went(folder: Folder, tmp_path: Path) -> None:
    """Requests show at the Pod that answered them, and on its rung."""
    async with running(tmp_path / "a", folder.config()):
        await until(lambda: _has(("a.example.com", "/foo"), "exact"), "the rules are served")
        for _ in range(3):
            await _answers("a.example.com", "/foo/bar")
        code, whole = await _explained(tmp_path / "a", f"service/{SHOP}/longer")
        tree = await onehop("explain", "svc/shop/longer", "-c", str(tmp_path / "a" / "onehop.yaml"))

    (pool,) = whole["pools"]
    assert code == tree.code == 0
    assert pool["members"][0]["traffic"]["requests"] == 3
    assert [rung["traffic_percent"] for rung in pool["rungs"]] == [100, 0, 0]
    assert pool["members"][0]["source"]["address"].startswith("127.")
    assert pool["pods"][0]["way"]["age_s"] >= 0
    assert "3 so far" in tree.out


async def test_exit_codes_tell_what_is_served(folder: Folder, tmp_path: Path) -> None:
    """0: somebody serves it. 1: nobody does, or nobody answers. 2: that is no target."""
    path, _ = write_config(tmp_path / "b", folder.config())
    async with running(tmp_path / "a", folder.config()):
        config = ("--config", str(tmp_path / "a" / "onehop.yaml"))
        served = await onehop("explain", "http://shop.example.com/", *config)
        drawn = await onehop("explain", "ingress/shop/shop", *config, "-o", "svg")
        lost = await onehop("explain", "http://b.example.com/", *config)
        mistyped = await onehop("explain", "service/shop/wob", *config)
        wrong = await onehop("explain", "pod//x", *config)
    nobody = await onehop("explain", "http://shop.example.com/", "--config", str(path))

    assert [d.code for d in (served, drawn, lost, mistyped, wrong, nobody)] == [0, 0, 1, 1, 2, 1]
    assert "pool shop/web:80" in served.out
    assert drawn.out.startswith("<svg ")
    assert "404" in lost.out
    assert "did you mean service/shop/web" in mistyped.err
    assert "a target is a URL" in wrong.err
    assert "no onehop answers" in nobody.err


async def test_manifests_are_explained_where_nothing_runs(folder: Folder, tmp_path: Path) -> None:
    """By the routes of this host, and it says that nothing runs."""
    path, _ = write_config(tmp_path / "b", folder.config())
    done = await onehop(
        "explain", "shop/web", "--config", str(path), "--manifests", str(folder.path)
    )

    assert done.code == 0, done.err
    assert "nothing runs here" in done.out
    assert f"{POD}:8080" in done.out
    assert "is on this host" in done.out
