"""What the host's network shall do so that Pods can be reached, and VIPs be found.

Written by `compile` out of the cluster and the operator's options, carried out by `net`.
"""

import hashlib
from enum import StrEnum
from typing import Final

import msgspec

from onehop.model.address import Cidr, IpAddr
from onehop.model.certificate import SecretText

_MAC_PREFIX: Final = b"f"
"""0x66: a unicast address of local administration (bit 1 set, bit 0 clear)."""


class Block(msgspec.Struct, frozen=True, order=True, gc=False, kw_only=True):
    """Addresses that Pods of one node have: a podCIDR, a Calico block, a Cilium podCIDR.

    Attributes:
        hops: addresses of the node, any of which proves a route to the block; none if the node
            is not known.
    """

    prefix: Cidr
    node: str
    hops: tuple[IpAddr, ...] = ()


class NeighborRole(StrEnum):
    """What a BGP neighbour is to us."""

    NODE = "node"
    """A node of the cluster: tells us its own blocks, and nobody else's."""
    REFLECTOR = "reflector"
    """A route reflector (RFC 4456): tells us everybody's blocks."""
    UPSTREAM = "upstream"
    """A router that leads clients to our VIPs: tells us nothing, and hears the VIPs."""


class Neighbor(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A BGP session that shall be there (RFC 4271).

    Attributes:
        name: unique, stable: a node's name, or what the operator calls it.
        multihop: the largest number of hops to it; None demands that it is on a link of ours.
        password: of TCP MD5 signatures (RFC 2385).
        graceful_restart_s: how long its routes are kept while it restarts (RFC 4724); 0 is off.
        hears_vips: whether our VIPs are announced to it.
        hears_return: whether the ways back to transparent clients are announced to it.
    """

    name: str
    role: NeighborRole
    address: IpAddr
    asn: int
    port: int = 179
    source: IpAddr | None = None
    multihop: int | None = None
    password: SecretText | None = None
    bfd: bool = False
    graceful_restart_s: int = 120
    hears_vips: bool = False
    hears_return: bool = False


class Tunnel(msgspec.Struct, frozen=True, order=True, gc=False, kw_only=True):
    """The other end of a VXLAN tunnel (RFC 7348): a node whose Pods are behind an overlay.

    Attributes:
        outer: the node's address that encapsulated packets go to.
        inner: the address of its tunnel device, the gateway of its blocks.
        mac: of its tunnel device, as `02:00:00:00:00:01`.
    """

    node: str
    vni: int
    port: int
    outer: IpAddr
    inner: IpAddr
    mac: str
    prefixes: tuple[Cidr, ...] = ()


def vtep_mac(node: str, *, ipv6: bool = False) -> str:
    """Return a MAC for the tunnel device of the node of this name.

    It is the one that Calico computes for a node that has no annotation of its own
    (felix/calc/vxlan_resolver.go, `vtepMACForHost`).
    """
    name = f"{node}-v6" if ipv6 else node
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).digest()
    return (_MAC_PREFIX + digest[:5]).hex(":")


class Network(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The whole of it.

    Attributes:
        asn: our own; None if we speak no BGP.
        neighbors: sorted by name.
        blocks: sorted by prefix.
        ranges: what blocks are taken from (IPPools, cluster CIDRs); a route outside of them is
            no Pod's, and never accepted.
        tunnels: sorted by node; empty without an overlay.
    """

    asn: int | None = None
    neighbors: tuple[Neighbor, ...] = ()
    blocks: tuple[Block, ...] = ()
    ranges: tuple[Cidr, ...] = ()
    tunnels: tuple[Tunnel, ...] = ()
