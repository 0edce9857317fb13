"""What the node agent reads of the API's objects, and where the API serves them.

Structs of the lab's own, not those of `onehop.cluster`: the lab shall not share a misreading with
the program it tests. Unknown fields are passed over.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from onehop.kube import Collection

CALICO: Final = "crd.projectcalico.org/v1"


class Meta(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """`metadata`."""

    name: str
    namespace: str = ""
    uid: str = ""
    deletion_timestamp: str | None = None
    labels: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])


class ServicePort(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One port of a Service."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    node_port: int = 0


class ClientIp(msgspec.Struct, frozen=True, rename="camel"):
    """`sessionAffinityConfig.clientIP`."""

    timeout_seconds: int = 10800


class AffinityConfig(msgspec.Struct, frozen=True, rename={"client_ip": "clientIP"}):
    """`sessionAffinityConfig`."""

    client_ip: ClientIp = ClientIp()


class ServiceSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "cluster_ips": "clusterIPs",
        "external_ips": "externalIPs",
        "external_traffic_policy": "externalTrafficPolicy",
        "internal_traffic_policy": "internalTrafficPolicy",
        "health_check_node_port": "healthCheckNodePort",
        "session_affinity": "sessionAffinity",
        "session_affinity_config": "sessionAffinityConfig",
        "source_ranges": "loadBalancerSourceRanges",
    },
):
    """What a Service asks for."""

    type: str = "ClusterIP"
    ports: tuple[ServicePort, ...] = ()
    cluster_ips: tuple[str, ...] = ()
    external_ips: tuple[str, ...] = ()
    external_traffic_policy: str = "Cluster"
    internal_traffic_policy: str = "Cluster"
    health_check_node_port: int = 0
    session_affinity: str = "None"
    session_affinity_config: AffinityConfig = AffinityConfig()
    source_ranges: tuple[str, ...] = ()


class Ingress(msgspec.Struct, frozen=True, rename={"ip_mode": "ipMode"}, kw_only=True):
    """One entry of `status.loadBalancer.ingress`; `ipMode` is KEP-1860's."""

    ip: str = ""
    ip_mode: str = "VIP"


class LoadBalancer(msgspec.Struct, frozen=True):
    """`status.loadBalancer`."""

    ingress: tuple[Ingress, ...] = ()


class ServiceStatus(msgspec.Struct, frozen=True, rename="camel"):
    """`status` of a Service."""

    load_balancer: LoadBalancer = LoadBalancer()


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A Service (core/v1)."""

    metadata: Meta
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class Conditions(msgspec.Struct, frozen=True):
    """KEP-1672: None is unknown."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class SliceEndpoint(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An endpoint of a slice."""

    addresses: tuple[str, ...]
    conditions: Conditions = Conditions()
    node_name: str | None = None


class SlicePort(msgspec.Struct, frozen=True, kw_only=True):
    """A port of a slice."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class EndpointSlice(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An EndpointSlice (discovery.k8s.io/v1); the API writes `null` for empty lists."""

    metadata: Meta
    address_type: str
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[SlicePort, ...] | None = None

    @property
    def service(self) -> tuple[str, str]:
        """Namespace and name of the Service it belongs to; an empty name if to none."""
        name = self.metadata.labels.get("kubernetes.io/service-name", "")
        return self.metadata.namespace, name


class NodeSpec(msgspec.Struct, frozen=True, rename={"pod_cidrs": "podCIDRs"}):
    """`spec` of a Node."""

    pod_cidrs: tuple[str, ...] = ()


class NodeAddress(msgspec.Struct, frozen=True):
    """One of `status.addresses`."""

    type: str
    address: str


class NodeStatus(msgspec.Struct, frozen=True):
    """`status` of a Node."""

    addresses: tuple[NodeAddress, ...] = ()


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A Node (core/v1)."""

    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def internal_ips(self) -> tuple[str, ...]:
        """Its InternalIPs."""
        return tuple(each.address for each in self.status.addresses if each.type == "InternalIP")


class BgpConfigurationSpec(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """`spec` of a BGPConfiguration."""

    as_number: int | None = None
    node_to_node_mesh_enabled: bool = True
    listen_port: int | None = None


class BgpConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """A BGPConfiguration (crd.projectcalico.org/v1)."""

    metadata: Meta
    spec: BgpConfigurationSpec = BgpConfigurationSpec()


class SecretKeyRef(msgspec.Struct, frozen=True):
    """A key of a Secret in calico-node's namespace."""

    name: str
    key: str


class Password(msgspec.Struct, frozen=True, rename="camel"):
    """`password` of a BGPPeer."""

    secret_key_ref: SecretKeyRef | None = None


class BgpPeerSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "node_selector": "nodeSelector",
        "peer_ip": "peerIP",
        "peer_selector": "peerSelector",
        "as_number": "asNumber",
        "source_address": "sourceAddress",
        "keep_next_hop": "keepOriginalNextHop",
        "max_restart_time": "maxRestartTime",
        "failure_detection": "failureDetectionMode",
    },
):
    """`spec` of a BGPPeer.

    Attributes:
        node: of this node only; with neither this nor `node_selector` it is everybody's.
        peer_ip: `10.0.0.1`, `10.0.0.1:180`, `fd00::1` or `[fd00::1]:180`.
        peer_selector: nodes to speak with, in place of `peer_ip`.
        source_address: `UseNodeIP` (the default) or `None`.
        max_restart_time: how long we keep its routes while it restarts, such as `120s`.
        failure_detection: `BFDIfDirectlyConnected` (Calico Enterprise) or None.
    """

    node: str = ""
    node_selector: str = ""
    peer_ip: str = ""
    peer_selector: str = ""
    as_number: int = 0
    password: Password | None = None
    source_address: str = "UseNodeIP"
    keep_next_hop: bool = False
    max_restart_time: str = ""
    failure_detection: str = ""


class BgpPeer(msgspec.Struct, frozen=True, kw_only=True):
    """A BGPPeer."""

    metadata: Meta
    spec: BgpPeerSpec = BgpPeerSpec()


class BlockAffinitySpec(msgspec.Struct, frozen=True, kw_only=True):
    """`spec` of a BlockAffinity."""

    cidr: str
    node: str
    state: str = "confirmed"
    deleted: str = "false"


class BlockAffinity(msgspec.Struct, frozen=True, kw_only=True):
    """A BlockAffinity: the node takes its Pods' addresses out of the block."""

    metadata: Meta
    spec: BlockAffinitySpec


class IpPoolSpec(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """`spec` of an IPPool."""

    cidr: str
    vxlan_mode: str = "Never"
    disable_bgp_export: bool = msgspec.field(name="disableBGPExport", default=False)


class IpPool(msgspec.Struct, frozen=True, kw_only=True):
    """An IPPool."""

    metadata: Meta
    spec: IpPoolSpec


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A Secret; the values are base64, as they are on the wire."""

    metadata: Meta
    data: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])


class Probe(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A readinessProbe."""

    http_get: "HttpGet | None" = None
    period_seconds: int = 10
    failure_threshold: int = 3
    timeout_seconds: int = 1


class HttpGet(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe asks for."""

    port: int
    path: str = "/"


class Container(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A container of a Pod."""

    name: str = ""
    readiness_probe: Probe | None = None


class PodSpec(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """`spec` of a Pod."""

    node_name: str = ""
    containers: tuple[Container, ...] = ()


class PodCondition(msgspec.Struct, frozen=True, kw_only=True):
    """One of `status.conditions`."""

    type: str
    status: str


class PodIp(msgspec.Struct, frozen=True):
    """One of `status.podIPs`."""

    ip: str


class PodStatus(
    msgspec.Struct, frozen=True, kw_only=True, rename={"pod_ip": "podIP", "pod_ips": "podIPs"}
):
    """`status` of a Pod."""

    phase: str = "Pending"
    pod_ip: str = ""
    pod_ips: tuple[PodIp, ...] = ()
    conditions: tuple[PodCondition, ...] = ()


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """A Pod (core/v1)."""

    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def is_ready(self) -> bool:
        """What its condition Ready says."""
        return any(
            each.type == "Ready" and each.status == "True" for each in self.status.conditions
        )


SERVICES: Final = Collection(kind="Service", api_version="v1", plural="services", struct=Service)
SLICES: Final = Collection(
    kind="EndpointSlice",
    api_version="discovery.k8s.io/v1",
    plural="endpointslices",
    struct=EndpointSlice,
)
NODES: Final = Collection(
    kind="Node", api_version="v1", plural="nodes", struct=Node, namespaced=False
)
PODS: Final = Collection(kind="Pod", api_version="v1", plural="pods", struct=Pod)
SECRETS: Final = Collection(kind="Secret", api_version="v1", plural="secrets", struct=Secret)
BGP_CONFIGURATIONS: Final = Collection(
    kind="BGPConfiguration",
    api_version=CALICO,
    plural="bgpconfigurations",
    struct=BgpConfiguration,
    namespaced=False,
)
BGP_PEERS: Final = Collection(
    kind="BGPPeer", api_version=CALICO, plural="bgppeers", struct=BgpPeer, namespaced=False
)
BLOCK_AFFINITIES: Final = Collection(
    kind="BlockAffinity",
    api_version=CALICO,
    plural="blockaffinities",
    struct=BlockAffinity,
    namespaced=False,
)
IP_POOLS: Final = Collection(
    kind="IPPool", api_version=CALICO, plural="ippools", struct=IpPool, namespaced=False
)
