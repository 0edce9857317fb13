"""Which nodes may take traffic on their NodePorts."""

from typing import Final

import msgspec

from onehop.cluster import Node
from onehop.compile.inputs import NODE_REFS, NODES, ONLY
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.address import IpAddr, is_ipv6, parse_ip
from onehop.model.ident import ObjectRef

EXCLUDE_LABEL: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
AUTOSCALER_TAINT: Final = "ToBeDeletedByClusterAutoscaler"
ZONE_LABEL: Final = "topology.kubernetes.io/zone"

# What Go's strconv.ParseBool takes for false; the service controller reads the label with it.
_FALSE: Final = frozenset(("0", "f", "F", "false", "FALSE", "False"))


class Member(msgspec.Struct, frozen=True):
    """A node that may be a member of a pool.

    Attributes:
        addresses: its InternalIPs, or its ExternalIPs if it has no others; at least one.
    """

    name: str
    addresses: tuple[IpAddr, ...]
    zone: str | None

    def address(self, *, ipv6: bool) -> IpAddr | None:
        """Return the node's first address of a family, or None."""
        return next((ip for ip in self.addresses if is_ipv6(ip) is ipv6), None)


def is_eligible(node: Node) -> bool:
    """Tell whether load balancers may send to this node.

    As the service controller decides (cloud-provider, service/controller.go,
    stableNodeSetPredicates): not deleting, not excluded by label, not about to be removed by the
    autoscaler. A NotReady node stays in: health checks decide (KEP-3458).
    """
    excluded = node.metadata.label(EXCLUDE_LABEL)
    return (
        node.metadata.deletion_timestamp is None
        and (excluded is None or excluded in _FALSE)
        and not any(taint.key == AUTOSCALER_TAINT for taint in node.spec.taints or ())
    )


def _compute(reader: Reader, ref: ObjectRef) -> Cell[Member]:
    node = reader.get(NODES, ref)
    if node is None or not is_eligible(node):
        return Cell(None)
    addresses = _addresses(node, "InternalIP") or _addresses(node, "ExternalIP")
    if not addresses:
        return Cell(None)
    return Cell(Member(ref.name, addresses, node.metadata.label(ZONE_LABEL)))


def _addresses(node: Node, kind: str) -> tuple[IpAddr, ...]:
    parsed = (parse_ip(a.address) for a in node.status.addresses or () if a.type == kind)
    return tuple(address for address in parsed if address is not None)


MEMBERS = Derived[ObjectRef, Member]("members", _compute, (NODE_REFS,))
ALL_MEMBERS = Index[ObjectRef, Member, tuple[()]](MEMBERS, "all", lambda _ref, _member: (ONLY,))
