"""The configuration of BIRD, as text.

No text of a user's becomes text of the configuration: names are hashed into tokens, addresses are
parsed again before they are printed, and passwords are refused if they could end their quotation.
The text is right for BIRD 2.0.8 and newer, and for BIRD 3.
"""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from onehop.model.address import Cidr, IpAddr, is_ipv6
from onehop.model.network import Neighbor, NeighborRole
from onehop.net.bird.policy import Policy, export_clause
from onehop.net.bird.speaker import Speaker, speaking_neighbors
from onehop.net.bird.token import address_text, family, prefix_set, prefix_text, protocol_name

T = TypeVar("T", IpAddr, Cidr)

HOLD_S: Final = 9
"""A silent neighbour is given up after so long; the RFC's 90 s is for the Internet."""
KEEPALIVE_S: Final = 3
RECOVERY_S: Final = 20
"""A restarted BIRD waits so long, at most, for neighbours before it cleans the kernel up."""

_FAMILIES: Final = (False, True)


def render_bird(speaker: Speaker) -> str:
    """Return the configuration that has BIRD do what a speaker shall do.

    Neighbours in `mute_neighbors(speaker)` are left out.

    Raises:
        ValueError: an address is not in canonical form, which is a bug of its maker.
    """
    return "\n".join([*_lines(speaker), ""])


def _lines(speaker: Speaker) -> Iterator[str]:
    yield "# Written by onehop, and written again whenever something changes: edits are lost."
    if not speaker.for_include:
        yield from _own(speaker)
    for ipv6 in _FAMILIES:
        yield from _tables(speaker, ipv6=ipv6)
    if speaker.network.asn is None:
        return
    policy = Policy(speaker.network)
    used = _used_families(speaker)
    for neighbor in speaking_neighbors(speaker):
        families = sorted(used | {is_ipv6(neighbor.address)})
        if neighbor.role is not NeighborRole.UPSTREAM:
            for ipv6 in families:
                yield from policy.import_filter(_filter_name(neighbor, ipv6), neighbor, ipv6=ipv6)
        yield from _session(speaker, neighbor, families)


def _own(speaker: Speaker) -> Iterator[str]:
    """Yield what only the one who runs BIRD may say."""
    yield "log stderr { warning, error, fatal, bug, auth, remote };"
    yield "timeformat protocol iso long us;"
    if speaker.router_id is not None:
        yield f"router id {address_text(speaker.router_id)};"
    yield f"graceful restart wait {RECOVERY_S};"
    yield "protocol device onehop_device { scan time 2; }"
    timers = "min rx interval 100 ms; min tx interval 100 ms; multiplier 3;"
    yield "protocol bfd onehop_bfd {"
    yield f'  interface "*" {{ {timers} }};'
    yield f"  multihop {{ {timers} }};"
    yield "}"


def _tables(speaker: Speaker, *, ipv6: bool) -> Iterator[str]:
    """Yield one family's tables, what we announce, and the way into the kernel.

    `persist` and `graceful restart` keep the routes in the kernel while BIRD is away, however it
    went; a restarted BIRD takes them over, and removes those that nobody announced again.
    """
    digit = family(ipv6=ipv6)
    channel = f"ipv{digit}"
    yield f"{channel} table onehop{digit};"
    # Next hops are looked for on our own links only, so that what stands in the kernel leads to a
    # node, and never to a router that may know less than we do.
    yield f"{channel} table onehop_link{digit};"
    yield f"protocol direct onehop_direct{digit} {{ {channel} {{ table onehop_link{digit}; }}; }}"
    vips = (f"{address_text(vip)}/{128 if ipv6 else 32}" for vip in _of(speaker.vips, ipv6=ipv6))
    yield from _announcement(f"vips{digit}", vips, digit)
    returns = (prefix_text(prefix) for prefix in _of(speaker.returns, ipv6=ipv6))
    yield from _announcement(f"returns{digit}", returns, digit)
    ranges = _of(speaker.network.ranges, ipv6=ipv6)
    if ranges:
        yield f"define ONEHOP_RANGES{digit} = {prefix_set(ranges)};"
    yield f"protocol kernel onehop_kernel{digit} {{"
    yield f"  kernel table {speaker.table};"
    yield "  persist;"
    yield "  graceful restart;"
    yield "  scan time 5;"
    yield "  metric 32;"
    yield "  merge paths on;"
    yield f"  {channel} {{"
    yield f"    table onehop{digit};"
    yield "    import none;"
    yield "    export where source = RTS_BGP && dest = RTD_UNICAST;"
    yield "  };"
    yield "}"


