"""The kinds we read, and where the API serves them."""

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from onehop.cluster import calico, cilium
from onehop.cluster.calico import BGPConfiguration, BlockAffinity, IPPool
from onehop.cluster.cilium import CiliumNode
from onehop.cluster.configmap import ConfigMap
from onehop.cluster.definition import CustomResourceDefinition
from onehop.cluster.gateway import Gateway, GatewayClass
from onehop.cluster.gateway_backendtls import BackendTLSPolicy
from onehop.cluster.gateway_grant import ReferenceGrant
from onehop.cluster.gateway_grpc import GRPCRoute
from onehop.cluster.gateway_http import HTTPRoute
from onehop.cluster.gateway_listenerset import ListenerSet
from onehop.cluster.gateway_ref import API_VERSION as GATEWAY_API
from onehop.cluster.gateway_ref import GROUP as GATEWAY_GROUP
from onehop.cluster.gateway_stream import TCPRoute, TLSRoute, UDPRoute
from onehop.cluster.ingress import Ingress, IngressClass
from onehop.cluster.node import Namespace, Node
from onehop.cluster.secret import Secret
from onehop.cluster.service import Service
from onehop.cluster.slice import EndpointSlice
from onehop.model.ident import ObjectRef

ClusterObject: TypeAlias = (
    Service
    | EndpointSlice
    | Node
    | Namespace
    | Ingress
    | IngressClass
    | Secret
    | ConfigMap
    | BlockAffinity
    | IPPool
    | BGPConfiguration
    | CiliumNode
    | GatewayClass
    | Gateway
    | ListenerSet
    | HTTPRoute
    | GRPCRoute
    | TLSRoute
    | TCPRoute
    | UDPRoute
    | ReferenceGrant
    | BackendTLSPolicy
    | CustomResourceDefinition
)


class Kind(StrEnum):
    """The kinds we read."""

    SERVICE = "Service"
    ENDPOINT_SLICE = "EndpointSlice"
    NODE = "Node"
    NAMESPACE = "Namespace"
    INGRESS = "Ingress"
    INGRESS_CLASS = "IngressClass"
    SECRET = "Secret"  # noqa: S105  a kind, not a password
    CONFIG_MAP = "ConfigMap"
    BLOCK_AFFINITY = "BlockAffinity"
    IP_POOL = "IPPool"
    BGP_CONFIGURATION = "BGPConfiguration"
    CILIUM_NODE = "CiliumNode"
    GATEWAY_CLASS = "GatewayClass"
    GATEWAY = "Gateway"
    LISTENER_SET = "ListenerSet"
    HTTP_ROUTE = "HTTPRoute"
    GRPC_ROUTE = "GRPCRoute"
    TLS_ROUTE = "TLSRoute"
    TCP_ROUTE = "TCPRoute"
    UDP_ROUTE = "UDPRoute"
    REFERENCE_GRANT = "ReferenceGrant"
    BACKEND_TLS_POLICY = "BackendTLSPolicy"
    DEFINITION = "CustomResourceDefinition"


