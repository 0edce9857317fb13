"""cert-manager beside us: another ACME client proves hosts by Ingresses of its own."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from onehop.acme.port import HttpAnswer, ResponderAnswer
from tests.acme.responder import LiveResponder
from tests.acme.world import issuer_of, tended, wish
from tests.e2e.ca import Ca, ca_in
from tests.e2e.client import SHARED, Target, ask, is_served, steady
from tests.e2e.cluster import INGRESSES, SERVICES, SLICES, Cluster
from tests.e2e.conftest import WEB_PODS
from tests.e2e.objects import Json, endpoints, ingress, service
from tests.e2e.program import Onehop, running
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]

SOLVER_POD: Final = "10.244.1.9"
SOLVER_PORT: Final = 8089
PATH: Final = "/.well-known/acme-challenge"


class CertManager(LiveResponder):
    """Does for each challenge what cert-manager's HTTP01 solver does: Pod, Service, Ingress.

    It has the CA look once it has seen the answer itself ("self check").
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster
        self._names: dict[str, str] = {}

    async def publish(self, answer: ResponderAnswer) -> None:
        await super().publish(answer)
        assert isinstance(answer, HttpAnswer)
        name = f"cm-acme-http-solver-{len(self._names)}"
        self._names[answer.token] = name
        port = {"name": "http", "port": SOLVER_PORT}
        self._cluster.put(
            service(name, ports=[port | {"targetPort": SOLVER_PORT}]),
            endpoints(name, SOLVER_POD, ports=(port,)),
            solver_ingress(name, answer),
        )

    async def ready(self, answer: ResponderAnswer) -> None:
        assert isinstance(answer, HttpAnswer)

        async def is_answered() -> bool:
            return await said(answer.host, f"{PATH}/{answer.token}") == answer.body

        await until(is_answered, f"the self check of {answer.host}")

    async def withdraw(self, answer: ResponderAnswer) -> None:
        await super().withdraw(answer)
        name = self._names.get(answer.token, "") if isinstance(answer, HttpAnswer) else ""
        for resource, of in ((INGRESSES, name), (SLICES, f"{name}-1"), (SERVICES, name)):
            if self._cluster.find(resource, of) is not None:
                self._cluster.remove(resource, of)


def solver_ingress(name: str, answer: HttpAnswer) -> Json:
    """Return the Ingress as cert-manager 1.16 makes it."""
    made = ingress(name, answer.host, backend=name)
    made["metadata"]["labels"] = {"acme.cert-manager.io/http01-solver": "true"}
    (path,) = made["spec"]["rules"][0]["http"]["paths"]
    path |= {"path": f"{PATH}/{answer.token}", "pathType": "ImplementationSpecific"}
    path["backend"]["service"]["port"] = {"number": SOLVER_PORT}
    return made


async def said(host: str, path: str) -> str:
    """Return what a host answers, whoever does."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{SHARED}{path}", headers={"Host": host}) as response,
    ):
        return await response.text()


@pytest.fixture
async def ca(pods: None, tmp_path: Path) -> AsyncGenerator[Ca]:
    """A CA that looks at the shared address."""
    assert pods is None
    async with ca_in(tmp_path / "ca") as one:
        yield one


@pytest.fixture
async def onehop(cluster: Cluster, config: Json, tmp_path: Path) -> AsyncGenerator[Onehop]:
    """A onehop that orders nothing itself."""
    assert cluster.kubeconfig.exists()
    async with running(tmp_path / "a", config) as program:
        yield program


async def test_cert_manager_proves_hosts_and_tenants_notice_nothing(
    cluster: Cluster, onehop: Onehop, ca: Ca
) -> None:
    """Below a wildcard, whose rules go on to serve the name; past a redirect; of a new host."""
    assert onehop
    cluster.put(
        ingress("wild", "*.shop.example.com"),
        ingress("safe", "safe.example.com", secret="safe-tls", ssl_redirect="true"),
    )
    hosts = ("api.shop.example.com", "new.example.net", "safe.example.com")
    await until(partial(is_served, hosts[0]), "the wildcard is served")
    manager, wished = CertManager(cluster), wish(*hosts)
    pod = await asyncio.start_server(manager.serve_http, SOLVER_POD, SOLVER_PORT)
    async with pod, steady(Target(hosts[0]), Target("www.shop.example.com")):
        async with tended((issuer_of(ca.pebble),), (wished,), responder=manager) as world:
            await world.issued(wished)

        assert {answer.host for answer in manager.published} == set(hosts)
        assert manager.is_clean
    (token, *_) = (each.token for each in manager.published if isinstance(each, HttpAnswer))

    async def is_over() -> bool:
        reply = await ask(hosts[0], path=f"{PATH}/{token}")
        return reply.pod in WEB_PODS

    await until(is_over, "the tenant has its path again")
