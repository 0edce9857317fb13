"""Certificates by themselves for listeners: a Gateway asks, a real CA looks, clients see TLS."""

import ssl
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.cluster_gateway.objects import define
from tests.e2e.ca import Ca, ca_in, leaf_of
from tests.e2e.client import ask
from tests.e2e.cluster import SECRETS, Cluster
from tests.e2e.objects import SHOP, Json
from tests.e2e.program import Onehop, running
from tests.e2e.program import onehop as command
from tests.e2e.test_gateway_story import GATEWAYS, conditions, gateway_class, gateway_object
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]

LISTENER_SETS: Final = "listenersets.gateway.networking.k8s.io"
ADDRESS: Final = "192.0.2.20"
"""The first of the pool: there is one Gateway in these tests."""
ISSUED_S: Final = 30.0


def https(name: str, *, port: int = 443) -> Json:
    """Return the listener of `NAME.example.com`, with the Secret `NAME-tls`."""
    return {
        "name": name,
        "port": port,
        "protocol": "HTTPS",
        "hostname": f"{name}.example.com",
        "tls": {"certificateRefs": [{"name": f"{name}-tls"}]},
    }


def gateway(*listeners: Json, acme: str = "true") -> Json:
    allowed = {"namespaces": {"from": "Same"}}
    spec = {
        "gatewayClassName": "onehop",
        "allowedListeners": allowed,
        "listeners": list(listeners),
    }
    return asking(gateway_object("Gateway", "edge", spec), acme)


def listener_set(*listeners: Json, acme: str = "true") -> Json:
    spec = {"parentRef": {"name": "edge"}, "listeners": list(listeners)}
    return asking(gateway_object("ListenerSet", "team", spec), acme)


def asking(item: Json, acme: str) -> Json:
    item["metadata"]["annotations"] = {"onehop.dev/acme": acme}
    return item


def route(kind: str, name: str) -> Json:
    """Return a route to the Pods from all listeners of a Gateway or a ListenerSet."""
    spec = {
        "parentRefs": [{"kind": kind, "name": name}],
        "rules": [{"backendRefs": [{"name": "web", "port": 80}]}],
    }
    return gateway_object("HTTPRoute", f"{kind.lower()}-{name}", spec)


@pytest.fixture
async def ca(pods: None, tmp_path: Path) -> AsyncGenerator[Ca]:
    """A CA to which all hosts lead to the Gateway."""
    assert pods is None
    async with ca_in(tmp_path / "ca") as one:
        await one.pebble.set_dns("set-default-ipv4", ip=ADDRESS)
        yield one


@pytest.fixture
async def trust(ca: Ca) -> ssl.SSLContext:
    """A client that trusts it."""
    return await ca.trust()


@pytest.fixture
async def issuing(cluster: Cluster, config: Json, ca: Ca, tmp_path: Path) -> AsyncGenerator[Onehop]:
    """A running onehop that knows the CA by HTTP, and by TLS alone."""
    define(cluster.server.store)
    cluster.put(gateway_class())
    acme = ca.config()
    acme["issuers"].append(ca.issuer(name="shake", solvers=[{"type": "tls-alpn-01"}]))
    async with running(tmp_path / "a", config | {"acme": acme}) as program:
        yield program


async def answers(host: str, trust: ssl.SSLContext) -> bool:
    """Tell whether a Pod answers for the host by HTTPS, with a certificate that is trusted."""
    return bool((await ask(host, at=ADDRESS, tls=trust)).pod)


async def served(host: str, trust: ssl.SSLContext) -> None:
    await until(partial(answers, host, trust), f"{host} has HTTPS", timeout_s=ISSUED_S)


def listener_conditions(cluster: Cluster, resource: str, name: str) -> dict[str, tuple[str, str]]:
    """Return what is said of the only listener of an object, and nothing before."""
    listeners = cluster.read(resource, name).get("status", {}).get("listeners", ())
    return conditions(listeners[0]) if listeners else {}


async def test_listeners_get_certificates(
    cluster: Cluster, issuing: Onehop, trust: ssl.SSLContext
) -> None:
    """A Gateway without port 80 asks for itself, a ListenerSet for itself; neither is written to.

    The CA looks on a port 80 that is open for it alone. Who asked is told, and named by the tools.
    """
    cluster.put(gateway(https("one")), route("Gateway", "edge"))
    cluster.put(listener_set(https("two")), route("ListenerSet", "team"))

    await served("one.example.com", trust)
    await served("two.example.com", trust)
    for resource, name in ((GATEWAYS, "edge"), (LISTENER_SETS, "team")):

        def programmed(resource: str = resource, name: str = name) -> bool:
            told = listener_conditions(cluster, resource, name)
            return told.get("Programmed") == ("True", "Programmed")

        await until(programmed, f"the listener of {name} is programmed")
        await until(
            partial(cluster.said, name, "CertificateIssued"), f"the owner of {name} is told"
        )
        told = listener_conditions(cluster, resource, name)
        assert told["ResolvedRefs"] == ("True", "ResolvedRefs")
    assert (await ask("one.example.com", at=ADDRESS)).status == 404

    config = ("--config", str(issuing.config_file))
    listed = await command("cert", "list", *config)
    why = await command("cert", "why", "two.example.com", *config)
    assert listed.out.count("valid") == 2, listed.out
    assert "ListenerSet/shop/team asks pebble, for two.example.com" in why.out
    assert "clients see a valid certificate" in why.out


async def test_a_gateway_that_goes_leaves_its_secret(
    cluster: Cluster, issuing: Onehop, trust: ssl.SSLContext
) -> None:
    """As an Ingress does; another Gateway that asks finds it, and nothing is ordered again."""
    cluster.put(gateway(https("one"), acme="shake"), route("Gateway", "edge"))
    await served("one.example.com", trust)
    serial = leaf_of(cluster.read(SECRETS, "one-tls")).serial_number
    cluster.remove(GATEWAYS, "edge")

    async def is_gone() -> bool:
        try:
            await ask("one.example.com", at=ADDRESS, tls=trust)
        except OSError:
            return True
        return False

    await until(is_gone, "nobody listens any more")
    cluster.put(gateway(https("one"), acme="shake"))
    await served("one.example.com", trust)

    assert leaf_of(cluster.read(SECRETS, "one-tls", SHOP)).serial_number == serial
    assert len(issuing.logged("certificate_issued")) == 1
