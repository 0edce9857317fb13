"""What the Kubernetes API says, in decode-only structs that hold the fields we read and no more.

Enters: JSON or YAML values. Leaves: frozen structs. Field names follow the API's (camelCase on the
wire); `source` and `kube` produce them, `compile` reads them, data planes never see them.
"""

from onehop.cluster.calico import BGPConfiguration, BlockAffinity, IPPool
from onehop.cluster.cilium import CiliumNode
from onehop.cluster.ingress import Ingress, IngressClass
from onehop.cluster.kind import KINDS, ClusterObject, Kind, ref_of
from onehop.cluster.node import Namespace, Node
from onehop.cluster.secret import Secret
from onehop.cluster.service import Service
from onehop.cluster.slice import EndpointSlice

__all__ = [
    "KINDS",
    "BGPConfiguration",
    "BlockAffinity",
    "CiliumNode",
    "ClusterObject",
    "EndpointSlice",
    "IPPool",
    "Ingress",
    "IngressClass",
    "Kind",
    "Namespace",
    "Node",
    "Secret",
    "Service",
    "ref_of",
]
