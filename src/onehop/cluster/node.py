"""Nodes and Namespaces (core/v1)."""

import msgspec

from onehop.cluster.meta import Meta


class Taint(msgspec.Struct, frozen=True, gc=False):
    """A taint; only its key matters to us."""

    key: str


class NodeSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"pod_cidrs": "podCIDRs", "provider_id": "providerID"},
):
    """What a node was given."""

    pod_cidrs: tuple[str, ...] | None = None
    provider_id: str | None = None
    taints: tuple[Taint, ...] | None = None


class NodeAddress(msgspec.Struct, frozen=True, gc=False):
    """`InternalIP`, `ExternalIP`, `Hostname`, ..."""

    type: str
    address: str


class NodeStatus(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Where a node is. Its heartbeats and conditions are left out: they change all the time."""

    addresses: tuple[NodeAddress, ...] | None = None


class Node(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A node."""

    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class Namespace(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A namespace."""

    metadata: Meta