class Resource(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How one kind is served and decoded.

    Attributes:
        api_version: `v1` or `group/version`, as in an object's `apiVersion`.
        plural: the last element of its URL.
        is_custom: whether a cluster may do without: its CustomResourceDefinition comes with some
            network plugin, or with Gateway API.
        older: versions with the same fields, newest first, that a cluster may serve instead.
    """

    api_version: str
    plural: str
    struct: type[ClusterObject]
    namespaced: bool = True
    is_custom: bool = False
    older: tuple[str, ...] = ()

    @property
    def root(self) -> str:
        """The URL path under which the API serves the group and version."""
        return (
            f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        )


def _gateway(
    struct: type[ClusterObject], plural: str, *older: str, namespaced: bool = True
) -> Resource:
    return Resource(
        api_version=GATEWAY_API,
        plural=plural,
        struct=struct,
        namespaced=namespaced,
        is_custom=True,
        older=tuple(f"{GATEWAY_GROUP}/{version}" for version in older),
    )


GATEWAY_KINDS: Final[dict[Kind, Resource]] = {
    Kind.GATEWAY_CLASS: _gateway(GatewayClass, "gatewayclasses", "v1beta1", namespaced=False),
    Kind.GATEWAY: _gateway(Gateway, "gateways", "v1beta1"),
    Kind.LISTENER_SET: _gateway(ListenerSet, "listenersets"),
    Kind.HTTP_ROUTE: _gateway(HTTPRoute, "httproutes", "v1beta1"),
    Kind.GRPC_ROUTE: _gateway(GRPCRoute, "grpcroutes"),
    Kind.TLS_ROUTE: _gateway(TLSRoute, "tlsroutes", "v1alpha3", "v1alpha2"),
    Kind.TCP_ROUTE: _gateway(TCPRoute, "tcproutes", "v1alpha2"),
    Kind.UDP_ROUTE: _gateway(UDPRoute, "udproutes", "v1alpha2"),
    Kind.REFERENCE_GRANT: _gateway(ReferenceGrant, "referencegrants", "v1beta1"),
    Kind.BACKEND_TLS_POLICY: _gateway(BackendTLSPolicy, "backendtlspolicies"),
}
"""The kinds of Gateway API, in the versions that release 1.6 serves."""

KINDS: Final[dict[Kind, Resource]] = {
    Kind.SERVICE: Resource(api_version="v1", plural="services", struct=Service),
    Kind.ENDPOINT_SLICE: Resource(
        api_version="discovery.k8s.io/v1", plural="endpointslices", struct=EndpointSlice
    ),
    Kind.NODE: Resource(api_version="v1", plural="nodes", struct=Node, namespaced=False),
    Kind.NAMESPACE: Resource(
        api_version="v1", plural="namespaces", struct=Namespace, namespaced=False
    ),
    Kind.INGRESS: Resource(api_version="networking.k8s.io/v1", plural="ingresses", struct=Ingress),
    Kind.INGRESS_CLASS: Resource(
        api_version="networking.k8s.io/v1",
        plural="ingressclasses",
        struct=IngressClass,
        namespaced=False,
    ),
    Kind.SECRET: Resource(api_version="v1", plural="secrets", struct=Secret),
    Kind.CONFIG_MAP: Resource(api_version="v1", plural="configmaps", struct=ConfigMap),
    Kind.BLOCK_AFFINITY: Resource(
        api_version=calico.API_VERSION,
        plural="blockaffinities",
        struct=BlockAffinity,
        namespaced=False,
        is_custom=True,
    ),
    Kind.IP_POOL: Resource(
        api_version=calico.API_VERSION,
        plural="ippools",
        struct=IPPool,
        namespaced=False,
        is_custom=True,
    ),
    Kind.BGP_CONFIGURATION: Resource(
        api_version=calico.API_VERSION,
        plural="bgpconfigurations",
        struct=BGPConfiguration,
        namespaced=False,
        is_custom=True,
    ),
    Kind.CILIUM_NODE: Resource(
        api_version=cilium.API_VERSION,
        plural="ciliumnodes",
        struct=CiliumNode,
        namespaced=False,
        is_custom=True,
    ),
    **GATEWAY_KINDS,
    Kind.DEFINITION: Resource(
        api_version="apiextensions.k8s.io/v1",
        plural="customresourcedefinitions",
        struct=CustomResourceDefinition,
        namespaced=False,
    ),
}

WANTED_KINDS: Final = frozenset((Kind.SECRET, Kind.CONFIG_MAP))
"""Kinds of which only those objects are read that something of ours names (docs/adr/0008)."""

_KIND_OF: Final = {resource.struct: kind for kind, resource in KINDS.items()}


def ref_of(item: ClusterObject) -> ObjectRef:
    """Return the name by which everybody else knows this object."""
    return ObjectRef(_KIND_OF[type(item)], item.metadata.namespace, item.metadata.name)
