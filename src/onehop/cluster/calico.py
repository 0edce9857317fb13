"""Calico's objects (`crd.projectcalico.org/v1`) and what it writes on Nodes.

Field names: https://docs.tigera.io/calico/latest/reference/resources/bgpconfig and `.../ippool`.
BlockAffinities are internal to its IPAM and described in its source only, in
`libcalico-go/lib/apis/v3/blockaffinity.go`; so are the annotations, with which Calico keeps its own
Node resource inside the Kubernetes one (`libcalico-go/lib/backend/k8s/resources/node.go`).
"""

from typing import Final

import msgspec

from onehop.cluster.meta import Meta

API_VERSION: Final = "crd.projectcalico.org/v1"

IPV4_ADDRESS: Final = "projectcalico.org/IPv4Address"
"""`192.168.0.1/24`: the address that BIRD on the node speaks from."""
IPV6_ADDRESS: Final = "projectcalico.org/IPv6Address"
AS_NUMBER: Final = "projectcalico.org/ASNumber"
"""Where it differs from the BGPConfiguration's."""
REFLECTOR_CLUSTER: Final = "projectcalico.org/RouteReflectorClusterID"
"""Makes the node a route reflector (RFC 4456)."""
IPV4_VXLAN_ADDRESS: Final = "projectcalico.org/IPv4VXLANTunnelAddr"
IPV6_VXLAN_ADDRESS: Final = "projectcalico.org/IPv6VXLANTunnelAddr"
IPV4_VXLAN_MAC: Final = "projectcalico.org/VXLANTunnelMACAddr"
IPV6_VXLAN_MAC: Final = "projectcalico.org/VXLANTunnelMACAddrV6"


class BlockAffinitySpec(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Which node takes addresses out of a block.

    Attributes:
        state: `confirmed`, or on its way to or from that.
        deleted: text by an old mistake that Calico keeps to; `"true"` while it is being given up.
        type: `virtual` is no node's but a controller's, for addresses of Services.
    """

    cidr: str
    node: str
    state: str = ""
    deleted: str | bool = "false"
    type: str = "host"


class BlockAffinity(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A block of addresses, a /26 or a /122 by default, that a node's Pods get theirs from."""

    metadata: Meta
    spec: BlockAffinitySpec

    @property
    def is_confirmed(self) -> bool:
        """Tell whether the node has the block: it alone gives addresses out of it."""
        spec = self.spec
        is_deleted = spec.deleted is True or spec.deleted == "true"
        return spec.state == "confirmed" and not is_deleted and spec.type in {"host", ""}


class IPPoolSpec(msgspec.Struct, frozen=True, gc=False):
    """Addresses that blocks are cut from. Pods of a disabled pool keep theirs, so it counts too."""

    cidr: str


class IPPool(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An IPPool."""

    metadata: Meta
    spec: IPPoolSpec


class BGPConfigurationSpec(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """How Calico's BIRD speaks; None is Calico's default.

    Attributes:
        as_number: of every node that has none of its own; 64512 by default.
        node_to_node_mesh_enabled: whether every node speaks with every other; it does by default.
        listen_port: 179 by default.
    """

    as_number: int | None = None
    node_to_node_mesh_enabled: bool | None = None
    listen_port: int | None = None


class BGPConfiguration(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A BGPConfiguration; the one named `default` is the cluster's."""

    metadata: Meta
    spec: BGPConfigurationSpec = BGPConfigurationSpec()
