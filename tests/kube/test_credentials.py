"""Who we say we are, and how that is renewed."""

import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from onehop.base.errors import ConfigError, KubeForbidden, KubeUnavailable
from onehop.cluster import Service
from onehop.kube import Access, Client, collection_of, connect
from onehop.kube.credentials import (
    REREAD_AFTER_S,
    Credentials,
    KubeconfigLoader,
    ServiceAccountLoader,
    find_loader,
)
from tests.kube.scripted import Scripted, write_kubeconfig

SERVICES = collection_of(Service)
LONG_AGO = "2001-01-01T00:00:00Z"
FAR_OFF = "2999-01-01T00:00:00Z"


def accept_only(server: Scripted, *tokens: str) -> None:
    """Answer 401 to everybody else."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") in {f"Bearer {token}" for token in tokens}:
            return web.json_response({"metadata": {"name": "web"}})
        return web.json_response({"kind": "Status", "code": 401}, status=401)

    server.answer = answer


def plugin(folder: Path, *, expires: str = "") -> dict[str, Any]:
    """Write an exec plugin that prints the token in a file and counts its runs in another."""
    script = folder / "plugin.sh"
    expiry = f', "expirationTimestamp": "{expires}"' if expires else ""
    credential = '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"'
    script.write_text(
        "#!/bin/sh\n"
        f'echo run >> "{folder}/runs"\n'
        f'token=$(cat "{folder}/token") || exit 1\n'
        f'printf \'{credential}, "status": {{"token": "%s"{expiry}}}}}\' "$token"\n'
    )
    script.chmod(0o700)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(script),
            "interactiveMode": "Never",
        }
    }


def remove(file: Path) -> None:
    file.unlink()


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


async def get(client: Client) -> str:
    return (await client.get(SERVICES, "shop", "web")).metadata.name


async def test_a_static_token_is_sent(server: Scripted, tmp_path: Path) -> None:
    """The simplest kubeconfig."""
    accept_only(server, "abc")
    path = write_kubeconfig(tmp_path / "config", server.url, {"token": "abc"})
    async with connect(Access(kubeconfig=path)) as client:
        assert await get(client) == "web"


async def test_an_exec_plugin_is_run_once_for_many_requests(
    server: Scripted, tmp_path: Path
) -> None:
    """Without an expiry its token holds until the server refuses it."""
    accept_only(server, "abc")
    (tmp_path / "token").write_text("abc")
    path = write_kubeconfig(tmp_path / "config", server.url, plugin(tmp_path))
    async with connect(Access(kubeconfig=path)) as client:
        for _ in range(3):
            assert await get(client) == "web"
        assert runs(tmp_path) == 1
        accept_only(server, "def")
        (tmp_path / "token").write_text("def")
        assert await get(client) == "web"
        assert runs(tmp_path) == 2


@pytest.mark.parametrize(("expires", "times"), [(LONG_AGO, 4), (FAR_OFF, 1)])
async def test_an_exec_plugin_is_run_again_when_its_token_expires(
    server: Scripted, tmp_path: Path, expires: str, times: int
) -> None:
    """Once at the start, and before each request if the token has expired."""
    accept_only(server, "abc")
    (tmp_path / "token").write_text("abc")
    path = write_kubeconfig(tmp_path / "config", server.url, plugin(tmp_path, expires=expires))
    async with connect(Access(kubeconfig=path)) as client:
        for _ in range(3):
            assert await get(client) == "web"
    assert runs(tmp_path) == times


async def test_a_rotated_token_file_is_read_again_on_401(server: Scripted, tmp_path: Path) -> None:
    """Nobody has to wait for the minute between two looks at the file; one request is refused."""
    token = tmp_path / "token"
    token.write_text("old\n")
    accept_only(server, "old")
    path = write_kubeconfig(tmp_path / "config", server.url, {"tokenFile": str(token)})
    async with connect(Access(kubeconfig=path)) as client:
        assert await get(client) == "web"
        token.write_text("new\n")
        accept_only(server, "new")
        assert await get(client) == "web"
        assert await get(client) == "web"
    assert len(server.requests) == 4


async def test_a_token_file_is_looked_at_every_minute(server: Scripted, tmp_path: Path) -> None:
    """A rotated token is used before the old one is refused."""
    token = tmp_path / "token"
    token.write_text("old")
    path = write_kubeconfig(tmp_path / "config", server.url, {"tokenFile": str(token)})
    now = 0.0
    credentials = await Credentials.load(KubeconfigLoader(path, "", clock=lambda: now))
    token.write_text("new")
    assert await credentials.authorization() == "Bearer old"
    now = REREAD_AFTER_S
    assert await credentials.authorization() == "Bearer new"
    token.unlink()
    now = 2 * REREAD_AFTER_S
    with pytest.raises(KubeUnavailable, match="renewed"):
        await credentials.authorization()


async def test_a_refusal_of_fresh_credentials_is_final(server: Scripted, tmp_path: Path) -> None:
    """One reload, one more try, then the operator hears of it."""
    accept_only(server)
    path = write_kubeconfig(tmp_path / "config", server.url, {"token": "abc"})
    async with connect(Access(kubeconfig=path)) as client:
        with pytest.raises(KubeForbidden, match="401"):
            await get(client)
        assert len(server.requests) == 2
        remove(Path(path))
        with pytest.raises(KubeForbidden, match="cannot be read"):
            await get(client)


async def test_a_service_account_is_found_and_its_token_renewed(
    server: Scripted, tmp_path: Path
) -> None:
    """Token and CA of the Pod's folder; a trailing newline does no harm."""
    (tmp_path / "token").write_text("old\n")
    (tmp_path / "ca.crt").write_text("a certificate")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    credentials = await Credentials.load(ServiceAccountLoader(str(tmp_path), environ))
    assert credentials.configuration.host == "https://[fd00::1]:443"
    assert await credentials.authorization() == "bearer old"
    (tmp_path / "token").write_text("new\n")
    await credentials.reload(credentials.generation)
    assert await credentials.authorization() == "bearer new"
    await credentials.reload(0)
    assert credentials.generation == 1
    assert server.requests == []


