"""Cilium's objects (`cilium.io/v2`).

https://docs.cilium.io/en/stable/network/concepts/ipam/cluster-pool/ and `.../multi-pool/`; the
struct is `pkg/k8s/apis/cilium.io/v2/types.go: NodeSpec`.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.cluster.meta import Meta

API_VERSION: Final = "cilium.io/v2"


class IpamPool(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a node has of one pool (IPAM mode multi-pool)."""

    cidrs: tuple[str, ...] | None = None


class IpamPools(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a node has of all pools."""

    allocated: tuple[IpamPool, ...] | None = None


class Ipam(
    msgspec.Struct,
    frozen=True,
    gc=False,
    kw_only=True,
    omit_defaults=True,
    rename={"pod_cidrs": "podCIDRs"},
):
    """Which addresses the node's Pods get (IPAM modes kubernetes and cluster-pool)."""

    pod_cidrs: tuple[str, ...] | None = None
    pools: IpamPools = IpamPools()


class CiliumNodeSpec(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What Cilium knows of a node; its addresses are the Kubernetes Node's."""

    ipam: Ipam = Ipam()


class CiliumNode(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A node, named like the Kubernetes one."""

    metadata: Meta
    spec: CiliumNodeSpec = CiliumNodeSpec()

    @property
    def pod_cidrs(self) -> Iterator[str]:
        """Every network that the node's Pods get addresses from, as it is written."""
        yield from self.spec.ipam.pod_cidrs or ()
        for pool in self.spec.ipam.pools.allocated or ():
            yield from pool.cidrs or ()