def _announcement(name: str, prefixes: Iterable[str], digit: str) -> Iterator[str]:
    yield f"protocol static onehop_{name} {{"
    yield f"  ipv{digit} {{ table onehop{digit}; }};"
    yield from (f"  route {prefix} blackhole;" for prefix in prefixes)
    yield "}"


def _session(speaker: Speaker, neighbor: Neighbor, families: Iterable[bool]) -> Iterator[str]:
    """Yield a session over its own family, and over the other one if there is use for it.

    Calico speaks each family over a session of its own and ignores what else is offered (RFC 5492);
    Cilium and routers may carry both over one.
    """
    source = f" {address_text(neighbor.source)}" if neighbor.source is not None else ""
    yield f"protocol bgp {protocol_name(neighbor.name)} {{"
    yield f"  local{source} as {speaker.network.asn:d};"
    yield f"  neighbor {address_text(neighbor.address)} port {neighbor.port:d} as {neighbor.asn:d};"
    yield f"  multihop {neighbor.multihop:d};" if neighbor.multihop is not None else "  direct;"
    yield f"  hold time {HOLD_S};"
    yield f"  keepalive time {KEEPALIVE_S};"
    yield "  connect delay time 1;"
    yield "  connect retry time 5;"
    yield "  error wait time 1, 10;"
    if neighbor.graceful_restart_s:
        yield "  graceful restart on;"
        yield f"  graceful restart time {neighbor.graceful_restart_s:d};"
    else:
        yield "  graceful restart off;"
    if neighbor.bfd:
        yield "  bfd on;"
    if neighbor.password is not None:
        if (2, 16) <= speaker.version < (3, 0) or speaker.version >= (3, 1):
            yield "  authentication md5;"  # since there is TCP-AO as well; older ones know no other
        yield f'  password "{neighbor.password.reveal}";'
    for ipv6 in families:
        yield from _channel(neighbor, ipv6=ipv6)
    yield "}"


def _channel(neighbor: Neighbor, *, ipv6: bool) -> Iterator[str]:
    digit = family(ipv6=ipv6)
    yield f"  ipv{digit} {{"
    yield f"    table onehop{digit};"
    yield f"    igp table onehop_link{digit};"
    if not ipv6 and is_ipv6(neighbor.address):
        yield "    extended next hop on;"  # RFC 8950: IPv4 by way of an IPv6 hop
        yield "    igp table onehop_link6;"
    # `direct` would replace a next hop that is not on our link by the neighbour itself: right for
    # a node, whose hops are all its own, but wrong for a reflector, which forwards nothing.
    is_node = neighbor.role is NeighborRole.NODE and neighbor.multihop is None
    yield f"    gateway {'direct' if is_node else 'recursive'};"
    if neighbor.role is NeighborRole.UPSTREAM:
        yield "    import none;"
    else:
        yield "    import keep filtered on;"  # so that `audit` sees what was refused
        yield f"    import filter {_filter_name(neighbor, ipv6)};"
    yield f"    {export_clause(neighbor, ipv6=ipv6)}"
    yield "    next hop self;"
    yield "  };"


def _filter_name(neighbor: Neighbor, ipv6: bool) -> str:  # noqa: FBT001  internal
    return f"{protocol_name(neighbor.name)}_{family(ipv6=ipv6)}"


def _used_families(speaker: Speaker) -> frozenset[bool]:
    prefixes = (*speaker.network.ranges, *speaker.returns)
    return frozenset((*map(is_ipv6, prefixes), *map(is_ipv6, speaker.vips)))


def _of(texts: Iterable[T], *, ipv6: bool) -> list[T]:
    return sorted({text for text in texts if is_ipv6(text) is ipv6})
