"""The API as people meet it: through kubectl (Debian's 1.20 and newer)."""

import asyncio
import contextlib
import datetime as dt
import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import yaml

from onehop.lab.api import Server, Settings, Store, put, read, self_signed, serve
from tests.lab_api.objects import (
    Json,
    endpoint_slice,
    gateway,
    gateway_definition,
    ingress,
    service,
    watch,
)

PATIENCE_S = 30.0


class Kubectl:
    """kubectl, pointed at one server; its caches live and die with the test."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._folder = folder
        config = folder / "kubeconfig"
        config.write_text(server.kubeconfig(namespace="shop"))
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "KUBECONFIG": str(config),
        }

    def manifest(self, *objects: Json) -> str:
        """Write objects to a file, and return its path."""
        path = self._folder / "manifest.yaml"
        path.write_text(yaml.safe_dump_all(objects))
        return str(path)

    def body(self, obj: Json) -> str:
        """Write one object as JSON, and return the file's path."""
        path = self._folder / "body.json"
        path.write_text(json.dumps(obj))
        return str(path)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start kubectl and return the process."""
        return await asyncio.create_subprocess_exec(
            "kubectl",
            *arguments,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def fails(self, *arguments: str) -> str:
        """Run kubectl, demand that it fails, and return what it complained of."""
        async with asyncio.timeout(PATIENCE_S):
            process = await self.start(*arguments)
            _, errors = await process.communicate()
        assert process.returncode != 0
        return errors.decode()

    async def __call__(self, *arguments: str) -> str:
        """Run kubectl, demand that it succeeds, and return what it printed."""
        async with asyncio.timeout(PATIENCE_S):
            process = await self.start(*arguments)
            output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return output.decode()

    async def json(self, *arguments: str) -> Any:
        """Run kubectl with `-o json`, and return what it printed."""
        return json.loads(await self(*arguments, "-o", "json"))


@contextlib.asynccontextmanager
async def kubectl_for(
    store: Store, folder: Path, settings: Settings | None = None
) -> AsyncGenerator[Kubectl]:
    async with serve(store, settings=settings or Settings()) as server:
        yield Kubectl(server, folder)


@pytest.fixture
async def kubectl(store: Store, tmp_path: Path) -> AsyncGenerator[Kubectl]:
    """Kubectl of a server without authentication."""
    async with kubectl_for(store, tmp_path) as one:
        yield one


async def test_get_prints_the_servers_tables(store: Store, kubectl: Kubectl) -> None:
    """Addresses of Services and Ingresses, endpoints of slices; wide has more."""
    put(store, service(type="LoadBalancer") | {
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.10"}]}}
    })  # fmt: skip
    put(store, ingress())
    put(store, endpoint_slice())

    narrow = await kubectl("get", "svc,ing,endpointslices", "-A")
    wide = await kubectl("get", "svc", "-o", "wide")

    for word in ("EXTERNAL-IP", "203.0.113.10", "shop.example.com", "10.244.1.1,10.244.1.2"):
        assert word in narrow
    assert "NAMESPACE" in narrow
    assert "SELECTOR" in wide
    assert "app=web" in wide


async def test_apply_creates_changes_and_leaves_alone(store: Store, kubectl: Kubectl) -> None:
    """The three-way merge of client-side apply, node ports and addresses kept."""
    path = kubectl.manifest(service(type="LoadBalancer"), ingress())
    created = await kubectl("apply", "-f", path)
    before = read(store, "services", "shop", "web")["spec"]
    unchanged = await kubectl("apply", "-f", path)
    ports = [{"name": "http", "port": 80}, {"name": "https", "port": 443}]
    kubectl.manifest(service(type="LoadBalancer", ports=ports), ingress(host="b.example.com"))
    changed = await kubectl("apply", "-f", path)
    kubectl.manifest(service(type="LoadBalancer", ports=ports[1:]), ingress())
    await kubectl("apply", "-f", path)

    after = read(store, "services", "shop", "web")["spec"]
    assert created.count("created") == 2
    assert unchanged.count("unchanged") == 2
    assert changed.count("configured") == 2
    assert after["clusterIP"] == before["clusterIP"]
    assert [port["port"] for port in after["ports"]] == [443]


async def test_server_side_apply_owns_and_conflicts(store: Store, kubectl: Kubectl) -> None:
    """A second manager must force its will."""
    path = kubectl.manifest(ingress())
    await kubectl("apply", "--server-side", "-f", path)
    kubectl.manifest(ingress(host="b.example.com"))

    other = ("apply", "--server-side", "--field-manager=other", "-f", path)
    complaint = await kubectl.fails(*other)
    await kubectl(*other, "--force-conflicts")

    assert "conflict" in complaint
    rules = read(store, "ingresses", "shop", "shop")["spec"]["rules"]
    assert rules[0]["host"] == "b.example.com"


async def test_an_invalid_object_is_complained_of_in_the_real_servers_words(
    kubectl: Kubectl,
) -> None:
    """What is wrong, and in which field."""
    complaint = await kubectl.fails("apply", "-f", kubectl.manifest(service(type="Magic")))

    assert 'spec.type: Unsupported value: "Magic"' in complaint


async def test_watching_prints_changes_as_they_come(store: Store, kubectl: Kubectl) -> None:
    """`get -w`, by tables of single rows."""
    put(store, service("first"))
    process = await kubectl.start("get", "svc", "-w")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            lines = [await process.stdout.readline(), await process.stdout.readline()]
            put(store, service("second"))
            lines.append(await process.stdout.readline())
    finally:
        process.kill()
        await process.communicate()

    assert [line.split()[0] for line in lines] == [b"NAME", b"first", b"second"]


async def test_status_is_replaced_through_its_own_path(store: Store, kubectl: Kubectl) -> None:
    """`replace --raw`, as kubectl of any age can."""
    put(store, service(type="LoadBalancer"))
    obj = await kubectl.json("get", "svc", "web")
    obj["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}
    path = kubectl.body(obj)

    await kubectl("replace", "--raw", "/api/v1/namespaces/shop/services/web/status", "-f", path)

    assert "203.0.113.7" in await kubectl("get", "svc", "web")


async def test_delete_waits_for_finalizers(store: Store, kubectl: Kubectl) -> None:
    """Kubectl returns when the last finalizer is gone, and not before."""
    obj = service()
    obj["metadata"]["finalizers"] = ["service.kubernetes.io/load-balancer-cleanup"]
    before = put(store, obj).revision
    process = await kubectl.start("delete", "svc", "web")
    try:
        async with asyncio.timeout(PATIENCE_S):
            events = watch(store, "services", since=str(before))
            while not events.take():  # noqa: ASYNC110  the Store wakes nobody in this process
                await asyncio.sleep(0.02)
            assert process.returncode is None
            operation = '[{"op": "remove", "path": "/metadata/finalizers"}]'
            await kubectl("patch", "svc", "web", "--type=json", "-p", operation)
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()

    assert process.returncode == 0
    assert b'service "web" deleted' in output
    assert await kubectl("get", "svc", "--ignore-not-found") == ""


async def test_objects_are_labelled_selected_and_described(store: Store, kubectl: Kubectl) -> None:
    """The small commands people use all day."""
    put(store, service())
    put(store, ingress())
    await kubectl("label", "svc", "web", "tier=front")
    await kubectl("annotate", "svc", "web", "onehop.dev/path=pod")

    selected = await kubectl("get", "svc", "-l", "tier=front", "-o", "name")
    named = await kubectl("get", "svc", "--field-selector", "metadata.name=other", "-o", "name")
    described = await kubectl("describe", "ingress", "shop")

    assert (selected, named) == ("service/web\n", "")
    assert "shop.example.com" in described
    annotations = read(store, "services", "shop", "web")["metadata"]["annotations"]
    assert annotations["onehop.dev/path"] == "pod"


async def test_kubectls_own_creators_work(store: Store, kubectl: Kubectl) -> None:
    """The newer ones among them speak protobuf."""
    await kubectl("create", "namespace", "other")
    await kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    await kubectl("create", "configmap", "c", "--from-literal=a=b")
    await kubectl("create", "service", "loadbalancer", "lb", "--tcp=80:8080", "--tcp=443:https")
    await kubectl("create", "ingress", "i", "--class=onehop", "--rule=a.example/x*=lb:80,tls=s")
    allowed = await kubectl("auth", "can-i", "list", "services")

    ports = read(store, "services", "shop", "lb")["spec"]["ports"]
    [rule] = read(store, "ingresses", "shop", "i")["spec"]["rules"]
    assert read(store, "namespaces", "", "other")["status"]["phase"] == "Active"
    assert read(store, "secrets", "shop", "s")["data"] == {"a": "Yg=="}
    assert read(store, "configmaps", "shop", "c")["data"] == {"a": "b"}
    assert [port["targetPort"] for port in ports] == [8080, "https"]
    assert rule["host"] == "a.example"
    assert rule["http"]["paths"][0]["backend"]["service"]["port"] == {"number": 80}
    assert allowed == "yes\n"


async def test_a_resource_defined_by_kubectl_is_served_to_it(kubectl: Kubectl) -> None:
    """A definition, an object of it, its columns and its short name."""
    await kubectl("apply", "-f", kubectl.manifest(gateway_definition()))
    await kubectl("apply", "-f", kubectl.manifest(gateway()))

    assert "PROGRAMMED" in await kubectl("get", "gtw")
    assert "gateways" in await kubectl("api-resources")


async def test_a_token_and_a_certificate_come_with_the_kubeconfig(
    store: Store, tmp_path: Path
) -> None:
    """HTTPS with a bearer token, without further ado."""
    put(store, ingress())
    settings = Settings(token="secret", tls=self_signed(now=dt.datetime.now(dt.UTC)))
    async with kubectl_for(store, tmp_path, settings) as kubectl:
        assert "shop.example.com" in await kubectl("get", "ingress", "-A")
