"""Services (core/v1)."""

import msgspec

from onehop.cluster.meta import Meta


class ServicePort(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """One port of a Service.

    Attributes:
        name: empty when the Service has one unnamed port.
        target_port: only EndpointSlices resolve it; here to notice that it changed.
        node_port: 0 when none is allocated.
    """

    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None
    target_port: int | str | None = None
    node_port: int = 0


class ClientIpConfig(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """`sessionAffinityConfig.clientIP`."""

    timeout_seconds: int | None = None


class AffinityConfig(msgspec.Struct, frozen=True, rename={"client_ip": "clientIP"}):
    """`sessionAffinityConfig`."""

    client_ip: ClientIpConfig | None = None


class ServiceSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "load_balancer_class": "loadBalancerClass",
        "load_balancer_ip": "loadBalancerIP",
        "load_balancer_source_ranges": "loadBalancerSourceRanges",
        "external_traffic_policy": "externalTrafficPolicy",
        "health_check_node_port": "healthCheckNodePort",
        "allocate_load_balancer_node_ports": "allocateLoadBalancerNodePorts",
        "session_affinity": "sessionAffinity",
        "session_affinity_config": "sessionAffinityConfig",
        "ip_families": "ipFamilies",
        "ip_family_policy": "ipFamilyPolicy",
        "cluster_ip": "clusterIP",
        "external_name": "externalName",
        "publish_not_ready_addresses": "publishNotReadyAddresses",
    },
):
    """What a Service asks for."""

    type: str = "ClusterIP"
    ports: tuple[ServicePort, ...] | None = None
    load_balancer_class: str | None = None
    load_balancer_ip: str | None = None
    load_balancer_source_ranges: tuple[str, ...] | None = None
    external_traffic_policy: str = "Cluster"
    health_check_node_port: int = 0
    allocate_load_balancer_node_ports: bool | None = None
    session_affinity: str = "None"
    session_affinity_config: AffinityConfig | None = None
    ip_families: tuple[str, ...] | None = None
    ip_family_policy: str | None = None
    cluster_ip: str | None = None
    external_name: str | None = None
    publish_not_ready_addresses: bool = False


class PortStatus(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What became of one port (KEP-1435)."""

    port: int
    protocol: str
    error: str | None = None


class IngressAddress(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"ip_mode": "ipMode"}
):
    """One entry of `status.loadBalancer.ingress` of a Service or an Ingress."""

    ip: str | None = None
    hostname: str | None = None
    ip_mode: str | None = None
    ports: tuple[PortStatus, ...] | None = None


class LoadBalancerStatus(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """`status.loadBalancer`."""

    ingress: tuple[IngressAddress, ...] | None = None


class Condition(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """metav1.Condition."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str = ""


class ServiceStatus(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """What was written back."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()
    conditions: tuple[Condition, ...] | None = None


class Service(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A Service."""

    metadata: Meta
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()
