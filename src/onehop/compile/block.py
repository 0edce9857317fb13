"""Which node the addresses of a prefix belong to, and by which addresses packets reach that node.

Three kinds of object can say it: Calico's BlockAffinities, CiliumNodes, and `spec.podCIDRs` of the
Nodes, which many clusters fill in and leave unused. So only one kind counts at a time. A node that
is NotReady or takes no NodePort traffic has its blocks all the same: its Pods' addresses are where
they are.

Every prefix is a cell, and so are the addresses of every node: a new label on a node, or one more
block, recomputes nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from onehop.cluster import BlockAffinity, CiliumNode, Node, calico
from onehop.cluster.meta import Meta
from onehop.compile.backend import options_of
from onehop.compile.inputs import BLOCK_AFFINITIES, CILIUM_NODES, NODE_REFS, NODES, ONLY
from onehop.compile.options import AllocationSource, TunnelKind
from onehop.compile.sheet import Cell, Derived, Index, Reader, Whole
from onehop.model.address import Cidr, IpAddr, is_ipv6, parse_cidr, parse_ip
from onehop.model.ident import ObjectRef
from onehop.model.network import Block
from onehop.model.problem import Problem, Reason, Severity


class _Claim(msgspec.Struct, frozen=True, gc=False):
    """An object that says which node has a prefix."""

    ref: ObjectRef
    node: str
    age_key: tuple[str, str, str]
    field: str


def interface_address(text: str | None) -> IpAddr | None:
    """Return the address of `192.168.0.1/24`, as Calico writes it, or None."""
    return parse_ip((text or "").partition("/")[0])


def _parsed(texts: Iterable[str]) -> tuple[Cidr, ...]:
    prefixes = (parse_cidr(text) for text in texts)
    return tuple(prefix for prefix in prefixes if prefix is not None)


AFFINITIES_BY_PREFIX: Final = Index[ObjectRef, BlockAffinity, Cidr](
    BLOCK_AFFINITIES,
    "prefix",
    lambda _, item: _parsed((item.spec.cidr,)) if item.is_confirmed else (),
)
CILIUM_NODES_BY_PREFIX: Final = Index[ObjectRef, CiliumNode, Cidr](
    CILIUM_NODES, "prefix", lambda _, item: _parsed(item.pod_cidrs)
)
NODES_BY_PREFIX: Final = Index[ObjectRef, Node, Cidr](
    NODES, "prefix", lambda _, item: _parsed(item.spec.pod_cidrs or ())
)
ANY_AFFINITY: Final = Index[ObjectRef, BlockAffinity, tuple[()]](
    BLOCK_AFFINITIES, "any", lambda _, item: (ONLY,) if item.is_confirmed else ()
)
ANY_CILIUM_NODE: Final = Index[ObjectRef, CiliumNode, tuple[()]](
    CILIUM_NODES, "any", lambda _, item: (ONLY,) if any(item.pod_cidrs) else ()
)


# Which kind counts.


def _resolve(reader: Reader) -> AllocationSource:
    wanted = options_of(reader).allocation
    if wanted is not AllocationSource.AUTO:
        return wanted
    if reader.any(ANY_AFFINITY, ONLY) is not None:
        return AllocationSource.CALICO
    if reader.any(ANY_CILIUM_NODE, ONLY) is not None:
        return AllocationSource.CILIUM
    return AllocationSource.NODES


def _compute_allocation(reader: Reader) -> Mapping[tuple[()], Cell[AllocationSource]]:
    return {ONLY: Cell(_resolve(reader))}


ALLOCATION: Final = Whole[tuple[()], AllocationSource]("allocation", _compute_allocation)
"""The kind that counts: never AUTO. It changes rarely, and who reads it is spared the rest."""


# The addresses of a node.


def node_ref(name: str) -> ObjectRef:
    """Return the reference of a node by its name."""
    return ObjectRef("Node", "", name)


def _compute_hops(reader: Reader, ref: ObjectRef) -> Cell[tuple[IpAddr, ...]]:
    node = reader.need(NODES, ref)
    said = node.status.addresses or ()
    internal = [item.address for item in said if item.type == "InternalIP"]
    external = [item.address for item in said if item.type == "ExternalIP"]
    noted = [calico.IPV4_ADDRESS, calico.IPV6_ADDRESS]
    if options_of(reader).tunnel is TunnelKind.CALICO:
        noted += [calico.IPV4_VXLAN_ADDRESS, calico.IPV6_VXLAN_ADDRESS]
    texts = [*(internal or external), *(node.metadata.annotation(key) for key in noted)]
    addresses = (interface_address(text) for text in texts)
    return Cell(tuple(dict.fromkeys(ip for ip in addresses if ip is not None)))


NODE_HOPS: Final = Derived[ObjectRef, tuple[IpAddr, ...]]("node-hops", _compute_hops, (NODE_REFS,))
"""By which addresses a node is reached: what other hosts use as the next hop of its routes."""


# The blocks.


def _compute(reader: Reader, prefix: Cidr) -> Cell[Block]:
    claims = sorted(_claims(reader, prefix), key=lambda claim: (claim.age_key, claim.ref))
    if not claims:
        return Cell(None)
    owner, *later = claims
    problems = tuple(_conflict(claim, owner, prefix) for claim in later if claim.node != owner.node)
    hops = reader.get(NODE_HOPS, node_ref(owner.node)) or ()
    if options_of(reader).tunnel is TunnelKind.FLANNEL:
        hops = (*hops, tunnel_address(prefix))
    block = Block(
        prefix=prefix,
        node=owner.node,
        hops=tuple(hop for hop in hops if is_ipv6(hop) is is_ipv6(prefix)),
    )
    return Cell(block, problems)


def tunnel_address(prefix: Cidr) -> IpAddr:
    """Return the address of flannel's tunnel device: the first one of the node's podCIDR.

    https://github.com/flannel-io/flannel/blob/master/pkg/backend/vxlan/vxlan.go: the device has
    `sn.IP`, and routes to the subnet go by it, on the link.
    """
    return IpAddr(prefix.partition("/")[0])


def _claims(reader: Reader, prefix: Cidr) -> Iterator[_Claim]:
    match reader.get(ALLOCATION, ONLY):
        case AllocationSource.CALICO:
            for affinity in reader.unordered(AFFINITIES_BY_PREFIX, prefix):
                ref = _ref("BlockAffinity", affinity.metadata)
                yield _Claim(ref, affinity.spec.node, affinity.metadata.age_key, "spec.cidr")
        case AllocationSource.CILIUM:
            for member in reader.unordered(CILIUM_NODES_BY_PREFIX, prefix):
                ref = _ref("CiliumNode", member.metadata)
                yield _Claim(ref, ref.name, member.metadata.age_key, "spec.ipam")
        case _:
            for node in reader.unordered(NODES_BY_PREFIX, prefix):
                ref = _ref("Node", node.metadata)
                yield _Claim(ref, ref.name, node.metadata.age_key, "spec.podCIDRs")


def _ref(kind: str, metadata: Meta) -> ObjectRef:
    return ObjectRef(kind, metadata.namespace, metadata.name)


def _conflict(claim: _Claim, owner: _Claim, prefix: Cidr) -> Problem:
    return Problem(
        subject=claim.ref,
        field=claim.field,
        reason=Reason.CONFLICT,
        message=f"{prefix} is {owner.node}'s already by {owner.ref}, which is older; its addresses "
        "are taken for that node's",
        severity=Severity.WARNING,
    )


BLOCKS: Final = Derived[Cidr, Block](
    "blocks", _compute, (AFFINITIES_BY_PREFIX, CILIUM_NODES_BY_PREFIX, NODES_BY_PREFIX)
)
ANY_BLOCK: Final = Index[Cidr, Block, tuple[()]](BLOCKS, "any", lambda _, __: (ONLY,))
BLOCKS_OF_NODE: Final = Index[Cidr, Block, str](BLOCKS, "node", lambda _, block: (block.node,))
