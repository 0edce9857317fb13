"""The other ends of the VXLAN overlay, as flannel and Calico write them on their Nodes.

flannel: https://github.com/flannel-io/flannel/blob/master/Documentation/backends.md#vxlan, and the
annotations in `pkg/subnet/kube/annotations.go`. Calico: `libcalico-go/lib/backend/k8s/resources/
node.go`; its VNI and port are FelixConfiguration's defaults `vxlanVNI` and `vxlanPort`.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.cluster import Node, calico
from onehop.compile.backend import options_of
from onehop.compile.block import BLOCKS_OF_NODE, interface_address, tunnel_address
from onehop.compile.inputs import NODE_REFS, NODES
from onehop.compile.options import TunnelKind
from onehop.compile.sheet import Cell, Derived, Reader
from onehop.model.address import Cidr, IpAddr, is_ipv6, parse_ip
from onehop.model.ident import ObjectRef
from onehop.model.network import Tunnel, vtep_mac
from onehop.model.problem import Problem, Reason, Severity

FLANNEL_PORT: Final = 8472
"""What the Linux kernel takes where flannel's `Port` says nothing: older than RFC 7348's 4789."""
CALICO_PORT: Final = 4789
CALICO_VNI: Final = 4096
_LAST_VNI: Final = (1 << 24) - 1

_FLANNEL: Final = "flannel.alpha.coreos.com/"
FLANNEL_TYPE: Final = f"{_FLANNEL}backend-type"
FLANNEL_DATA: Final = f"{_FLANNEL}backend-data"
FLANNEL_V6_DATA: Final = f"{_FLANNEL}backend-v6-data"
FLANNEL_ADDRESS: Final = f"{_FLANNEL}public-ip"
FLANNEL_V6_ADDRESS: Final = f"{_FLANNEL}public-ipv6"

_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class _FlannelData(msgspec.Struct, frozen=True, gc=False, rename={"vni": "VNI", "mac": "VtepMAC"}):
    """`{"VNI":1,"VtepMAC":"12:c6:65:89:b4:e3"}`; older flannels leave the VNI out."""

    mac: str
    vni: int = 1


class _End(msgspec.Struct, frozen=True, gc=False):
    """What a node says of its end for one family.

    Attributes:
        field: the annotation that has to be mended if this makes no tunnel.
    """

    outer: IpAddr | None
    inner: IpAddr | None
    mac: str
    vni: int
    port: int
    field: str


def _compute(reader: Reader, ref: ObjectRef) -> Cell[tuple[Tunnel, ...]]:
    kind = options_of(reader).tunnel
    if kind is TunnelKind.NONE:
        return Cell(None)
    node = reader.need(NODES, ref)
    prefixes = tuple(block.prefix for block in reader.where(BLOCKS_OF_NODE, ref.name))
    tunnels: list[Tunnel] = []
    problems: list[Problem] = []
    for ipv6 in (False, True):
        behind = tuple(prefix for prefix in prefixes if is_ipv6(prefix) is ipv6)
        if kind is TunnelKind.FLANNEL:
            ends = _flannel_end(node, behind, ipv6=ipv6)
        else:
            ends = _calico_end(node, ipv6=ipv6)
        for end in ends:
            tunnel = _tunnel(ref.name, end, behind)
            if tunnel is None:
                problems.append(_unusable(ref, end))
            else:
                tunnels.append(tunnel)
    return Cell(tuple(tunnels) or None, tuple(problems))


def _flannel_end(node: Node, behind: tuple[Cidr, ...], *, ipv6: bool) -> Iterator[_End]:
    """Yield flannel's end; a node has one podCIDR of each family."""
    note = node.metadata.annotation
    key = FLANNEL_V6_DATA if ipv6 else FLANNEL_DATA
    text = note(key) or "null"
    if note(FLANNEL_TYPE) != "vxlan" or text == "null" or not behind:
        return
    try:
        data = msgspec.json.decode(text, type=_FlannelData)
    except msgspec.DecodeError:
        data = _FlannelData("")
    outer = parse_ip(note(FLANNEL_V6_ADDRESS if ipv6 else FLANNEL_ADDRESS) or "")
    yield _End(outer, tunnel_address(behind[0]), data.mac, data.vni, FLANNEL_PORT, key)


def _calico_end(node: Node, *, ipv6: bool) -> Iterator[_End]:
    note = node.metadata.annotation
    inner = note(calico.IPV6_VXLAN_ADDRESS if ipv6 else calico.IPV4_VXLAN_ADDRESS)
    if not inner:
        return
    key = calico.IPV6_VXLAN_MAC if ipv6 else calico.IPV4_VXLAN_MAC
    outer = interface_address(note(calico.IPV6_ADDRESS if ipv6 else calico.IPV4_ADDRESS))
    mac = note(key) or vtep_mac(node.metadata.name, ipv6=ipv6)
    yield _End(outer, parse_ip(inner), mac, CALICO_VNI, CALICO_PORT, key)


def _tunnel(node: str, end: _End, behind: tuple[Cidr, ...]) -> Tunnel | None:
    mac = end.mac.lower()
    if end.outer is None or end.inner is None or not _MAC.fullmatch(mac):
        return None
    if not 0 < end.vni <= _LAST_VNI:
        return None
    return Tunnel(
        node=node,
        vni=end.vni,
        port=end.port,
        outer=end.outer,
        inner=end.inner,
        mac=mac,
        prefixes=behind,
    )


def _unusable(ref: ObjectRef, end: _End) -> Problem:
    return Problem(
        subject=ref,
        field=f"metadata.annotations[{end.field}]",
        reason=Reason.INVALID_ANNOTATION,
        message="it and the node's address do not name a VXLAN tunnel's MAC, VNI and ends, so its "
        "Pods are not reached through the overlay",
        severity=Severity.WARNING,
    )


TUNNELS: Final = Derived[ObjectRef, tuple[Tunnel, ...]]("tunnels", _compute, (NODE_REFS,))
