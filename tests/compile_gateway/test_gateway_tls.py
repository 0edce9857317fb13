"""TLS on both sides of a Gateway through real data planes: whom it lets in, and whom it trusts."""

import ssl
import tempfile
from pathlib import Path

import pytest

from tests.compile_gateway.planes import Stand, shows
from tests.compile_gateway.world import gateway, listener_set, route, service
from tests.driver_envoy.world import (
    Identity,
    backend,
    connected,
    free_port,
    get,
    headers_of,
    identity,
    trusting,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

SITE, POD = (
    identity("site", "a.example", "b.example", "*.b.example"),
    identity("pod", "pod.example"),
)
NOBODY = {502, 503}
"""Answers in place of an endpoint that is not trusted."""
ALICE, MALLORY = identity("alice", "alice.client"), identity("mallory", "alice.client")


def config_map(name: str, ca: Identity) -> str:
    """Return a ConfigMap with a CA."""
    lines = "".join(f"    {line}\n" for line in ca.chain_pem.splitlines())
    return f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, namespace: shop}}
data:
  ca.crt: |
{lines}"""


def secret(name: str, of: Identity) -> str:
    """Return a Secret with a certificate and its key."""
    pair = {"tls.crt": of.chain_pem, "tls.key": of.certificate.key_pem.reveal}
    lines = "".join(
        f"  {key}: |\n" + "".join(f"    {line}\n" for line in pem.splitlines())
        for key, pem in pair.items()
    )
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: shop}}
type: kubernetes.io/tls
stringData:
{lines}"""


def policy(service_name: str, names: str = "", *, hostname: str = "pod.example") -> str:
    """Return a BackendTLSPolicy by the CA in the ConfigMap `ca`."""
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: {service_name}, namespace: shop}}
spec:
  targetRefs: [{{group: '', kind: Service, name: {service_name}}}]
  validation:
    hostname: {hostname}
    caCertificateRefs: [{{group: '', kind: ConfigMap, name: ca}}]
    subjectAltNames: [{names}]
"""


def asking(owner: str, ca: str, *, mode: str = "AllowValidOnly") -> str:
    """Return a Gateway that asks clients for certificates by the CA in a ConfigMap."""
    refs = f"[{{group: '', kind: ConfigMap, name: {ca}}}]"
    validation = f"{{mode: {mode}, caCertificateRefs: {refs}}}"
    asked = f"  tls: {{frontend: {{default: {{validation: {validation}}}}}}}\n"
    return owner.replace("  listeners:", f"{asked}  listeners:")


def showing(of: Identity, context: ssl.SSLContext) -> ssl.SSLContext:
    """Return a context that has a certificate to show."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.pem"
        file.write_text(of.chain_pem + of.certificate.key_pem.reveal)
        context.load_cert_chain(file)
    return context


@shows("BackendTLSPolicy")
async def test_backends_are_held_to_the_ca_and_the_name_of_their_policy(plane: Stand) -> None:
    """What matches is asked; a wrong name, another CA and a policy in vain get nobody's answer."""
    found = await _statuses(
        plane,
        good=policy("good"),
        name=policy("name", hostname="other.example"),
        ca=policy("ca").replace("name: ca}", "name: others}"),
        vain=policy("vain").replace("name: ca}", "name: missing}"),
    )
    assert (found["good"], found["vain"]) == (200, 500)
    assert {found["name"], found["ca"]} <= NOBODY


@shows("BackendTLSPolicySANValidation")
async def test_backends_may_have_other_names_than_the_one_sent(plane: Stand) -> None:
    """One of several, or one below a wildcard; the name that is sent does not count then."""
    elsewhere = "{type: Hostname, hostname: elsewhere.example}"
    either = f"{elsewhere}, {{type: Hostname, hostname: pod.example}}"
    below = "{type: Hostname, hostname: '*.example'}"
    found = await _statuses(
        plane,
        either=policy("either", either, hostname="sent.example"),
        below=policy("below", below, hostname="sent.example"),
        neither=policy("neither", elsewhere),
    )
    assert (found["either"], found["below"]) == (200, 200)
    assert found["neither"] in NOBODY


