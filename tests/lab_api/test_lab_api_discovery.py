"""What the server says of itself: version, discovery, OpenAPI; who is let in."""

import datetime as dt
import ssl

import aiohttp
import yaml

from onehop.lab.api import Settings, Store, put, self_signed, serve
from onehop.lab.api.access import Access
from tests.lab_api.objects import (
    Json,
    gateway_definition,
)
from tests.lab_api.wire import wired

MAPS = "/api/v1/namespaces/shop/configmaps"
SERVICES = "/api/v1/namespaces/shop/services"
MERGE = "application/merge-patch+json"


async def test_the_server_says_that_it_is_not_kubernetes(store: Store) -> None:
    """In /version and in its headers."""
    async with wired(store) as wire:
        version = await wire.get("/version")
        async with wire.session.get(f"{wire.server.url}/readyz") as response:
            text = await response.text()

    assert "not-kubernetes" in version["gitVersion"]
    assert "not Kubernetes" in response.headers["Server"]
    assert text == "ok"


async def test_discovery_names_every_resource_in_both_forms(store: Store) -> None:
    """The old documents and the aggregated one agree; a new definition appears in both."""
    put(store, gateway_definition())
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    async with wired(store) as wire:
        groups = await wire.get("/apis")
        old = await wire.get("/apis/gateway.networking.k8s.io/v1")
        group = await wire.get("/apis/gateway.networking.k8s.io")
        core = await wire.get("/api/v1")
        versions = await wire.get("/api")
        new = await wire.get("/apis", Accept=accept)
        new_core = await wire.get("/api", Accept=accept)

    named = {each["name"] for each in groups["groups"]}
    assert named == {each["metadata"]["name"] for each in new["items"]}
    assert [each["name"] for each in old["resources"]] == ["gateways", "gateways/status"]
    assert old["resources"][0]["shortNames"] == ["gtw"]
    assert [each["version"] for each in group["versions"]] == ["v1", "v1beta1"]
    assert versions["versions"] == ["v1"]
    aggregated = {each["resource"] for each in new_core["items"][0]["versions"][0]["resources"]}
    assert aggregated == {each["name"] for each in core["resources"] if "/" not in each["name"]}


async def test_openapi_says_that_patches_are_validated_here(store: Store) -> None:
    """Kubectl looks for fieldValidation in the PATCH of a kind."""
    async with wired(store) as wire:
        index = await wire.get("/openapi/v3")
        path = index["paths"]["apis/networking.k8s.io/v1"]["serverRelativeURL"]
        document = await wire.get(path)
        old = await wire.get("/openapi/v2")
        code, _ = await wire.ask("GET", "/openapi/v3/apis/none/v1")

    patch = document["paths"]["/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/{name}"]
    assert "fieldValidation" in {each["name"] for each in patch["patch"]["parameters"]}
    assert old["swagger"] == "2.0"
    assert code == 404


async def test_a_token_is_demanded_of_everything_but_health(store: Store) -> None:
    """401 without it."""
    async with wired(store, Settings(token="secret")) as wire:
        without, _ = await wire.ask("GET", MAPS)
        wrong, _ = await wire.ask("GET", MAPS, Authorization="Bearer other")
        right, _ = await wire.ask("GET", MAPS, Authorization="Bearer secret")
        health, _ = await wire.ask("GET", "/livez")
        told = yaml.safe_load(wire.server.kubeconfig())

    assert (without, wrong, right, health) == (401, 401, 200, 200)
    assert told["users"][0]["user"] == {"token": "secret"}


async def test_tls_is_trusted_through_the_kubeconfig(store: Store) -> None:
    """The certificate is its own CA."""
    tls = self_signed(now=dt.datetime.now(dt.UTC))
    context = ssl.create_default_context(cadata=tls.certificate.decode())
    async with (
        serve(store, settings=Settings(tls=tls)) as server,
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/healthz", ssl=context) as response,
    ):
        assert server.url.startswith("https://")
        assert response.status == 200
        assert "certificate-authority-data" in server.kubeconfig()


async def test_a_rule_decides_about_requests_and_reviews_alike(store: Store) -> None:
    """What a review promises, the request gets."""

    def no_secrets(access: Access) -> bool:
        return access.resource != "secrets"

    def asked(resource: str) -> Json:
        return {"spec": {"resourceAttributes": {"verb": "list", "resource": resource}}}

    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    async with wired(store, Settings(allows=no_secrets)) as wire:
        _, yes = await wire.ask("POST", reviews, asked("services"))
        _, no = await wire.ask("POST", reviews, asked("secrets"))
        refused, body = await wire.ask("GET", "/api/v1/secrets")

    assert (yes["status"]["allowed"], no["status"]["allowed"], refused) == (True, False, 403)
    assert 'cannot list resource "secrets" in API group ""' in body["message"]
