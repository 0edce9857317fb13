"""What the operator decided, as far as compiling depends on it."""

import ipaddress
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from onehop.model.address import Cidr, IpAddr, is_ipv6
from onehop.model.certificate import SecretText
from onehop.model.ident import ObjectRef
from onehop.model.listener import TlsPolicy
from onehop.model.network import Neighbor


class PathPolicy(StrEnum):
    """Which rung of the ladder may be used (design.md section 4)."""

    AUTO = "auto"
    POD = "pod"
    LOCAL = "local"
    NODE = "node"


class AllocationSource(StrEnum):
    """Which objects say what node a Pod address belongs to."""

    AUTO = "auto"
    """Calico's blocks if there are any, else Cilium's nodes, else the nodes' podCIDRs."""
    NODES = "nodes"
    CALICO = "calico"
    CILIUM = "cilium"


class TunnelKind(StrEnum):
    """Which VXLAN overlay this host has joined, so that Pods are behind its tunnels."""

    NONE = "none"
    FLANNEL = "flannel"
    CALICO = "calico"


class NeighborSource(StrEnum):
    """Who says which neighbours there are within the cluster."""

    LISTED = "listed"
    """The operator, by a list; it may be empty."""
    CALICO = "calico"
    CILIUM = "cilium"


class BgpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The BGP speaker of this host.

    Attributes:
        listed: neighbours that tell us blocks, where the operator names them.
        upstream: neighbours that hear our VIPs.
        node_asn: of Cilium's nodes; None is ours.
        node_password: of the sessions with nodes that Calico or Cilium tells us.
        announces_return: whether the nodes hear the ways back to transparent clients.
    """

    asn: int
    source: NeighborSource = NeighborSource.LISTED
    listed: tuple[Neighbor, ...] = ()
    upstream: tuple[Neighbor, ...] = ()
    node_asn: int | None = None
    node_password: SecretText | None = None
    announces_return: bool = False


class AddressPool(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses for Services, as inclusive ranges in the order in which they are given out."""

    name: str
    ranges: tuple[tuple[IpAddr, IpAddr], ...]

    def addresses(self, *, ipv6: bool) -> Iterator[IpAddr]:
        """Yield the addresses of one family in order."""
        for first, last in self.ranges:
            if is_ipv6(first) is not ipv6:
                continue
            kind = ipaddress.IPv6Address if ipv6 else ipaddress.IPv4Address
            for number in range(int(kind(first)), int(kind(last)) + 1):
                yield IpAddr(str(kind(number)))


class IssuerOption(msgspec.Struct, frozen=True, kw_only=True):
    """An ACME issuer, as far as objects may ask for it.

    Attributes:
        has_dns: whether it can prove hosts by DNS, and so wildcards.
        has_http, has_tls: whether it can on port 80, and on port 443.
    """

    name: str
    has_dns: bool = False
    has_http: bool = True
    has_tls: bool = False


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about compiling that does not come from the cluster.

    Attributes:
        service_class: Services with this `spec.loadBalancerClass` are ours.
        is_default_service_class: whether Services without a class are ours as well.
        address_pools: in order of preference; a Service may name one.
        shared: the VIPs of Ingresses, at most one of each family.
        path: for Services that say nothing else.
        proves_reach: whether somebody puts what the routing table says into the sheet (`Area`s);
            without, every Pod is believed to be reachable.
        trusted: prefixes where a default route will do if a probe is answered.
        allocation: which objects say what node a Pod address belongs to.
        tunnel: the overlay that routes to Pods may lead into.
        bgp: None if this host speaks no BGP.
        allows_loopback: whether 127.0.0.0/8 and ::1 may be backends (a files source may say so).
        writes_back: whether finalizers and status can be written; without, none is waited for.
        trusted_hops: proxies in front of the shared VIP whose X-Forwarded-For is believed.
        transparent_clients: networks that Pods answer through this host, as the operator says.
        tls_policy: which clients the shared VIP speaks TLS with.
        http3: whether it speaks HTTP/3 as well.
        default_certificate: the Secret shown to clients there that ask for a name nobody has, or
            for none; and for hosts whose Ingress names no Secret.
        staples: whether CAs are asked about the certificates that are shown (OCSP).
        issuers: whom objects may ask for certificates; the first is the default.
        answers: the Secret where the answers to CAs that look just now stand; None without issuers.
        shared_accepts_proxy_protocol: connections to the shared VIP begin with a PROXY header.
    """

    ingress_controller: str = "onehop.dev/ingress"
    gateway_controller: str = "onehop.dev/gateway-controller"
    service_class: str = "onehop.dev/lb"
    is_default_service_class: bool = False
    address_pools: tuple[AddressPool, ...] = ()
    shared: tuple[IpAddr, ...] = ()
    http_port: int = 80
    https_port: int = 443
    path: PathPolicy = PathPolicy.AUTO
    proves_reach: bool = False
    trusted: tuple[Cidr, ...] = ()
    allocation: AllocationSource = AllocationSource.AUTO
    tunnel: TunnelKind = TunnelKind.NONE
    bgp: BgpOptions | None = None
    allows_loopback: bool = False
    writes_back: bool = True
    trusted_hops: int = 0
    tls_policy: TlsPolicy = TlsPolicy.INTERMEDIATE
    http3: bool = False
    default_certificate: ObjectRef | None = None
    staples: bool = True
    issuers: tuple[IssuerOption, ...] = ()
    answers: ObjectRef | None = None
    shared_accepts_proxy_protocol: bool = False
    transparent_clients: tuple[Cidr, ...] = ()


ANNOTATION_PREFIX: Final = "onehop.dev/"
