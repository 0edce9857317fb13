"""What the tests of Gateway API share: objects from short YAML, and what they are compiled to."""

import json
from collections.abc import Iterator
from typing import Final

from onehop.cluster import ClusterObject
from onehop.compile.compiler import Compiler
from onehop.compile.options import AddressPool, Options
from onehop.control.abilities import lacks_of
from onehop.model.address import IpAddr
from onehop.source.manifests_decode import Fault, decode_document
from onehop.source.manifests_text import parse_text
from tests.driver_envoy.world import ADDRESS, Backend, identity

VIP: Final = IpAddr("127.0.0.3")
OPTIONS: Final = Options(
    address_pools=(AddressPool(name="local", ranges=((VIP, VIP),)),),
    allows_loopback=True,
)

CLASS: Final = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: onehop}
spec: {controllerName: onehop.dev/gateway-controller}
"""


def objects(text: str) -> Iterator[ClusterObject]:
    """Yield the objects of a few YAML documents."""
    documents = parse_text(text, is_json=False)
    assert isinstance(documents, list), documents
    for document in documents:
        for found in decode_document(document):
            assert not isinstance(found, Fault), found
            yield found


def gateway(*listeners: str) -> str:
    """Return a Gateway with these listeners."""
    lines = "".join(f"  - {{{listener}}}\n" for listener in listeners)
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: public, namespace: shop}}
spec:
  gatewayClassName: onehop
  listeners:
{lines}"""


def http(port: int, *, name: str = "http", hostname: str = "") -> str:
    """Return a listener for requests, as `gateway` takes it."""
    host = f", hostname: '{hostname}'" if hostname else ""
    return f"name: {name}, port: {port}, protocol: HTTP{host}"


def listener_set(name: str, *listeners: str, created: str = "2026-01-01T00:00:00Z") -> str:
    """Return a ListenerSet of the Gateway with these listeners."""
    lines = "".join(f"  - {{{listener}}}\n" for listener in listeners)
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {{name: {name}, namespace: shop, creationTimestamp: '{created}'}}
spec:
  parentRef: {{name: public}}
  listeners:
{lines}"""


def route(  # noqa: PLR0913  what a route may say, by name
    name: str,
    rules: str,
    *,
    hostnames: str = "",
    parent: str = "name: public",
    kind: str = "HTTPRoute",
    annotations: str = "",
) -> str:
    """Return a route; `rules` is a list in YAML."""
    indented = "".join(f"  {line}\n" for line in rules.strip("\n").splitlines())
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{annotations: {{{annotations}}}, name: {name}, namespace: shop}}
spec:
  parentRefs: [{{{parent}}}]
  hostnames: [{hostnames}]
  rules:
{indented}"""


def secret(name: str, *hostnames: str) -> str:
    """Return a Secret with a certificate for these hosts that nobody has signed."""
    made = identity(name, *hostnames).certificate
    held = {"tls.crt": made.chain_pem, "tls.key": made.key_pem.reveal}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": "shop"},
            "type": "kubernetes.io/tls",
            "stringData": held,
        }
    )


def stream_route(kind: str, name: str, *, listener: str) -> str:
    """Return a TCPRoute or a UDPRoute from a listener to the Service of the same name."""
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: shop}}
spec:
  parentRefs: [{{name: public, sectionName: {listener}}}]
  rules: [{{backendRefs: [{{name: {name}, port: 80}}]}}]
"""


def service(
    name: str, backend: Backend | int, *, app_protocol: str = "", protocol: str = "TCP"
) -> str:
    """Return a Service, and the slice that leads to a backend or a port."""
    port = backend if isinstance(backend, int) else backend.port
    said = f", protocol: {protocol}" + (f", appProtocol: {app_protocol}" if app_protocol else "")
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{ports: [{{name: http, port: 80{said}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, namespace: shop, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: {port}, protocol: {protocol}}}]
endpoints: [{{addresses: ['{ADDRESS}']}}]
"""


def compiled(*texts: str, options: Options = OPTIONS, driver: str = "") -> Compiler:
    """Return a compiler that has settled a class of ours and these objects, for a data plane."""
    compiler = Compiler(options)
    compiler.set_lacks(lacks_of(driver))
    for item in objects("\n---\n".join((CLASS, *texts))):
        compiler.put(item)
    compiler.settle()
    return compiler
