"""`python -m onehop.lab.api`, as a user starts it."""

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
import yaml

from onehop.lab.api import Store, load, manifests, put, read
from onehop.lab.api.refusal import Refused
from tests.lab_api.objects import config_map, gateway, gateway_definition, ingress, service

PATIENCE_S = 30.0


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "onehop.lab.api", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_it_loads_a_folder_serves_it_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    """It says what it is, writes a kubeconfig, and leaves with code 0."""
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump_all([ingress(), service()]))
    config = tmp_path / "kubeconfig"
    process = await start("--load", str(tmp_path), "--kubeconfig", str(config))
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            lines: list[str] = []
            while not lines or not lines[-1].startswith("try: "):
                lines.append((await process.stdout.readline()).decode())
            server = yaml.safe_load(config.read_text())["clusters"][0]["cluster"]["server"]
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{server}/apis/networking.k8s.io/v1/ingresses") as response,
            ):
                listed = await response.json()
            process.send_signal(signal.SIGINT)
            await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()

    assert [each["metadata"]["name"] for each in listed["items"]] == ["shop"]
    assert "loaded 2 objects\n" in lines
    assert any("not Kubernetes" in line for line in lines)
    assert process.returncode == 0


async def test_a_wrong_manifest_ends_it_with_code_2(tmp_path: Path) -> None:
    """The user's file is wrong: it says which field."""
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(service(type="Magic")))
    async with asyncio.timeout(PATIENCE_S):
        process = await start("--load", str(tmp_path))
        _, errors = await process.communicate()

    assert process.returncode == 2
    assert b"spec.type" in errors


def test_manifests_put_definitions_and_namespaces_first(store: Store, tmp_path: Path) -> None:
    """Files in any order load; Lists are unfolded; other files are left alone."""
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(gateway()))
    items = [{"metadata": config_map(name)["metadata"]} for name in ("one", "two")]
    listed = {"apiVersion": "v1", "kind": "ConfigMapList", "items": items}
    (tmp_path / "b.json").write_text(yaml.safe_dump(listed))
    (tmp_path / "z.yml").write_text(yaml.safe_dump(gateway_definition()))
    (tmp_path / "notes.txt").write_text("not a manifest")

    number = load(store, manifests(tmp_path))

    assert number == 4
    assert read(store, "gateways", "shop", "edge")["spec"]["gatewayClassName"] == "onehop"
    assert read(store, "configmaps", "shop", "two")["kind"] == "ConfigMap"


def test_put_replaces_status_too_and_makes_the_namespace(store: Store) -> None:
    """Whatever was there: the short way of tests."""
    obj = service(type="LoadBalancer")
    obj["metadata"]["namespace"] = "fresh"
    obj["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    put(store, obj)
    obj["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.2"}]}}
    put(store, obj)

    status = read(store, "services", "fresh", "web")["status"]
    assert status["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.2"


def test_an_object_of_an_unknown_kind_cannot_be_put(store: Store) -> None:
    """404: the server does not serve it."""
    with pytest.raises(Refused) as caught:
        put(store, {"apiVersion": "v9", "kind": "Thing", "metadata": {"name": "a"}})

    assert caught.value.code == 404
