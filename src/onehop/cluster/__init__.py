"""What the Kubernetes API says, in decode-only structs that hold the fields we read and no more.

Enters: JSON or YAML values. Leaves: frozen structs. Field names follow the API's (camelCase on the
wire); `source` and `kube` produce them, `compile` reads them, data planes never see them.
"""

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
from onehop.cluster.gateway_stream import TCPRoute, TLSRoute, UDPRoute
from onehop.cluster.ingress import Ingress, IngressClass
from onehop.cluster.kind import GATEWAY_KINDS, KINDS, WANTED_KINDS, ClusterObject, Kind, ref_of
from onehop.cluster.node import Namespace, Node
from onehop.cluster.secret import Secret
from onehop.cluster.service import Service
from onehop.cluster.slice import EndpointSlice

__all__ = [
    "GATEWAY_KINDS",
    "KINDS",
    "WANTED_KINDS",
    "BGPConfiguration",
    "BackendTLSPolicy",
    "BlockAffinity",
    "CiliumNode",
    "ClusterObject",
    "ConfigMap",
    "CustomResourceDefinition",
    "EndpointSlice",
    "GRPCRoute",
    "Gateway",
    "GatewayClass",
    "HTTPRoute",
    "IPPool",
    "Ingress",
    "IngressClass",
    "Kind",
    "ListenerSet",
    "Namespace",
    "Node",
    "ReferenceGrant",
    "Secret",
    "Service",
    "TCPRoute",
    "TLSRoute",
    "UDPRoute",
    "ref_of",
]
