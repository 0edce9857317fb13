"""The cluster of these tests: the in-memory API, and kubectl pointed at it."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from onehop.lab.api import Refused, Server, Settings, Store, put, read, remove, serve
from tests.e2e.objects import SHOP, Json, ingress_class, namespace

SERVICES: Final = "services"
SLICES: Final = "endpointslices.discovery.k8s.io"
NODES: Final = "nodes"
INGRESSES: Final = "ingresses.networking.k8s.io"
CLASSES: Final = "ingressclasses.networking.k8s.io"
NAMESPACES: Final = "namespaces"
SECRETS: Final = "secrets"
WATCHED: Final = (SERVICES, SLICES, NODES, INGRESSES, CLASSES, NAMESPACES, SECRETS)

LEASES: Final = "leases.coordination.k8s.io"
ONEHOP: Final = "onehop"
"""The name by which the program introduces itself to the API (User-Agent)."""


class Cluster:
    """What the API holds, written and read the short way."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.faults = server.faults
        self.requests = server.requests
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(server.kubeconfig(namespace=SHOP))
        self.kubectl = Kubectl(folder, self.kubeconfig)

    def put(self, *objects: Json) -> None:
        """Create or replace objects."""
        for each in objects:
            put(self.server.store, each)

    def read(self, resource: str, name: str, space: str = SHOP) -> Json:
        """Return an object as it is now."""
        return read(self.server.store, resource, space, name)

    def find(self, resource: str, name: str, space: str = SHOP) -> Json | None:
        """Return an object as it is now, or None."""
        try:
            return self.read(resource, name, space)
        except Refused:
            return None

    def remove(self, resource: str, name: str, space: str = SHOP) -> None:
        """Delete an object; its finalizers may keep it."""
        remove(self.server.store, resource, space, name)

    def addresses(self, resource: str, name: str, space: str = SHOP) -> list[str]:
        """Return the addresses an object's status shows."""
        balancer = self.read(resource, name, space).get("status", {}).get("loadBalancer", {})
        return [entry.get("ip", "") for entry in balancer.get("ingress") or ()]

    def events(self, name: str, reason: str = "") -> list[Json]:
        """Return the events about objects of a name, oldest first."""
        found = [
            event
            for event in self.server.store.objects("events.events.k8s.io")
            if _regards(event).get("name") == name and reason in ("", event.get("reason"))
        ]
        return sorted(found, key=lambda event: int(event["metadata"]["resourceVersion"]))

    def said(self, name: str, reason: str = "") -> str:
        """Return the texts of these events."""
        return "\n".join(str(e.get("note") or e.get("message")) for e in self.events(name, reason))

    @contextlib.asynccontextmanager
    async def watching(self, resource_path: str) -> AsyncGenerator[list[Json]]:
        """Collect the events of a watch; the list grows while the context lasts."""
        seen: list[Json] = []
        url = f"{self.server.url}/{resource_path}?watch=true"
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_collect(session, url, seen))
            try:
                yield seen
            finally:
                reading.cancel()


def _regards(event: Json) -> Json:
    regards: Json = event.get("regarding") or event.get("involvedObject") or {}
    return regards


async def _collect(session: aiohttp.ClientSession, url: str, seen: list[Json]) -> None:
    async with session.get(url) as response:
        async for line in response.content:
            seen.append(json.loads(line))  # noqa: PERF401  others read the list while it grows


class Kubectl:
    """kubectl, pointed at one API; its caches live and die with the test."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        self._folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "KUBECONFIG": str(kubeconfig),
        }

    async def apply(self, *objects: Json) -> None:
        """Run `kubectl apply -f FILE`."""
        path = self._folder / "manifest.yaml"
        path.write_text(yaml.safe_dump_all(objects))
        await self("apply", "-f", str(path))

    async def __call__(self, *arguments: str) -> str:
        """Run kubectl, demand that it succeeds, and return what it printed."""
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            *arguments,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(30):
                output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, errors.decode()
        return output.decode()

    async def json(self, *arguments: str) -> Any:
        """Run kubectl with `-o json`, and return what it printed."""
        return json.loads(await self(*arguments, "-o", "json"))


@contextlib.asynccontextmanager
async def cluster_in(
    folder: Path, *, store: Store | None = None, settings: Settings | None = None, port: int = 0
) -> AsyncGenerator[Cluster]:
    """Serve a cluster with a namespace for the Lease, a shop, and our IngressClass."""
    store = store or Store()
    for each in (namespace("onehop-system"), namespace(), ingress_class()):
        put(store, each)
    async with serve(store, port=port, settings=settings or Settings()) as server:
        yield Cluster(server, folder)
