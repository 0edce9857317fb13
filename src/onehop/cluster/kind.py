"""The kinds we read, and where the API serves them."""

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from onehop.cluster import calico, cilium
from onehop.cluster.calico import BGPConfiguration, BlockAffinity, IPPool
from onehop.cluster.cilium import CiliumNode
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
    | BlockAffinity
    | IPPool
    | BGPConfiguration
    | CiliumNode
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
    BLOCK_AFFINITY = "BlockAffinity"
    IP_POOL = "IPPool"
    BGP_CONFIGURATION = "BGPConfiguration"
    CILIUM_NODE = "CiliumNode"


class Resource(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How one kind is served and decoded.

    Attributes:
        api_version: `v1` or `group/version`, as in an object's `apiVersion`.
        plural: the last element of its URL.
        is_custom: whether a cluster may do without: its CustomResourceDefinition comes with some
            network plugin.
    """

    api_version: str
    plural: str
    struct: type[ClusterObject]
    namespaced: bool = True
    is_custom: bool = False

    @property
    def root(self) -> str:
        """The URL path under which the API serves the group and version."""
        return (
            f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        )


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
}

_KIND_OF: Final = {resource.struct: kind for kind, resource in KINDS.items()}


def ref_of(item: ClusterObject) -> ObjectRef:
    """Return the name by which everybody else knows this object."""
    return ObjectRef(_KIND_OF[type(item)], item.metadata.namespace, item.metadata.name)
