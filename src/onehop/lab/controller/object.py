"""What the controller reads of the API's objects; structs of the lab's own, and decode-only."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from onehop.kube import Collection
from onehop.lab.controller.calico import VERSION


class Meta(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """`metadata`."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    labels: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])


class ServicePort(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One port of a Service; `targetPort` is a number, or the name of a container's port."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None
    target_port: int | str | None = None


class ServiceSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "ip_families": "ipFamilies",
        "publish_not_ready": "publishNotReadyAddresses",
        "cluster_ip": "clusterIP",
    },
):
    """`spec` of a Service."""

    type: str = "ClusterIP"
    cluster_ip: str = ""
    ports: tuple[ServicePort, ...] = ()
    selector: Mapping[str, str] | None = None
    ip_families: tuple[str, ...] = ()
    publish_not_ready: bool = False


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A Service."""

    metadata: Meta
    spec: ServiceSpec = ServiceSpec()


class ContainerPort(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A port of a container."""

    container_port: int
    name: str = ""
    protocol: str = "TCP"


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """A container."""

    ports: tuple[ContainerPort, ...] = ()


class PodSpec(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """`spec` of a Pod."""

    node_name: str = ""
    containers: tuple[Container, ...] = ()


class PodIp(msgspec.Struct, frozen=True):
    """One of `status.podIPs`."""

    ip: str


class Condition(msgspec.Struct, frozen=True):
    """One of `status.conditions`."""

    type: str
    status: str


class PodStatus(msgspec.Struct, frozen=True, kw_only=True, rename={"pod_ips": "podIPs"}):
    """`status` of a Pod."""

    phase: str = "Pending"
    pod_ips: tuple[PodIp, ...] = ()
    conditions: tuple[Condition, ...] = ()


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """A Pod."""

    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def is_ready(self) -> bool:
        """What its condition Ready says."""
        return any(
            each.type == "Ready" and each.status == "True" for each in self.status.conditions
        )

    def address(self, family: str) -> str:
        """Return its address of a family (`IPv4`, `IPv6`), or ""."""
        return next(
            (each.ip for each in self.status.pod_ips if (":" in each.ip) == (family == "IPv6")), ""
        )


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A Node."""

    metadata: Meta


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """An EndpointSlice as it is in the API, its contents as JSON to compare with."""

    metadata: Meta
    address_type: str = msgspec.field(name="addressType")
    endpoints: list[dict[str, Any]] | None = None
    ports: list[dict[str, Any]] | None = None


class AffinitySpec(msgspec.Struct, frozen=True):
    """`spec` of a BlockAffinity."""

    cidr: str
    node: str


class Affinity(msgspec.Struct, frozen=True):
    """A BlockAffinity."""

    metadata: Meta
    spec: AffinitySpec


class PoolSpec(msgspec.Struct, frozen=True, rename="camel"):
    """`spec` of an IPPool."""

    cidr: str
    block_size: int


class Pool(msgspec.Struct, frozen=True):
    """An IPPool."""

    metadata: Meta
    spec: PoolSpec


SERVICES: Final = Collection(kind="Service", api_version="v1", plural="services", struct=Service)
PODS: Final = Collection(kind="Pod", api_version="v1", plural="pods", struct=Pod)
NODES: Final = Collection(
    kind="Node", api_version="v1", plural="nodes", struct=Node, namespaced=False
)
SLICES: Final = Collection(
    kind="EndpointSlice",
    api_version="discovery.k8s.io/v1",
    plural="endpointslices",
    struct=Slice,
)
AFFINITIES: Final = Collection(
    kind="BlockAffinity",
    api_version=VERSION,
    plural="blockaffinities",
    struct=Affinity,
    namespaced=False,
)
POOLS: Final = Collection(
    kind="IPPool", api_version=VERSION, plural="ippools", struct=Pool, namespaced=False
)
