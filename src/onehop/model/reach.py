"""What this host's routing table says about an area of addresses.

`net` asks the kernel and writes it down; `compile` judges whether it proves the way to a Pod.
"""

from enum import StrEnum

import msgspec

from onehop.model.address import Cidr, IpAddr


class RouteKind(StrEnum):
    """What the kernel does with a packet (`RTN_*` of <linux/rtnetlink.h>)."""

    UNICAST = "unicast"
    """Sends it on: to a gateway, or to a neighbour on the link."""
    LOCAL = "local"
    """Keeps it: the address is this host's own."""
    REFUSED = "refused"
    """Drops it: blackhole, unreachable, prohibit, or no route at all in a table that says so."""


class Hop(msgspec.Struct, frozen=True, order=True, gc=False):
    """Where a packet leaves this host.

    Attributes:
        address: the gateway; None if the destination itself is asked for on the link.
    """

    device: str
    address: IpAddr | None = None


class FibRoute(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A route of the kernel's, as a lookup found it.

    Attributes:
        prefix: what matched; `0.0.0.0/0` and `::/0` are default routes, and prove nothing.
        hops: sorted; several share the traffic (ECMP).
        origin: who put it there, as `ip route` says it: `bird`, `kernel`, `static`, `onehop`, or
            the number of its protocol.
    """

    prefix: Cidr
    kind: RouteKind = RouteKind.UNICAST
    hops: tuple[Hop, ...] = ()
    table: int = 254
    origin: str = "kernel"


class ProbeResult(StrEnum):
    """What happened when an address of the area was tried."""

    NOT_ASKED = "not-asked"
    ANSWERED = "answered"
    SILENT = "silent"


class Stretch(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Neighbouring addresses of an area that one route leads to.

    Attributes:
        first: the first address, as a number of its family; `last` is the last one, inclusive.
        route: None if the kernel has no route at all.
        is_steady: whether the route has been there long enough to be walked up to again; a route
            that has been there since onehop began, or that has not moved, is steady.
    """

    first: int
    last: int
    route: FibRoute | None
    is_steady: bool = True


class Area(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="area"):
    """A prefix somebody asked about, and all that the routing table says of its addresses.

    Attributes:
        stretches: in order, without gaps, from the first address of the prefix to its last;
            most areas have one.
        probe: asked only where the operator trusts a default route (`reach.trust`).
    """

    prefix: Cidr
    stretches: tuple[Stretch, ...]
    probe: ProbeResult = ProbeResult.NOT_ASKED

    def at(self, number: int) -> Stretch:
        """Return the stretch that an address of this area lies in."""
        return next(s for s in self.stretches if s.first <= number <= s.last)