def test_credentials_are_looked_for_in_the_usual_order(tmp_path: Path) -> None:
    """What was said, then $KUBECONFIG, then ~/.kube/config, then the Pod's own."""
    file = tmp_path / ".kube" / "config"
    file.parent.mkdir()
    file.write_text("")
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    home = {"HOME": str(tmp_path), **pod}
    nowhere = {"HOME": str(tmp_path / "nobody"), **pod}
    named = {**nowhere, "KUBECONFIG": str(file)}
    assert isinstance(find_loader(Access(in_cluster=True), environ=home), ServiceAccountLoader)
    assert isinstance(find_loader(Access(kubeconfig="x"), environ=nowhere), KubeconfigLoader)
    assert isinstance(find_loader(Access(), environ=named), KubeconfigLoader)
    assert isinstance(find_loader(Access(), environ=home), KubeconfigLoader)
    assert isinstance(find_loader(Access(), environ=nowhere), ServiceAccountLoader)
    with pytest.raises(ConfigError, match=r"cluster\.kubeconfig"):
        find_loader(Access(), environ={"HOME": str(tmp_path / "nobody")})


@pytest.mark.parametrize(
    "text", ["", "a: [", "[]", "apiVersion: v1", "current-context: x\ncontexts: []\nclusters: []"]
)
async def test_a_damaged_kubeconfig_is_the_operators_fault(tmp_path: Path, text: str) -> None:
    """Whatever is wrong with the file, it is a ConfigError and no traceback of the loader's."""
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(ConfigError, match="credentials cannot be read"):
        async with connect(Access(kubeconfig=str(file))):
            pytest.fail(f"accepted by {sys.executable}")


async def test_missing_files_and_contexts_are_the_operators_fault(
    server: Scripted, tmp_path: Path
) -> None:
    """A path that leads nowhere, a context that is not there, a CA that is no certificate."""
    path = write_kubeconfig(tmp_path / "config", server.url, {})
    for access in (
        Access(kubeconfig=str(tmp_path / "nowhere")),
        Access(kubeconfig=path, context="missing"),
        Access(in_cluster=True, service_account=str(tmp_path)),
    ):
        with pytest.raises(ConfigError):
            await Credentials.load(find_loader(access))
    async with connect(Access(kubeconfig=path, context="nobody")) as client:
        accept_only(server)
        with pytest.raises(KubeForbidden):
            await get(client)
