"""What a tunnel device holds, and what has to change in it: pure functions."""

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

import msgspec

from onehop.model.address import Cidr, IpAddr, is_ipv6
from onehop.model.network import Tunnel
from onehop.net.rtnetlink.neighbor import Entry
from onehop.net.rtnetlink.route import KernelRoute
from onehop.net.table import PROTOCOL, TABLE, TUNNEL_METRIC
from onehop.net.vxlan.vtep import Vtep


class TunnelFaultReason(StrEnum):
    """Why a node's Pods are not reached through the overlay."""

    OTHER_OVERLAY = "other-overlay"
    """The node is in an overlay of another VNI, port or family than ours."""
    CLAIMED_TWICE = "claimed-twice"
    """Another node has the same MAC, inner address or block."""
    TAKEN = "taken"
    """Somebody else's route stands in our table, at our prefix and metric."""
    REFUSED = "refused"
    """The kernel said no."""


class TunnelFault(msgspec.Struct, frozen=True, order=True, gc=False):
    """A node, or one of its blocks, that is not reached, and why."""

    node: str
    reason: TunnelFaultReason
    detail: str


class Wanted(msgspec.Struct, frozen=True):
    """What the tunnels come to on our device.

    Attributes:
        entries: by what the kernel keeps only one of: a MAC, or an inner address.
    """

    entries: dict[str, Entry]
    routes: dict[Cidr, KernelRoute]
    nodes: dict[str, str]
    faults: tuple[TunnelFault, ...]


class EntryChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What leads from the entries that are there to the entries that shall be.

    Attributes:
        put: forwarding entries first, so that no neighbour names a MAC that nobody can find.
        remove: neighbours first, for the same reason; only when the routes are changed.
    """

    put: tuple[Entry, ...] = ()
    remove: tuple[Entry, ...] = ()


def key_of(entry: Entry) -> str:
    """Return what the kernel keeps only one entry of in a device."""
    return entry.mac if entry.is_forwarding else entry.address


def want_tunnels(tunnels: Iterable[Tunnel], vtep: Vtep, device: int) -> Wanted:
    """Return what our device shall hold.

    A node that claims what another node has is refused whole, and harms nobody else.
    """
    wanted = Wanted(entries={}, routes={}, nodes={}, faults=())
    tunnels = tuple(tunnels)
    ipv6 = is_ipv6(vtep.local)
    of_family = {tunnel.node for tunnel in tunnels if is_ipv6(tunnel.outer) is ipv6}
    faults: list[TunnelFault] = []
    for tunnel in tunnels:
        if tunnel.outer == vtep.local or tunnel.inner == vtep.inner:
            continue  # our own Node object
        if is_ipv6(tunnel.outer) is not ipv6 and tunnel.node in of_family:
            continue  # a dual-stack node: its other end is the other overlay's affair
        if not vtep.leads_to(tunnel):
            detail = f"VNI {tunnel.vni}, port {tunnel.port} at {tunnel.outer}"
            faults.append(TunnelFault(tunnel.node, TunnelFaultReason.OTHER_OVERLAY, detail))
            continue
        prefixes = [p for p in tunnel.prefixes if is_ipv6(p) == is_ipv6(tunnel.inner)]
        claimed = next((k for k in _keys(tunnel, prefixes) if k in wanted.nodes), None)
        if claimed is not None:
            detail = f"node {wanted.nodes[claimed]!r} has {claimed} as well"
            faults.append(TunnelFault(tunnel.node, TunnelFaultReason.CLAIMED_TWICE, detail))
            continue
        _add(wanted, tunnel, prefixes, vtep=vtep, device=device)
    return Wanted(wanted.entries, wanted.routes, wanted.nodes, tuple(faults))


def diff_entries(have: Collection[Entry], want: Mapping[str, Entry]) -> EntryChanges:
    """Return the fewest changes that make a device hold `want`."""
    present = {key_of(entry): entry for entry in have}
    put = [entry for key, entry in want.items() if present.get(key) != entry]
    gone = [entry for key, entry in present.items() if key not in want]
    return EntryChanges(
        put=tuple(sorted(put, key=lambda entry: not entry.is_forwarding)),
        remove=tuple(sorted(gone, key=lambda entry: entry.is_forwarding)),
    )


def _keys(tunnel: Tunnel, prefixes: Iterable[Cidr]) -> tuple[str, ...]:
    return (tunnel.mac.lower(), tunnel.inner, *prefixes)


def _add(
    wanted: Wanted, tunnel: Tunnel, prefixes: Iterable[Cidr], *, vtep: Vtep, device: int
) -> None:
    mac = tunnel.mac.lower()
    wanted.entries[mac] = Entry(is_forwarding=True, mac=mac, address=tunnel.outer)
    wanted.entries[tunnel.inner] = Entry(is_forwarding=False, mac=mac, address=tunnel.inner)
    for prefix in prefixes:
        wanted.routes[prefix] = _route(prefix, tunnel.inner, vtep=vtep, device=device)
    for key in _keys(tunnel, prefixes):
        wanted.nodes[key] = tunnel.node


def _route(prefix: Cidr, inner: IpAddr, *, vtep: Vtep, device: int) -> KernelRoute:
    return KernelRoute(
        prefix=prefix,
        table=TABLE,
        protocol=PROTOCOL,
        metric=TUNNEL_METRIC,
        via=inner,
        device=device,
        source=vtep.inner,
        on_link=True,
    )
