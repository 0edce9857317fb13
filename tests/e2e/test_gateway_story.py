"""Gateway API as the owners of a Gateway and of a route see it: statuses on one side, requests."""

import asyncio
import time
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import yaml

from onehop.compile.gateway.feature import NEEDS
from onehop.control.abilities import lacks_of
from onehop.control.sources import GATEWAY_API
from onehop.lab.api.kind.gateway_crd import RELEASE_1_3
from onehop.lab.pod import serve_tcp
from onehop.status.gateway_pace import LONGEST_S
from tests.cluster_gateway.objects import define
from tests.e2e.client import Steady, Target, ask, greeting, steady
from tests.e2e.cluster import Cluster
from tests.e2e.objects import HOST, SHOP, Json, endpoints, service
from tests.e2e.program import Onehop, running
from tests.e2e.program import onehop as command
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]

CLASSES: Final = "gatewayclasses.gateway.networking.k8s.io"
GATEWAYS: Final = "gateways.gateway.networking.k8s.io"
ROUTES: Final = "httproutes.gateway.networking.k8s.io"
TCP_ROUTES: Final = "tcproutes.gateway.networking.k8s.io"
GRANTS: Final = "referencegrants.gateway.networking.k8s.io"
GROUP: Final = "gateway.networking.k8s.io"
WAREHOUSE: Final = "warehouse"
STOCK: Final = "stock.example.com"
_MANY: Final = 300
CONTROLLER: Final = "onehop.dev/gateway-controller"
THEIRS: Final = {
    "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "theirs"},
    "controllerName": "other.example/controller",
    "conditions": [
        {
            "type": "Accepted",
            "status": "True",
            "reason": "Accepted",
            "message": "by somebody else",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
}


def gateway_object(kind: str, name: str, spec: Json, space: str = SHOP) -> Json:
    """Return an object of Gateway API."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": space},
        "spec": spec,
    }


def gateway_class() -> Json:
    found = gateway_object("GatewayClass", "onehop", {"controllerName": CONTROLLER})
    return found | {"metadata": {"name": "onehop"}}


def gateway() -> Json:
    listener = {"name": "http", "port": 80, "protocol": "HTTP"}
    return gateway_object(
        "Gateway", "edge", {"gatewayClassName": "onehop", "listeners": [listener]}
    )


def gateway_of_others() -> Json:
    found = gateway()
    return found | {
        "metadata": {"name": "theirs", "namespace": SHOP},
        "spec": found["spec"] | {"gatewayClassName": "theirs"},
    }


def route(name: str = "web", *parents: str, backend: str = "web") -> Json:
    return gateway_object(
        "HTTPRoute",
        name,
        {
            "parentRefs": [{"name": parent} for parent in parents or ("edge",)],
            "hostnames": [HOST],
            "rules": [{"backendRefs": [{"name": backend, "port": 80}]}],
        },
    )


def grant() -> Json:
    """Return what lets routes of the shop lead to Services of the warehouse."""
    spec = {
        "from": [{"group": GROUP, "kind": "HTTPRoute", "namespace": SHOP}],
        "to": [{"group": "", "kind": "Service"}],
    }
    return gateway_object("ReferenceGrant", "to-the-shop", spec, WAREHOUSE)


def conditions(told: Json) -> dict[str, tuple[str, str]]:
    """Return status and reason of each condition."""
    return {each["type"]: (each["status"], each["reason"]) for each in told.get("conditions", ())}


@pytest.fixture
async def gateways(cluster: Cluster, config: Json, temporary: Path) -> AsyncGenerator[Onehop]:
    """A running onehop before a cluster with Gateway API and our class."""
    define(cluster.server.store)
    cluster.put(gateway_class())
    async with running(temporary / "a", config) as program:
        yield program


@pytest.mark.usefixtures("gateways")
async def test_a_gateway_gets_an_address_and_its_route_answers(cluster: Cluster) -> None:
    """Class, Gateway and route say what is so; the host answers on the Gateway's own address."""
    cluster.put(gateway(), route())

    def programmed() -> Json:
        """Return the status once it says so, and nothing before."""
        status: Json = cluster.read(GATEWAYS, "edge").get("status", {})
        return status if conditions(status).get("Programmed", ("", ""))[0] == "True" else {}

    def counted() -> Json:
        """Return the status once the route counts, and nothing before."""
        status = programmed()
        return status if status and status["listeners"][0]["attachedRoutes"] == 1 else {}

    def is_class_accepted() -> bool:
        told = conditions(cluster.read(CLASSES, "onehop", "").get("status", {}))
        return told.get("Accepted", ("", ""))[0] == "True"

    def parents() -> list[Json]:
        return list(cluster.read(ROUTES, "web").get("status", {}).get("parents", ()))

    await until(is_class_accepted, "the class is accepted")
    (address,) = (await until(programmed, "the Gateway is programmed"))["addresses"]

    async def answers() -> bool:
        return (await ask(at=address["value"])).pod == "web-1"

    await until(answers, "the route answers")
    status = await until(counted, "the route is counted")
    assert conditions(status) == {
        "Accepted": ("True", "Accepted"),
        "Programmed": ("True", "Programmed"),
    }
    assert conditions(status["listeners"][0])["Programmed"] == ("True", "Programmed")
    (parent,) = await until(parents, "the route has a status")
    assert parent["controllerName"] == CONTROLLER
    assert parent["parentRef"]["name"] == "edge"
    assert conditions(parent) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
    }


@pytest.mark.usefixtures("gateways")
async def test_what_another_controller_says_of_a_route_stays(cluster: Cluster) -> None:
    """Before, beside and after ours; when the parentRef goes, only ours goes."""
    cluster.put(gateway(), {**route("web", "theirs", "edge"), "status": {"parents": [THEIRS]}})

    def controllers() -> list[str]:
        status = cluster.read(ROUTES, "web").get("status", {})
        return [each["controllerName"] for each in status.get("parents", ())]

    await until(lambda: CONTROLLER in controllers(), "our entry is there")
    assert controllers() == [THEIRS["controllerName"], CONTROLLER]
    changed = cluster.read(ROUTES, "web")
    changed["spec"]["parentRefs"] = [{"name": "theirs"}]
    cluster.put(changed)
    await until(lambda: CONTROLLER not in controllers(), "our entry is gone")
    assert cluster.read(ROUTES, "web")["status"]["parents"] == [THEIRS]


@pytest.mark.usefixtures("gateways")
async def test_a_missing_backend_is_said_at_the_route(cluster: Cluster) -> None:
    """`ResolvedRefs` is false with BackendNotFound, and the answer is 500."""
    cluster.put(gateway(), route(backend="nowhere"))

    def resolved() -> tuple[str, str] | None:
        parents = cluster.read(ROUTES, "web").get("status", {}).get("parents", ())
        return next((conditions(each).get("ResolvedRefs") for each in parents), None)

    assert await until(resolved, "the route has a status") == ("False", "BackendNotFound")


async def test_an_older_release_is_served_in_its_own_versions(
    cluster: Cluster, config: Json, temporary: Path
) -> None:
    """TCPRoutes of release 1.3 are v1alpha2: read so, written so, and connections arrive."""
    define(cluster.server.store, RELEASE_1_3)
    listener = {"name": "amqp", "port": 5672, "protocol": "TCP"}
    spec = {"gatewayClassName": "onehop", "listeners": [listener]}
    backend = {"name": "queue", "port": 5672}
    tcp = gateway_object(
        "TCPRoute",
        "queue",
        {"parentRefs": [{"name": "edge"}], "rules": [{"backendRefs": [backend]}]},
    )
    cluster.put(
        gateway_class(),
        gateway_object("Gateway", "edge", spec),
        tcp | {"apiVersion": "gateway.networking.k8s.io/v1alpha2"},
        service("queue", ports=[{"name": "amqp", "port": 5672}]),
        endpoints("queue", "10.244.1.3", ports=({"name": "amqp", "port": 5672},)),
    )
    async with serve_tcp("queue-1", "10.244.1.3", 5672), running(temporary / "a", config):

        def addresses() -> list[Json]:
            status: Json = cluster.read(GATEWAYS, "edge").get("status", {})
            return list(status.get("addresses", ()))

        def is_accepted() -> bool:
            status = cluster.read(TCP_ROUTES, "queue").get("status", {})
            told = [conditions(parent).get("Accepted") for parent in status.get("parents", ())]
            return told == [("True", "Accepted")]

        (address,) = await until(addresses, "the Gateway has an address")
        await until(is_accepted, "the route says that it is accepted")

        async def is_answered() -> bool:
            return (await greeting(address["value"], 5672)).startswith("queue-1")

        await until(is_answered, "connections arrive")


@pytest.mark.usefixtures("gateways")
async def test_routes_of_other_classes_are_left_alone(cluster: Cluster) -> None:
    """A hundred of them, before and beside one of ours: not one write."""
    cluster.put(gateway(), gateway_of_others())
    for number in range(100):
        cluster.put(route(f"theirs-{number}", "theirs"))
    cluster.put(route())

    def is_told() -> bool:
        return bool(cluster.read(ROUTES, "web").get("status", {}).get("parents"))

    await until(is_told, "our route has a status")
    assert cluster.requests.writes(resource=f"{ROUTES}/status") == 1
    assert "Programmed" not in {
        each["type"]
        for each in cluster.read(GATEWAYS, "theirs")["status"]["conditions"]
        if each["status"] != "Unknown"
    }


@pytest.mark.usefixtures("gateways")
async def test_many_routes_cost_their_gateway_few_writes(cluster: Cluster) -> None:
    """At most twenty, and one for each 0.8 seconds that they take to come."""
    cluster.put(gateway(), route())

    def attached() -> int:
        listeners = cluster.read(GATEWAYS, "edge").get("status", {}).get("listeners")
        return listeners[0]["attachedRoutes"] if listeners else 0

    await until(lambda: attached() == 1, "the first route is counted")
    before, began = cluster.requests.writes(resource=f"{GATEWAYS}/status"), time.monotonic()
    for number in range(_MANY):
        cluster.put(route(f"web-{number}"))
        await asyncio.sleep(0)
    await until(lambda: attached() == 1 + _MANY, "all routes are counted", timeout_s=60)

    written = cluster.requests.writes(resource=f"{GATEWAYS}/status") - before
    assert written <= 20 + (time.monotonic() - began) / LONGEST_S


@pytest.mark.usefixtures("gateways")
async def test_a_grant_is_revoked_under_load(cluster: Cluster) -> None:
    """Every request gets an answer: a Pod's, or 500 while nothing permits it; others never fail."""
    stock = route("stock")
    stock["spec"] |= {
        "hostnames": [STOCK],
        "rules": [{"backendRefs": [{"name": "web", "namespace": WAREHOUSE, "port": 80}]}],
    }
    pods = endpoints("web", "10.244.1.2", space=WAREHOUSE)
    cluster.put(gateway(), route(), stock, grant(), service("web", space=WAREHOUSE), pods)

    def addresses() -> list[Json]:
        return list(cluster.read(GATEWAYS, "edge").get("status", {}).get("addresses", ()))

    def resolved() -> str:
        parents = cluster.read(ROUTES, "stock").get("status", {}).get("parents", ())
        return next((conditions(each)["ResolvedRefs"][1] for each in parents), "")

    at = (await until(addresses, "the Gateway has an address"))[0]["value"]
    for host in (HOST, STOCK):
        await until(partial(_is_answered, host, at), f"{host} is served")
    asked = Steady(Target(STOCK, at))
    async with steady(Target(HOST, at)), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(asked.run(keeps=True))
        await asked.some_more()
        assert asked.failures == []
        cluster.remove(GRANTS, "to-the-shop", WAREHOUSE)
        await until(lambda: asked.failures, "requests are refused")
        answered = asked.pods.total()
        await asked.some_more()
        assert asked.pods.total() == answered
        await until(lambda: resolved() == "RefNotPermitted", "the route says why")
        cluster.put(grant())
        await until(lambda: asked.pods.total() > answered, "the Pods answer again")
        await until(lambda: resolved() == "ResolvedRefs", "the route says so")
        asking.cancel()

    assert {failure.rpartition(": ")[2] for failure in asked.failures} == {"500"}


async def _is_answered(host: str, at: str) -> bool:
    return (await ask(host, at=at)).status == 200


@pytest.mark.haproxy
async def test_the_class_claims_what_the_data_plane_can_do_that_serves(
    cluster: Cluster, config: Json, gateways: Onehop
) -> None:
    """After `onehop switch` it is the other one's; nobody restarts or touches the class."""
    assert config["cluster"]

    def features() -> set[str]:
        status = cluster.read(CLASSES, "onehop", "").get("status", {})
        return {each["name"] for each in status.get("supportedFeatures", ())}

    await until(lambda: features() == expected("envoy"), "the class says what Envoy can")
    file = yaml.safe_load(gateways.config_file.read_text())
    planes = file.get("dataPlane", {}) | {"driver": "haproxy"}
    gateways.config_file.write_text(yaml.safe_dump(file | {"dataPlane": planes}))
    told = await command("switch", "--config", str(gateways.config_file))
    assert told.code == 0, told
    await until(lambda: features() == expected("haproxy"), "it says what HAProxy can")
    assert expected("haproxy") < expected("envoy")


def expected(driver: str) -> set[str]:
    """Return the features of which nothing is lacking with a data plane."""
    lacks = lacks_of(driver).keys()
    return {feature for feature, needs in NEEDS.items() if lacks.isdisjoint(needs)}


async def test_check_says_which_release_a_cluster_has(
    cluster: Cluster, config: Json, gateways: Onehop
) -> None:
    """Its kinds and versions, and the rights to them."""
    assert cluster.kubeconfig.exists()
    assert config["cluster"]

    told = await command("check", "--config", str(gateways.config_file))

    kinds = ", ".join(f"{kind} v1" for kind in sorted(GATEWAY_API))
    assert f"Gateway API: {kinds}" in told.out
    assert "rights to Gateway API: all there" in told.out
