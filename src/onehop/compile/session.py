"""Which BGP sessions this host shall have with a cluster's nodes.

Every node's sessions are a cell. What all nodes share (who speaks at all, and on which port) is a
cell of its own, so that a BGPConfiguration touched without effect moves no session.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from onehop.cluster import Node, calico
from onehop.cluster.calico import BGPConfigurationSpec
from onehop.compile.backend import options_of
from onehop.compile.block import interface_address
from onehop.compile.inputs import BGP_CONFIGURATIONS, NODE_REFS, NODES, ONLY
from onehop.compile.options import BgpOptions, NeighborSource
from onehop.compile.sheet import Cell, Derived, Index, Reader, Whole
from onehop.compile.value import is_port
from onehop.model.address import IpAddr, is_ipv6, parse_ip
from onehop.model.ident import ObjectRef
from onehop.model.network import Neighbor, NeighborRole
from onehop.model.problem import Problem, Reason, Severity, quoted

CALICO_ASN: Final = 64512
"""https://docs.tigera.io/calico/latest/reference/resources/bgpconfig, `asNumber`."""
LAST_ASN: Final = 4_294_967_295
_LAST_SHORT_ASN: Final = 65535
_ASN: Final = re.compile(r"(?:([0-9]{1,5})\.)?([0-9]{1,10})")
BGP_PORT: Final = 179

LOAD_BALANCER_TAINT: Final = "onehop.dev/load-balancer"
"""Marks the Node objects by which load balancers take part in an overlay: nobody lives there."""

_DEFAULT: Final = ObjectRef("BGPConfiguration", "", "default")


def _is_reflector(node: Node) -> bool:
    return bool(node.metadata.annotation(calico.REFLECTOR_CLUSTER))


REFLECTORS: Final = Index[ObjectRef, Node, tuple[()]](
    NODES, "reflector", lambda _, node: (ONLY,) if _is_reflector(node) else ()
)


class Circle(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Which nodes we speak with, and how.

    Attributes:
        asn: of a node that says nothing else.
        only_reflectors: whether the route reflectors speak for all nodes.
    """

    bgp: BgpOptions
    asn: int
    port: int = BGP_PORT
    only_reflectors: bool = False


def _circle(reader: Reader) -> Circle | None:
    bgp = options_of(reader).bgp
    if bgp is None or bgp.source is NeighborSource.LISTED:
        return None
    if bgp.source is NeighborSource.CILIUM:
        return Circle(bgp=bgp, asn=bgp.node_asn or bgp.asn)
    configuration = reader.get(BGP_CONFIGURATIONS, _DEFAULT)
    spec = configuration.spec if configuration is not None else BGPConfigurationSpec()
    has_mesh = spec.node_to_node_mesh_enabled is not False
    return Circle(
        bgp=bgp,
        asn=spec.as_number or CALICO_ASN,
        port=spec.listen_port if is_port(spec.listen_port) else BGP_PORT,
        only_reflectors=not has_mesh and reader.any(REFLECTORS, ONLY) is not None,
    )


def _compute_circle(reader: Reader) -> Mapping[tuple[()], Cell[Circle]]:
    circle = _circle(reader)
    return {} if circle is None else {ONLY: Cell(circle)}


CIRCLE: Final = Whole[tuple[()], Circle]("bgp-circle", _compute_circle)


def _compute(reader: Reader, ref: ObjectRef) -> Cell[tuple[Neighbor, ...]]:
    circle = reader.get(CIRCLE, ONLY)
    if circle is None:
        return Cell(None)
    node = reader.need(NODES, ref)
    is_excluded = circle.only_reflectors and not _is_reflector(node)
    if is_excluded or any(taint.key == LOAD_BALANCER_TAINT for taint in node.spec.taints or ()):
        return Cell(None)
    asn = _asn(circle, node)
    if isinstance(asn, Problem):
        return Cell(None, (asn,))
    role = NeighborRole.REFLECTOR if circle.only_reflectors else NeighborRole.NODE
    neighbors = tuple(
        Neighbor(
            # No node's name has a slash, so that no node can take another one's session.
            name=f"{ref.name}/ipv6" if is_ipv6(address) else ref.name,
            role=role,
            address=address,
            asn=asn,
            port=circle.port,
            password=circle.bgp.node_password,
            hears_return=circle.bgp.announces_return,
        )
        for address in _speakers(circle.bgp, node)
    )
    return Cell(neighbors or None)


def parse_asn(text: str) -> int | None:
    """Return an AS number, or None if it is not one; `1.10` is 65546 (RFC 5396, asdot+)."""
    match = _ASN.fullmatch(text)
    if match is None:
        return None
    high, low = int(match[1] or 0), int(match[2])
    if match[1] is not None and max(high, low) > _LAST_SHORT_ASN:
        return None
    number = (high << 16) + low
    return number if 0 < number <= LAST_ASN else None


def _asn(circle: Circle, node: Node) -> int | Problem:
    text = node.metadata.annotation(calico.AS_NUMBER)
    if circle.bgp.source is not NeighborSource.CALICO or not text:
        return circle.asn
    return parse_asn(text) or Problem(
        subject=ObjectRef("Node", "", node.metadata.name),
        field=f"metadata.annotations[{calico.AS_NUMBER}]",
        reason=Reason.INVALID_ANNOTATION,
        message=f"{quoted(text)} is no AS number, so there is no BGP session with this node; "
        "allowed is 1 to 4294967295, or two numbers with a dot",
        severity=Severity.WARNING,
    )


def _speakers(bgp: BgpOptions, node: Node) -> Iterator[IpAddr]:
    """Yield the address that the node's speaker uses, at most one of each family."""
    noted: tuple[str | None, ...] = ()
    if bgp.source is NeighborSource.CALICO:
        noted = tuple(map(node.metadata.annotation, (calico.IPV4_ADDRESS, calico.IPV6_ADDRESS)))
    if any(noted):
        addresses = [interface_address(text) for text in noted]
    else:
        said = node.status.addresses or ()
        addresses = [parse_ip(item.address) for item in said if item.type == "InternalIP"]
    for ipv6 in (False, True):
        of_family = (ip for ip in addresses if ip is not None and is_ipv6(ip) is ipv6)
        yield from tuple(of_family)[:1]


SESSIONS: Final = Derived[ObjectRef, tuple[Neighbor, ...]]("bgp-sessions", _compute, (NODE_REFS,))
