"""Small objects of nodes and of network plugins, and a compiler that has been told them."""

from typing import Any

from onehop.cluster import (
    BGPConfiguration,
    BlockAffinity,
    CiliumNode,
    ClusterObject,
    IPPool,
    Node,
)
from onehop.cluster.calico import BGPConfigurationSpec, BlockAffinitySpec, IPPoolSpec
from onehop.cluster.cilium import CiliumNodeSpec, Ipam, IpamPool, IpamPools
from onehop.cluster.meta import Meta
from onehop.cluster.node import NodeAddress, NodeSpec, NodeStatus, Taint
from onehop.compile.compiler import Compiler
from onehop.compile.options import Options


def node(
    name: str,
    *addresses: str,
    cidrs: tuple[str, ...] = (),
    taint: str = "",
    created: str = "",
    **notes: str,
) -> Node:
    """Return a node; `notes` are annotations whose names are given without their domain."""
    return Node(
        metadata=Meta(
            name=name,
            creation_timestamp=created,
            annotations={f"projectcalico.org/{key}": text for key, text in notes.items()},
        ),
        spec=NodeSpec(pod_cidrs=cidrs, taints=(Taint(taint),) if taint else None),
        status=NodeStatus(tuple(NodeAddress("InternalIP", address) for address in addresses)),
    )


def affinity(
    cidr: str, node_name: str, *, name: str = "", created: str = "", **spec: Any
) -> BlockAffinity:
    """Return a confirmed BlockAffinity, named after the node and the block as Calico does."""
    made = f"{node_name}-{cidr}".translate(str.maketrans(".:/", "---"))
    return BlockAffinity(
        metadata=Meta(name=name or made, creation_timestamp=created),
        spec=BlockAffinitySpec(cidr=cidr, node=node_name, **{"state": "confirmed", **spec}),
    )


def cilium_node(name: str, *cidrs: str, pooled: tuple[str, ...] = ()) -> CiliumNode:
    """Return a CiliumNode; `pooled` are networks of the IPAM mode multi-pool."""
    pools = IpamPools((IpamPool(pooled),)) if pooled else IpamPools()
    return CiliumNode(
        metadata=Meta(name=name), spec=CiliumNodeSpec(ipam=Ipam(pod_cidrs=cidrs, pools=pools))
    )


def ip_pool(cidr: str, name: str = "default-ipv4-ippool") -> IPPool:
    """Return an IPPool."""
    return IPPool(metadata=Meta(name=name), spec=IPPoolSpec(cidr=cidr))


def bgp_configuration(
    *, asn: int | None = None, mesh: bool | None = None, port: int | None = None
) -> BGPConfiguration:
    """Return the BGPConfiguration `default`."""
    spec = BGPConfigurationSpec(as_number=asn, node_to_node_mesh_enabled=mesh, listen_port=port)
    return BGPConfiguration(metadata=Meta(name="default"), spec=spec)


def compiled(options: Options, *items: ClusterObject) -> Compiler:
    """Return a compiler that has settled with these objects."""
    compiler = Compiler(options)
    for item in items:
        compiler.put(item)
    compiler.settle()
    return compiler


def noted(name: str, cidrs: tuple[str, ...], notes: dict[str, str]) -> Node:
    """Return a node with podCIDRs and annotations as they are given."""
    return Node(metadata=Meta(name=name, annotations=notes), spec=NodeSpec(pod_cidrs=cidrs))
