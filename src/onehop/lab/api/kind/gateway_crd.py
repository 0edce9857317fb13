"""The CustomResourceDefinitions of Gateway API, to be put into a lab when it shall have them.

They are objects and not built in, because a cluster may have none, some, or older ones, and may get
them while everything runs.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from onehop.lab.api.kind.gateway_listener_schema import (
    class_schema,
    gateway_schema,
    listener_set_schema,
)
from onehop.lab.api.kind.gateway_route_schema import (
    backend_tls_schema,
    grant_schema,
    grpc_schema,
    http_schema,
    stream_schema,
    tls_schema,
)
from onehop.lab.api.kind.gateway_schema import GROUP
from onehop.lab.api.refusal import Json


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A release of Gateway API.

    Attributes:
        version: as in the annotation `gateway.networking.k8s.io/bundle-version`.
        served: the versions of each kind, the newest one first.
    """

    version: str
    channel: str = "experimental"
    served: Mapping[str, tuple[str, ...]]


RELEASE_1_6: Final = Bundle(
    version="v1.6.1",
    served={
        "GatewayClass": ("v1", "v1beta1"),
        "Gateway": ("v1", "v1beta1"),
        "ListenerSet": ("v1",),
        "HTTPRoute": ("v1", "v1beta1"),
        "GRPCRoute": ("v1",),
        "TLSRoute": ("v1",),
        "TCPRoute": ("v1",),
        "UDPRoute": ("v1",),
        "ReferenceGrant": ("v1", "v1beta1"),
        "BackendTLSPolicy": ("v1",),
    },
)
RELEASE_1_3: Final = Bundle(
    version="v1.3.0",
    served={
        "GatewayClass": ("v1", "v1beta1"),
        "Gateway": ("v1", "v1beta1"),
        "HTTPRoute": ("v1", "v1beta1"),
        "GRPCRoute": ("v1",),
        "TLSRoute": ("v1alpha3", "v1alpha2"),
        "TCPRoute": ("v1alpha2",),
        "UDPRoute": ("v1alpha2",),
        "ReferenceGrant": ("v1beta1",),
    },
)
"""One that many clusters still have: streams in alpha versions, no ListenerSets, no policies."""

_NAMES: Final = {
    "GatewayClass": ("gatewayclasses", "gc", class_schema),
    "Gateway": ("gateways", "gtw", gateway_schema),
    "ListenerSet": ("listenersets", "lset", listener_set_schema),
    "HTTPRoute": ("httproutes", "", http_schema),
    "GRPCRoute": ("grpcroutes", "", grpc_schema),
    "TLSRoute": ("tlsroutes", "", tls_schema),
    "TCPRoute": ("tcproutes", "", stream_schema),
    "UDPRoute": ("udproutes", "", stream_schema),
    "ReferenceGrant": ("referencegrants", "refgrant", grant_schema),
    "BackendTLSPolicy": ("backendtlspolicies", "btlspolicy", backend_tls_schema),
}


def gateway_definitions(bundle: Bundle = RELEASE_1_6) -> tuple[Json, ...]:
    """Return the definitions of a release."""
    return tuple(_definition(bundle, kind, versions) for kind, versions in bundle.served.items())


def _definition(bundle: Bundle, kind: str, versions: tuple[str, ...]) -> Json:
    plural, short_name, schema = _NAMES[kind]
    names = {"kind": kind, "plural": plural, "categories": ["gateway-api"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "annotations": {
                f"{GROUP}/bundle-version": bundle.version,
                f"{GROUP}/channel": bundle.channel,
            },
        },
        "spec": {
            "group": GROUP,
            "scope": "Cluster" if kind == "GatewayClass" else "Namespaced",
            "names": names | ({"shortNames": [short_name]} if short_name else {}),
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == versions[0],
                    "schema": {"openAPIV3Schema": schema()},
                    "subresources": {} if kind == "ReferenceGrant" else {"status": {}},
                    "additionalPrinterColumns": _columns(kind),
                }
                for version in versions
            ],
        },
    }


def _columns(kind: str) -> list[Json]:
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    match kind:
        case "GatewayClass":
            own = [("Controller", ".spec.controllerName"), ("Accepted", _condition("Accepted"))]
        case "Gateway":
            own = [
                ("Class", ".spec.gatewayClassName"),
                ("Address", ".status.addresses[*].value"),
                ("Programmed", _condition("Programmed")),
            ]
        case "ListenerSet":
            own = [("Accepted", _condition("Accepted")), ("Programmed", _condition("Programmed"))]
        case "HTTPRoute" | "GRPCRoute" | "TLSRoute":
            own = [("Hostnames", ".spec.hostnames")]
        case _:
            own = []
    return [*({"name": name, "type": "string", "jsonPath": path} for name, path in own), age]


def _condition(kind: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].status'
