"""Which nodes may take traffic on their NodePorts."""

from typing import Final

import msgspec

from onehop.cluster import Node
from onehop.compile.forbidden import Refused, border_of
from onehop.compile.inputs import NODE_REFS, NODES, ONLY
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.compile.value import label_value
from onehop.model.address import IpAddr, is_ipv6
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason

EXCLUDE_LABEL: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
AUTOSCALER_TAINT: Final = "ToBeDeletedByClusterAutoscaler"
ZONE_LABEL: Final = "topology.kubernetes.io/zone"

# What Go's strconv.ParseBool takes for false; the service controller reads the label with it.
_FALSE: Final = frozenset(("0", "f", "F", "false", "FALSE", "False"))


class Member(msgspec.Struct, frozen=True, gc=False):
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
    said = node.status.addresses or ()
    internal = [item.address for item in said if item.type == "InternalIP"]
    external = [item.address for item in said if item.type == "ExternalIP"]
    judged = [border_of(reader).admit(text) for text in internal or external]
    problems = tuple(_forbidden(ref, item) for item in judged if isinstance(item, Refused))
    addresses = tuple(item for item in judged if not isinstance(item, Refused))
    if not addresses:
        return Cell(None, problems)
    zone = label_value(node.metadata.label(ZONE_LABEL))
    return Cell(Member(ref.name, addresses, zone), problems)


def _forbidden(ref: ObjectRef, refused: Refused) -> Problem:
    return Problem(
        subject=ref,
        field="status.addresses",
        reason=Reason.FORBIDDEN_ADDRESS,
        message=f"{refused.why}; its NodePorts get no traffic by this address",
    )


MEMBERS = Derived[ObjectRef, Member]("members", _compute, (NODE_REFS,))
MEMBERS_BY_ADDRESS = Index[ObjectRef, Member, IpAddr](
    MEMBERS, "address", lambda _ref, member: member.addresses
)
ALL_MEMBERS = Index[ObjectRef, Member, tuple[()]](MEMBERS, "all", lambda _ref, _member: (ONLY,))
