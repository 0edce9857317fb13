"""Our end of an overlay: what there is to know of it without asking the kernel.

All of it follows from the operator's configuration, because the cluster has to be told the same
(`manifest`), and a restart has to find what an earlier run made.
"""

import hashlib
from typing import Final

import msgspec

from onehop.model.address import IpAddr, is_ipv6
from onehop.model.network import Tunnel

ALIAS: Final = "onehop"
"""`ip link show` says it of every device that we made, and nothing else marks one as ours."""

_MAC_PREFIX: Final = b"f"
"""0x66: a unicast address of local administration (bit 1 set, bit 0 clear)."""


class Vtep(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """This host's end of an overlay of one family.

    Attributes:
        local: the address of this host that the nodes send encapsulated packets to.
        inner: the address that Pods see, and answer to; nobody else in the overlay has it. Of
            flannel, the first address of the podCIDR of our Node object.
        mac: of our tunnel device.
    """

    vni: int
    port: int
    local: IpAddr
    inner: IpAddr
    mac: str

    @property
    def device(self) -> str:
        """The name of our device; an overlay over IPv6 needs a second one (15 bytes at most)."""
        return f"oh6.{self.vni}" if is_ipv6(self.local) else f"onehop.{self.vni}"

    def leads_to(self, tunnel: Tunnel) -> bool:
        """Tell whether a tunnel is of this overlay, and its other end is not ourselves."""
        return (
            (tunnel.vni, tunnel.port) == (self.vni, self.port)
            and is_ipv6(tunnel.outer) == is_ipv6(self.local)
            and tunnel.outer != self.local
            and tunnel.inner != self.inner
        )


def vtep_mac(node: str, *, ipv6: bool = False) -> str:
    """Return the MAC of the tunnel device of the node of this name, ourselves for one.

    A hash of the name, so that it survives a reboot and the Node object stays true. It is the one
    that Calico computes for a node (felix/calc/vxlan_resolver.go, `vtepMACForHost`), so that Calico
    need not be told; flannel is told ours.
    """
    name = f"{node}-v6" if ipv6 else node
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).digest()
    return (_MAC_PREFIX + digest[:5]).hex(":")