async def _statuses(plane: Stand, **policies: str) -> dict[str, int]:
    """Return the answers to requests for Services that have a policy each, and one Pod."""
    port = free_port()
    rules = "".join(
        f"- matches: [{{path: {{value: /{name}}}}}]\n  backendRefs: [{{name: {name}, port: 80}}]\n"
        for name in policies
    )
    tls = showing(POD, ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
    async with (
        backend("pod", tls=tls) as pod,
        plane.serving(
            gateway(f"name: http, port: {port}, protocol: HTTP"),
            route("web", rules),
            *policies.values(),
            *(service(name, pod) for name in policies),
            config_map("ca", POD),
            config_map("others", SITE),
        ),
    ):
        return {name: (await get(port, "a.example", f"/{name}")).status for name in policies}


@pytest.mark.parametrize("mode", ["AllowValidOnly", "AllowInsecureFallback"])
@shows(
    "GatewayFrontendClientCertificateValidation",
    "GatewayFrontendClientCertificateValidationInsecureFallback",
)
async def test_clients_are_let_in_by_what_they_show(plane: Stand, mode: str) -> None:
    """Only those with a good certificate, and backends are told; or everybody, told of nobody."""
    port = free_port()
    shown = "tls: {certificateRefs: [{name: site}]}"
    listener = f"name: https, port: {port}, protocol: HTTPS, {shown}"
    async with (
        backend("one") as one,
        plane.serving(
            asking(gateway(listener), "ca", mode=mode),
            route("web", "- backendRefs: [{name: web, port: 80}]"),
            service("web", one),
            secret("site", SITE),
            config_map("ca", ALICE),
        ),
    ):
        good, bad, none = [await _asks(port, each) for each in (ALICE, MALLORY, None)]

    is_strict = mode == "AllowValidOnly"
    others = None if is_strict else "one"
    assert (good, bad, none) == ("one", others, others)
    told = ["x-forwarded-client-cert" in headers_of(head) for head in one.requests]
    assert told == ([True] if is_strict else [False] * 3)


@shows(
    "BackendTLSPolicy",
    "GatewayFrontendClientCertificateValidation",
    "ListenerSet",
    "TLSRouteModeTerminate",
)
async def test_listeners_of_a_set_ask_what_its_gateway_does_and_streams_go_on_by_tls(
    plane: Stand,
) -> None:
    """One port: HTTPS lets in by certificate; what TLS ended around goes on by a policy's TLS."""
    port, other = free_port(), free_port()
    shown = "tls: {mode: Terminate, certificateRefs: [{name: site}]}"
    owner = gateway(f"name: http, port: {other}, protocol: HTTP")
    owner += "  allowedListeners: {namespaces: {from: Same}}"
    more = listener_set(
        "more",
        f"name: https, port: {port}, protocol: HTTPS, hostname: a.example, {shown}",
        f"name: ends, port: {port}, protocol: TLS, hostname: b.example, {shown}",
        f"name: vain, port: {port}, protocol: TLS, hostname: '*.b.example', {shown}",
    )
    rules, parent = "- backendRefs: [{name: web, port: 80}]", "kind: ListenerSet, name: more"
    tls = showing(POD, ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
    async with (
        backend("pod", tls=tls) as pod,
        plane.serving(
            asking(owner, "clients"),
            more,
            route("web", rules, parent=f"{parent}, sectionName: https"),
            route("inside", rules, parent=f"{parent}, sectionName: ends", kind="TLSRoute"),
            route(
                "vain",
                rules.replace("web", "vain"),
                parent=f"{parent}, sectionName: vain",
                kind="TLSRoute",
            ),
            policy("web"),
            policy("vain", hostname="other.example"),
            service("web", pod),
            service("vain", pod),
            secret("site", SITE),
            config_map("ca", POD),
            config_map("clients", ALICE),
        ),
    ):
        assert await _asks(port, ALICE) == "pod"
        assert await _asks(port, None) is None
        assert await _asks(port, None, sni="b.example") == "pod"
        assert await _asks(port, None, sni="c.b.example") is None


async def _asks(port: int, client: Identity | None, *, sni: str = "a.example") -> str | None:
    """Return the answer to a client that shows this certificate; None if it was turned away."""
    context = trusting(SITE.chain_pem)
    context = showing(client, context) if client is not None else context
    try:
        async with connected(port, tls=context, sni=sni) as connection:
            return (await connection.ask(sni)).body
    except (ssl.SSLError, ConnectionError, EOFError):
        return None
