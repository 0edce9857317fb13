"""Our end of an overlay: what it is, and where it is written.

It is written in the Node object by which the cluster's nodes know of us (`manifest`), and nowhere
else: were it in our configuration as well, the two could differ, and answers would be lost.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from onehop.model.address import IpAddr, is_ipv6
from onehop.model.network import Tunnel
from onehop.net.rtnetlink.kernel import ask_all
from onehop.net.rtnetlink.route import LOCAL, ask_route, read_answer

DEVICE_NAMES: Final = ("onehop.", "oh6.")
"""What the names of our devices begin with."""

ALIAS: Final = "onehop"
"""`ip link show` says it of every device that we made, and nothing else marks one as ours."""


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


def end_of(tunnel: Tunnel) -> Vtep:
    """Return the end that a Node object speaks of, as its own host sees it."""
    return Vtep(
        vni=tunnel.vni,
        port=tunnel.port,
        local=tunnel.outer,
        inner=tunnel.inner,
        mac=tunnel.mac.lower(),
    )


async def own_ends(tunnels: Sequence[Tunnel]) -> tuple[Vtep, ...]:
    """Return the ends that are ours: those whose outer address is an address of this host.

    None means that nobody created our Node object yet, or that it names another host's address.

    Raises:
        TransientError: the kernel did not answer.
    """
    payloads = await ask_all([ask_route(tunnel.outer) for tunnel in tunnels])
    return tuple(
        end_of(tunnel)
        for tunnel, payload in zip(tunnels, payloads, strict=True)
        if payload is not None and read_answer(payload).kind == LOCAL
    )
